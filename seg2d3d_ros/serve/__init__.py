"""``seg2d3d serve``: a map in the browser of the machine it lies on, to look at and to correct."""
