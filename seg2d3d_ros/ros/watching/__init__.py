"""What a node watches beside its work: clock, partners in the graph, sizes of messages."""
