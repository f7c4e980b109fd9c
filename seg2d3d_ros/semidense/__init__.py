"""More 3D points where structure from motion left masks without: matches between posed views, guided by the poses."""
