"""Large documents, rendered in slices so that others get their turn."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from registry.doors.rest.limits import RENDER_SLICE
from registry.doors.rest.reply import PRIVATE_CACHE, Reply, compose_json
from registry.service.listing import Page

Item = TypeVar("Item")


async def render_page(name: str, page: Page[Item], render: Callable[[Item], dict[str, Any]]) -> Reply:
    """A page: `{<name>: [...], "cursor": "..."}`; no `cursor` on the last."""
    pieces = [b'{"%s":[' % name.encode()]
    for place, item in enumerate(page.items):
        if place:
            pieces.append(b",")
            if place % RENDER_SLICE == 0:
                await asyncio.sleep(0)
        pieces.append(compose_json(render(item)))
    pieces.append(b'],"cursor":' + compose_json(page.cursor) + b"}" if page.cursor else b"]}")
    return Reply(200, b"".join(pieces), headers=dict(PRIVATE_CACHE))
