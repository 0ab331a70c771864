"""Work on files in a thread, safely given up."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


async def in_thread(function: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """`asyncio.to_thread`, but a cancelled caller still waits for the thread: then the file it works on can be closed."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments, **named))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        raise
