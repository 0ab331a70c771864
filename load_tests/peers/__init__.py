"""Servers that the node is measured beside, each started as its own process on the core where the node's worker is measured."""
