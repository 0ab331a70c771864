"""The registry over gRPC: `biaojie.v1.Registry` and `biaojie.v1.Changes` (`proto/v1/registry.proto`, `changes.proto`).

`door` owns the server, `calls` is the frame that every call passes, `requests` and `replies` turn messages into what the
use cases take and back (pure), and the others hold the methods: `identifiers`, `administration`, `follow`.
"""
