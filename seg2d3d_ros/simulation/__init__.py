"""Seed → a street with ground truth: images, masks, poses, GPS, LiDAR scans, rosbag."""
