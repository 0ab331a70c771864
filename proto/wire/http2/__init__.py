"""HTTP/2, the server's half, without I/O (RFC 9113).

`connection` is one connection: bytes are fed, events come out; answers are sent, bytes come out. `blocks` reads and writes
header blocks, `fields` judges what is in them, `frames` composes frames, `codes` names numbers, `limits` says how much.

The hard idea is to pay for generality only where it is needed. Nearly every request that a busy resolver gets is two frames
that came in one piece and is answered before the next one is looked at: it passes no stream object, no queue and, once its
header block is known, no decoder. Whatever is less than that (a request in parts, an answer that does not fit the peer's
window, an answer that has to be waited for) gets a `Stream` that remembers it.
"""
