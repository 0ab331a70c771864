"""The control plane: doors, use cases, policy, the committer and its store."""
