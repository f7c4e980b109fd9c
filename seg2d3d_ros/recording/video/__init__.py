"""Video in messages: packets → pictures."""
