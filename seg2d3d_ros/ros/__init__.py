"""ROS messages, parameters and QoS ↔ the values of the core; with `nodes/` the only code that imports ROS."""
