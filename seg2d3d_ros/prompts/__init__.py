"""A click in one image, or a place in the world → the object's mask in every image that sees it, and its points."""
