"""The processes of a command: the one that does its work and is looked after, and those of nodes."""
