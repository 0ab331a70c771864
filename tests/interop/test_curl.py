"""curl types paths as people do: slashes, dots, percent signs and Chinese reach the identifier that was meant."""

import json
import subprocess
from typing import Any
from urllib.parse import quote

import pytest

from tests.interop.conftest import HOMED, ODD_SUFFIXES
from tests.support.machine import need_program
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

# As typed (the suffix of the path), and what of it the identifier is.
TYPED = [
    ("a/b", "a/b"),
    ("a//b", "a//b"),
    ("/a", "/a"),
    ("a/", "a/"),
    ("a%2Fb", "a/b"),
    ("a%2fb", "a/b"),
    ("a%2F%2Fb", "a//b"),
    ("a%252Fb", "a%2Fb"),
    ("50%25", "50%"),
    ("a%20b", "a b"),
    ("a+b", "a+b"),
    ("a%2Bb", "a+b"),
    ("a&b=c;d", "a&b=c;d"),
    ("a%3Fb", "a?b"),
    ("a%23b", "a#b"),
    ("..", ".."),
    ("%2E%2E", ".."),
    ("../a", "../a"),
    ("%2e%2e%2Fa", "../a"),
    ("a/../b", "a/../b"),
    ("./a", "./a"),
    ("a/./b", "a/./b"),
    ("变压器/S20-M-630", "变压器/S20-M-630"),
    ("%E5%8F%98%E5%8E%8B%E5%99%A8%2FS20-M-630", "变压器/S20-M-630"),
    ("变%E5%8E%8B器/S20-M-630", "变压器/S20-M-630"),
    ("a\\b", "a\\b"),
    ("'quoted'", "'quoted'"),
    ('"quoted"', '"quoted"'),
    ("{a}", "{a}"),
    ("[1-3]", "[1-3]"),
    ("~a", "~a"),
    ("%7Ea", "~a"),
    ("a:b@c", "a:b@c"),
    ("a,b", "a,b"),
    ("A/B", "a/b"),
]


class Curl:
    """Runs curl against one port of the node; paths are sent as they are given."""

    def __init__(self, command: str, node: RunningNode, key: str) -> None:
        self._command = command
        self._url = f"http://127.0.0.1:{node.ports[key]}"

    def __call__(self, path: str, *options: str, as_is: bool = True) -> tuple[int, dict[str, Any]]:
        """The status, and the document in the body."""
        dots = ["--path-as-is"] if as_is else []
        words = [self._command, "-q", "-sS", "--globoff", "--noproxy", "*", "--max-time", "20", *dots, *options]
        done = subprocess.run(
            [*words, "-w", "\n%{http_code}", f"{self._url}{path}"], capture_output=True, text=True, check=True, timeout=30
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body.startswith("{") else {"text": body}


@pytest.fixture
def resolver(node: RunningNode) -> Curl:
    return Curl(need_program("curl", "curl"), node, "resolver.http_port")


@pytest.fixture
def registry(node: RunningNode) -> Curl:
    return Curl(need_program("curl", "curl"), node, "registry.http_port")


@pytest.mark.parametrize(("typed", "suffix"), TYPED, ids=[typed for typed, _ in TYPED])
def test_a_path_as_typed(resolver: Curl, typed: str, suffix: str) -> None:
    status, document = resolver(f"/api/handles/{HOMED}/{typed}")
    assert (status, document["responseCode"]) == (200, 1), document
    assert [value["data"]["value"] for value in document["values"]] == [f"{HOMED}/{suffix}"]
    status, document = resolver(f"/api/v1/resolve/{HOMED}/{typed}")
    assert (status, document["identifier"]) == (200, f"{HOMED}/{suffix}")


@pytest.mark.parametrize("suffix", ODD_SUFFIXES)
def test_a_path_that_is_escaped_whole(resolver: Curl, suffix: str) -> None:
    status, document = resolver(f"/api/handles/{quote(f'{HOMED}/{suffix}', safe='')}")
    assert (status, document["handle"]) == (200, f"{HOMED}/{suffix}")


def test_every_odd_name_was_typed() -> None:
    assert {suffix for _, suffix in TYPED} == set(ODD_SUFFIXES) - {"a.b", "ü"}


def test_dots_that_curl_squeezes_itself_never_reach_us(resolver: Curl) -> None:
    # Without --path-as-is curl asks for .../88.118.1/b, which is nobody's.
    status, document = resolver(f"/api/handles/{HOMED}/a/../b", as_is=False)
    assert (status, document["responseCode"], document["handle"]) == (404, 100, f"{HOMED}/b")


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/api/v1/resolve/88.118.1/50%", 400, "invalid_encoding"),
        ("/api/v1/resolve/88.118.1/%F", 400, "invalid_encoding"),
        ("/api/v1/resolve/88.118.1/%FF%FE", 400, "invalid_encoding"),
        ("/api/v1/resolve/88.118.1/%C0%AF", 400, "invalid_encoding"),
        ("/api/v1/resolve/88.118.1/%00", 400, "invalid_identifier"),
        ("/api/v1/resolve/88.118.1/a%0D%0Ab", 400, "invalid_identifier"),
        ("/api/v1/resolve/../../etc/passwd", 400, "invalid_identifier"),
        ("/api/v1/resolve/99.99/../etc/passwd", 404, "not_homed"),
        ("/api/v1/resolve/", 400, "invalid_identifier"),
        ("/../../../etc/passwd", 404, "not_found"),
        ("//api/v1/resolve/88.118.1/a", 404, "not_found"),
        ("/api/v1/resolve/88.118.1/a?index=x", 400, "invalid_argument"),
    ],
)
def test_what_is_no_identifier_is_a_problem_with_a_name(resolver: Curl, path: str, status: int, reason: str) -> None:
    found, problem = resolver(path)
    assert (found, problem.get("reason")) == (status, reason), problem


def test_older_and_other_ways_to_ask(resolver: Curl) -> None:
    path = f"/api/handles/{HOMED}/a/b"
    for options in (("--http1.0",), ("--compressed",), ("-H", "Accept: text/html"), ("-H", "Expect: 100-continue")):
        status, document = resolver(path, *options)
        assert (status, document["handle"]) == (200, f"{HOMED}/a/b"), options
    assert resolver(path, "-I")[0] == 200
    assert resolver(path, "-X", "DELETE")[0] == 405
    status, problem = resolver(path, "-H", "Host:")
    assert (status, problem["reason"]) == (400, "malformed_message"), "RFC 9112 3.2 wants a host"


def test_names_are_written_as_they_are_typed(registry: Curl, resolver: Curl, node: RunningNode) -> None:
    body = json.dumps({"values": [{"index": 1, "type": "NOTE", "data": {"format": "string", "value": "curl"}}]})
    options = ("-X", "PUT", "-H", f"Authorization: Bearer {node.token}", "-H", "Content-Type: application/json", "-d", body)
    for typed, suffix in (
        ("w/a/../b//", "w/a/../b//"), ("w/电缆/%E7%BA%BF", "w/电缆/线"), ("w%2F1%252F2", "w/1%2F2"), ("w/50%25+", "w/50%+"),
    ):  # fmt: skip
        status, written = registry(f"/api/v1/identifiers/{HOMED}/{typed}", *options)
        assert (status, written["identifier"]) == (201, f"{HOMED}/{suffix}"), written
        assert resolver(f"/api/handles/{HOMED}/{typed}")[1]["handle"] == f"{HOMED}/{suffix}"
