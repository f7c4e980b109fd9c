"""Labels of instances carried to other clouds: the scans of a vehicle's LiDAR, and dense depth."""
