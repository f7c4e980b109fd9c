"""Objects by an identity feature for each point and a codebook of objects, learnt together (Unified-Lift)."""
