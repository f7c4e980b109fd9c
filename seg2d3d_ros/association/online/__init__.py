"""Revisions of a map that changes → instances with persistent ids, solved anew only where something changed."""
