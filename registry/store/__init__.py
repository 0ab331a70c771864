"""The store contract and its drivers."""
