"""Files written whole or not at all, documents read with limits, and what ended processes left behind."""
