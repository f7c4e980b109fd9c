"""Instances, cameras and observations as tables with places, for GIS, city models and cities' image systems."""
