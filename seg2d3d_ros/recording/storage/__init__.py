"""Files of recordings (mcap, sqlite3, rosbag1), whole or damaged → their messages, decoded or as ROS 2 publishes them."""
