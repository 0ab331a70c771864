"""`biaojie registrant|prefix|account VERB ...`: the registry's nouns over its REST, each described by a line of a table.

`list`, `show` and `create` are the same for all; further verbs are a POST each. What `create` takes are the noun's `fields`.
"""

import argparse
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from node.cli.outcome import DONE, Failed, WrongUsage
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json, columns, facts, shown
from node.client.rest import RefusedByServer, RestClient, Unreachable
from resolver.upstream.sites import parse_endpoint

_PAGE: Final = "1000"
_LIFE_CYCLE: Final = {
    "submit": "hand it in for a decision",
    "approve": "decide for it",
    "reject": "decide against it",
    "suspend": "let nothing of it answer or be written",
    "resume": "end a suspension",
}
_STATES: Final = ("draft", "submitted", "approved")


@dataclass(frozen=True, slots=True)
class Field:
    """An option of `create`, and the member of the document that it fills."""

    member: str
    help: str
    is_required: bool = False
    choices: Sequence[str] | None = None


@dataclass(frozen=True)
class Noun:
    """A command of the command line for one noun of the registry."""

    name: str
    plural: str
    key: str
    heads: Sequence[str]
    fields: Sequence[Field]
    verbs: Mapping[str, str] = field(default_factory=dict)
    has_groups: bool = False
    is_delegated: bool = False

    @property
    def HELP(self) -> str:  # noqa: N802  # the name that all commands have
        return f"list, show, create and change {self.plural}"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        listing = self._verb(verbs, "list", f"list {self.plural}")
        listing.add_argument("--registrant", metavar="CODE", help="whose (default: all that may be seen)")
        self._verb(verbs, "show", f"show one {self.name}", has_key=True)
        creating = self._verb(verbs, "create", f"create a {self.name}", has_key=True)
        for each in self.fields:
            flag = f"--{each.member.replace('_', '-')}"
            creating.add_argument(flag, dest=each.member, help=each.help, required=each.is_required, choices=each.choices)
        for verb, meaning in self.verbs.items():
            self._verb(verbs, verb, meaning, has_key=True)
        if self.has_groups:
            for verb, meaning in (("grant", "let it read a registrant's group"), ("revoke", "take that back")):
                granting = self._verb(verbs, verb, meaning, has_key=True)
                granting.add_argument("granting", metavar="REGISTRANT", help="whose values the group opens")
                granting.add_argument("group", metavar="GROUP")

        if self.is_delegated:
            delegating = self._verb(
                verbs, "delegate", "hand it to another node, which answers for it from now on", has_key=True
            )
            delegating.add_argument(
                "--site", metavar="ADDRESS:PORT", action="append", required=True,
                help="Handle listener of that node; further ones are mirrors (repeatable)",
            )  # fmt: skip
            delegating.add_argument("--url", metavar="URL", default="", help="its HTTP address, for callers over HTTP")
            self._verb(verbs, "host", "take it back: this node answers for it from now on", has_key=True)

    def run(self, arguments: argparse.Namespace) -> int:
        try:
            with registry_client(arguments) as client:
                documents = self._ask(client, arguments)
        except (RefusedByServer, Unreachable) as failure:
            raise Failed(str(failure)) from None
        if arguments.json:
            print(as_json(documents if arguments.verb == "list" else documents[0]))
        else:
            print("\n".join(self._table(documents) if arguments.verb == "list" else facts(documents[0])))
        return DONE

    def _verb(self, verbs: Any, verb: str, meaning: str, *, has_key: bool = False) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(verb, help=meaning, description=meaning)
        if has_key:
            parser.add_argument("key", metavar=self.key.upper())
        add_registry_options(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    def _ask(self, client: RestClient, arguments: argparse.Namespace) -> list[dict[str, Any]]:
        all_of_them = f"/api/v1/{self.plural}"
        one = f"{all_of_them}/{quote(getattr(arguments, 'key', ''), safe='')}"
        match arguments.verb:
            case "list":
                return list(self._pages(client, all_of_them, arguments.registrant))
            case "show":
                return [client.call("GET", one)]
            case "create":
                given = {each.member: getattr(arguments, each.member) for each in self.fields}
                document = {member: text for member, text in given.items() if text is not None}
                return [client.call("POST", all_of_them, {self.key: arguments.key, **document})]
            case "grant" | "revoke":
                group = f"{one}/groups/{quote(arguments.granting, safe='')}/{quote(arguments.group, safe='')}"
                return [client.call("PUT" if arguments.verb == "grant" else "DELETE", group)]
            case "delegate":
                document = {"sites": site_documents(arguments.site), "url": arguments.url}
                return [client.call("PUT", f"{one}/delegation", document)]
            case "host":
                return [client.call("DELETE", f"{one}/delegation")]
            case verb:
                return [client.call("POST", f"{one}/{verb}")]

    def _pages(self, client: RestClient, path: str, registrant: str | None) -> Iterator[dict[str, Any]]:
        query = {"limit": _PAGE} if registrant is None else {"limit": _PAGE, "registrant": registrant}
        while True:
            page = client.call("GET", path, query=query)
            yield from page[self.plural]
            if not page.get("cursor"):
                return
            query["after"] = page["cursor"]

    def _table(self, documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        return columns(self.heads, [[shown(document.get(head)) for head in self.heads] for document in documents])


def site_documents(servers: Sequence[str]) -> list[dict[str, Any]]:
    """A site of one server for each `ADDRESS:PORT`, the first of them the primary, as data of HS_SITE in JSON.

    Raises `WrongUsage` for what is no address and port: a site holds addresses, not names.
    """
    documents = []
    for place, text in enumerate(servers):
        try:
            endpoint = parse_endpoint(text)
            ipaddress.ip_address(endpoint.host)
        except ValueError:
            raise WrongUsage(f'--site: "{text}" is not ADDRESS:PORT') from None
        interfaces = [
            {"query": True, "admin": False, "protocol": protocol, "port": endpoint.port} for protocol in ("TCP", "UDP")
        ]
        site = {
            "version": 1,
            "protocolVersion": "2.0",
            "serialNumber": 1,
            "primarySite": place == 0,
            "servers": [{"serverId": 1, "address": endpoint.host, "interfaces": interfaces}],
        }
        documents.append({"format": "site", "value": site})
    return documents


_ROLES: Final = ("operator", "registrant", "city", "upstream")
_STATE: Final = Field("state", "where its life cycle begins (default: approved)", choices=_STATES)

COMMANDS: Final[Mapping[str, Noun]] = {
    noun.name: noun
    for noun in (
        Noun(
            "registrant", "registrants", "code", ("code", "state", "version", "changed", "name"),
            (Field("name", "the enterprise's name", is_required=True), _STATE), _LIFE_CYCLE,
        ),
        Noun(
            "prefix", "prefixes", "name", ("name", "registrant", "state", "suffix_rule", "in_use", "version", "changed"),
            (
                Field("registrant", "code of the registrant that holds it (default: the node's own)"),
                Field("suffix_rule", "how suffixes compare (default: fold_ascii)", choices=("fold_ascii", "exact")),
                _STATE,
            ),
            _LIFE_CYCLE,
            is_delegated=True,
        ),
        Noun(
            "account", "accounts", "name", ("name", "role", "registrant", "enabled", "version", "changed", "groups"),
            (
                Field("role", "what it may do at all", is_required=True, choices=_ROLES),
                Field("registrant", "code of the registrant that it acts for"),
            ),
            {
                "rotate-key": "give it a new key; the old one opens nothing any more",
                "enable": "open a closed account",
                "disable": "close it: its key opens nothing",
            },
            has_groups=True,
        ),
    )
}  # fmt: skip
