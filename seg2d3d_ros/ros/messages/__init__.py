"""ROS messages ↔ arrays and value types."""
