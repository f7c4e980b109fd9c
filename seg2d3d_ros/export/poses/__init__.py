"""Camera poses and intrinsics for reconstruction programs."""
