"""Keyframes one by one, in any order → sparse models after each, checked against global solutions."""
