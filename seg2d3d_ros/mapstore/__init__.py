"""Results ↔ the map directory: each file is written whole or not at all."""
