"""A model's name → its weights: where they lie, how they are fetched, loaded without running anybody's code, and run."""
