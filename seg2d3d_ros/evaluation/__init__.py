"""How well segments keep one identity per object: metrics against ground truth, and baselines to compare with."""
