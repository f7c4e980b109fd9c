"""A network and a loss → weights: steps that a kill does not harm, and files that hold nothing but numbers."""
