"""Whether the calibrations that were given fit a lens, and the images."""
