"""Features of two views whose relative pose is known → matches along their epipolar lines."""
