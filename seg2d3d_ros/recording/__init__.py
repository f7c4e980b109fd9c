"""Rosbag or ROS graph → its topics, cameras, calibration and raw images, also of recordings that were cut off."""
