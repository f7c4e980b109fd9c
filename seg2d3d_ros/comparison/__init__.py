"""A map against what is known: a register, or a map of another day."""
