"""Reading the body of an HTTP answer that may be longer than it ought to be."""

import aiohttp


async def read_up_to(answer: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The whole body; None if it is longer than `limit` bytes."""
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)
