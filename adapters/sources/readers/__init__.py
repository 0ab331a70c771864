"""Readers: one for each kind of system that rows come from."""
