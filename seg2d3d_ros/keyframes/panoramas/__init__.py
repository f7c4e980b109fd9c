"""Full panoramas (equirectangular): recognised, and cut into the views of virtual pinhole cameras."""
