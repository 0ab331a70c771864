"""The sample of a fresh node: enterprises, prefixes and ten thousand products made from a real catalogue (see README.md)."""
