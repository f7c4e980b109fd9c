"""Which segments are the same object: incidence of segments and 3D points, methods, votes."""
