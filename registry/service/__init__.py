"""Use cases, one file per verb: they read through a view, ask the policy and commit."""
