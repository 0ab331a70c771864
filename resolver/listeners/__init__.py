"""Socket ends, one per protocol: bytes to `Query`, `Answer` to bytes, and nothing else."""
