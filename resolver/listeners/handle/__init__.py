"""The Handle protocol's listener (RFC 3652, version 2), TCP and UDP on one port.

`listener.py` binds, `connection.py` and `datagrams.py` are what happens on the sockets (`packets.py` reads that of UDP),
`turn.py` gathers what connections bring, `dialogue.py` makes one reply of one message, `replies.py` is the table from answers
and reasons to response codes, `site.py` what the node says of itself.
"""

from resolver.listeners.handle.limits import HandleLimits
from resolver.listeners.handle.listener import HandleListener
from resolver.listeners.handle.site import node_site

__all__ = ["HandleLimits", "HandleListener", "node_site"]
