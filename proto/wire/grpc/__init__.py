"""What a gRPC call says beside its messages: status codes and metadata, as pure data. Nothing here speaks gRPC itself.

Both gRPC edges (the resolver's listener, the registry's door) and the clients share these tables, so that one reason has
one status wherever it is met. A table is all they share: each plane has a transport of its own and may change it alone.
"""
