"""Clouds for surveyors, GIS and the web."""
