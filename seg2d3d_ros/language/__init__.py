"""Words ↔ instances: an embedding per instance from its best pictures, search by words, and names given after the drive."""
