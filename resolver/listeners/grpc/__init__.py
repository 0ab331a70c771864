"""The resolver over gRPC (`biaojie.v1.Resolver`), with health and reflection, on an HTTP/2 of our own.

`listener` binds and sweeps, `connection` drives `proto.wire.http2` with what the socket brings, `exchange` is a call that is
not answered at once, `calls` knows the methods; `lookups`, `health` and `reflection` are them.
"""

from resolver.listeners.grpc.listener import GrpcListener
from resolver.listeners.grpc.lookups import SERVICE

__all__ = ["SERVICE", "GrpcListener"]
