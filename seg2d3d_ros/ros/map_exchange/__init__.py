"""The map between nodes: its revisions and their labels sent and received whole, second looks, and what finalize completes."""
