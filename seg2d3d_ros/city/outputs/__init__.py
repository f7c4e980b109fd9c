"""A city as files for others, block by block, and its overview page."""
