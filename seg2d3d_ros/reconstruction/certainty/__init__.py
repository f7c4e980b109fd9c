"""How sure the places of a solved model's images are: by its keypoints, and by the positions that hold it."""
