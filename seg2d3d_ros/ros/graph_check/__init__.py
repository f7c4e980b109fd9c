"""A running ROS graph → what the pipeline would do with it, and what is wrong."""
