"""The vertical: how cameras were held, and what that makes of a world frame."""
