"""Instances → how sure they are: labels that cannot be are dropped, and each instance gets a calibrated score."""
