"""LiDAR scans + a labelled map → the scans in the map frame with an instance id for each point."""
