"""Image + prompts → masks by neural networks: detectors, mask models, panoptic models, and their weights."""
