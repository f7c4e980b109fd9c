"""Sparse models + segments → instances: which segments and 3D points belong to the same object, with ids that stay."""
