"""Masks, boxes and tracks for annotation tools, detectors and trackers."""
