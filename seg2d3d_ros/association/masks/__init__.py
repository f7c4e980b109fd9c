"""Instances + segments → what is published of each mask: parts of cut segments, missed views, recovered masks."""
