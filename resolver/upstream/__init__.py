"""Asking other nodes for what lives there. `resolver/README.md` says how the parts work together."""
