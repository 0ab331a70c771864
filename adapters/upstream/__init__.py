"""The national node: what it is told by us."""
