"""Images → SIFT features, candidate pairs and verified matches in COLMAP's database."""
