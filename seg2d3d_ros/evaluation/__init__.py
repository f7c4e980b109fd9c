"""Map directory + ground truth → metrics of identity in images and in 3D, beside baselines."""
