"""Photographs, rosbag or stream → keyframes: one sharp image per place, with camera, time and position."""
