"""`biaojie statistics` and `biaojie audit`: how much is registered and resolved, and who of the city has read what."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from node.cli.outcome import DONE, Failed
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json, columns, facts, shown
from node.client.rest import RefusedByServer, RestClient, Unreachable

_PAGE: Final = 1_000
_FIGURES: Final = ("registered", "active", "resolved", "missed")
_ACCESS_HEADS: Final = ("at", "account", "reading", "registrant", "subject", "count", "way", "request_id")


class StatisticsCommand:
    """What is registered, active and resolved."""

    HELP: Final = "show what is registered, active and resolved"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--registrant", metavar="CODE", help="whose (default: all that may be seen)")
        parser.add_argument("--by", choices=("prefix", "enterprise"), help="tell figures apart by this")
        parser.add_argument("--days", metavar="N", type=int, default=0, help="those of the last so many days as well")
        _add_options(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        query = {"days": str(arguments.days)}
        for name in ("registrant", "by"):
            if getattr(arguments, name) is not None:
                query[name] = getattr(arguments, name)
        document = _call(arguments, lambda client: client.call("GET", "/api/v1/statistics", query=query))
        print(as_json(document) if arguments.json else "\n".join(_statistics(document, arguments.by)))
        return DONE


class AuditCommand:
    """Who of the city has read what."""

    HELP: Final = "show who of the city has read what of an enterprise, newest first"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--registrant", metavar="CODE", help="whose things (default: all that may be seen)")
        parser.add_argument("--limit", metavar="N", type=int, default=_PAGE, help=f"how many at most (default: {_PAGE})")
        _add_options(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        documents: list[dict[str, Any]] = _call(arguments, lambda client: list(_accesses(client, arguments)))
        rows = [[shown(each.get(head)) for head in _ACCESS_HEADS] for each in documents]
        print(as_json(documents) if arguments.json else "\n".join(columns(_ACCESS_HEADS, rows)))
        return DONE


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_registry_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _call(arguments: argparse.Namespace, ask: Any) -> Any:
    try:
        with registry_client(arguments) as client:
            return ask(client)
    except (RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None


def _accesses(client: RestClient, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    left = arguments.limit
    query = {} if arguments.registrant is None else {"registrant": arguments.registrant}
    while left > 0:
        query["limit"] = str(min(left, _PAGE))
        page = client.call("GET", "/api/v1/audit/accesses", query=query)
        yield from page["accesses"]
        left -= len(page["accesses"])
        if not page.get("cursor"):
            return
        query["after"] = page["cursor"]


def _statistics(document: Mapping[str, Any], by: str | None) -> Iterator[str]:
    yield from facts({"enterprises": document["enterprises"], "prefixes": document["prefixes"], **document["total"]})
    if by is not None:
        yield ""
        rows = [[name, *(shown(each[figure]) for figure in _FIGURES)] for name, each in document["groups"].items()]
        yield from columns((by, *_FIGURES), rows)
    if document["days"]:
        heads = ("day", "added", *_FIGURES)
        yield ""
        yield from columns(heads, [[shown(day[head]) for head in heads] for day in document["days"]])


STATISTICS: Final = StatisticsCommand()
AUDIT: Final = AuditCommand()
