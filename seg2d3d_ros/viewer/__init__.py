"""The map in 3D for a browser: what the page draws, as one JSON document, and the script that draws it."""
