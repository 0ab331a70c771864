"""The resolver's HTTP: the Handle JSON API and our own, on aiohttp's server without its router.

The router would normalise paths (`..`, `//`, `%2F`), and an identifier may contain all of them; so the raw request target
is taken apart (`proto.wire.http.target`), requests become queries (`questions`), answers documents (`documents`) with one
status table (`statuses`), and only `connection`, `exchange` and `listener` know sockets.
"""
