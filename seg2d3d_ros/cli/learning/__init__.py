"""Commands that learn from maps, and label clouds with what was learnt."""
