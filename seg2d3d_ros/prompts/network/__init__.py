"""MV-SAM's network: SAM's mask decoder with codes of 3D points, trained on maps, asked for masks in every view."""
