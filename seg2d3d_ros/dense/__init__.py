"""Images + poses + segments → a dense labelled cloud, by plane sweep."""
