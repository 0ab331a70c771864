"""Small clients, one per protocol, with which `biaojie resolve --via` asks a node exactly as a peer would."""
