"""Others' systems, reached through their interfaces and through the node's APIs; see README.md."""
