"""Where a referral sends an HTTP client: to the same question at the other node, whatever the identifier is."""

from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest

from proto.model.answer import Referral
from proto.wire.http.target import decode_part
from resolver.listeners.http.documents import handle_reply, resolve_reply
from resolver.listeners.http.questions import PLAIN, Layout

BELOW = "/base/api/handles/"


def location(referral: Referral, layout: Layout = PLAIN) -> str:
    return handle_reply(referral, layout, False).headers["Location"]


def referral(identifier: str, indexes: tuple[int, ...] = (), types: tuple[str, ...] = ()) -> Referral:
    return Referral(identifier, "88.118.8", (), "https://node.example/base/", indexes, types)


@pytest.mark.parametrize(
    "suffix", ["x", "a/b", "a b", "变压器", "a?b#c", "50%", "a%2Fb", "..", ".", "../..", "a/../b", "/", "\\", "a&b=c"]
)
def test_it_leads_to_the_same_identifier(suffix: str) -> None:
    identifier = f"88.118.8/{suffix}"
    # As browsers and curl do it: steps upwards are taken before anything is sent.
    said = urlsplit(location(referral(identifier)))
    assert (said.netloc, said.query) == ("node.example", "")
    path = urlsplit(urljoin("https://node.example/", said.path)).path
    assert path.startswith(BELOW)
    assert decode_part(path.removeprefix(BELOW), "identifier") == identifier


def test_what_was_selected_is_selected_there() -> None:
    asked = referral("88.118.8/x", (1, 7), ("URL", "型 号&"))
    wanted = [("index", "1"), ("index", "7"), ("type", "URL"), ("type", "型 号&")]
    assert parse_qsl(urlsplit(location(asked)).query) == wanted
    assert parse_qsl(urlsplit(location(asked, Layout(True, "show"))).query) == [
        *wanted,
        ("pretty", "true"),
        ("callback", "show"),
    ]
    assert resolve_reply(asked, None, False).headers["Location"] == location(asked)
