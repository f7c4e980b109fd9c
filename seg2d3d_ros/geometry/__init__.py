"""Poses, cameras, similarities, the vertical, boxes, masks, frames and visibility: what every stage borrows."""
