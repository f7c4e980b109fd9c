"""Topics → topics and the map directory: one managed ROS node per stage, and all of them in one process."""
