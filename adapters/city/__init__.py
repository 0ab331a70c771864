"""Feeds: what changes, told to the systems of the city."""
