"""dig, kdig and dnsperf ask the DNS listener as operators do, and every odd identifier has a name that finds it."""

import base64
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.interop.conftest import HOMED, ODD_SUFFIXES
from tests.support.machine import need_program
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

LARGE_OCTETS = 20_000
MANY = 200


def text(index: int, kind: str, data: str) -> dict[str, object]:
    return {"index": index, "type": kind, "data": {"format": "string", "value": data}, "ttl": 600}


RECORDS = {
    f"{HOMED}/dns": [text(1, "URL", "https://example.cn/1"), text(2, "URL", "https://example.cn/变"), text(3, "NOTE", "注")],
    f"{HOMED}/dns-large": [text(1, "META", "x" * LARGE_OCTETS)],
    **{f"{HOMED}/dns-{number:04}": [text(1, "URL", f"https://example.cn/{number}")] for number in range(MANY)},
}


@pytest.fixture(scope="module")
def served(node: RunningNode) -> RunningNode:
    for identifier, values in RECORDS.items():
        assert node.call("PUT", f"/api/v1/identifiers/{quote(identifier, safe='')}", {"values": values}).status in (200, 201)
    return node


def name(identifier: str, piece: str = "") -> str:
    """The name of an identifier, made here once more as proto/wire/dns/README.md tells others to make it."""
    prefix, slash, suffix = identifier.partition("/")
    labels = prefix.split(".")[::-1]
    if slash:
        coded = base64.b32hexencode(suffix.encode()).decode().rstrip("=").lower()
        labels = [suffix if re.fullmatch(r"[a-z0-9-][a-z0-9_-]*", suffix) else f"_{coded}", "_", *labels]
    return ".".join([*([piece] if piece else []), *labels, "id.internal."])


Ask = Callable[..., str]


@pytest.fixture(params=["dig", "kdig"])
def ask(request: pytest.FixtureRequest, served: RunningNode) -> Ask:
    """Runs one of the programs against the listener; what it printed."""
    package = {"dig": "bind9-dnsutils", "kdig": "knot-dnsutils"}[request.param]
    words = [need_program(request.param, package), "@127.0.0.1", "-p", str(served.ports["resolver.dns_port"])]
    words += ["-r"] if request.param == "dig" else []

    def run(*arguments: str) -> str:
        command = [*words, *arguments, "+norecurse", "+timeout=20"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        warnings = [line for line in (done.stdout + done.stderr).splitlines() if "warning" in line.lower()]
        assert not [line for line in warnings if "retrying over TCP" not in line]
        return done.stdout

    return run


def meaning(printed: str) -> tuple[str, list[str]]:
    """The response code, and the records of the answer with single blanks."""
    (status,) = re.findall(r"status: (\w+)", printed)
    answer = re.search(r"^;; ANSWER SECTION:\n((?:[^;\n].*\n)+)", printed, re.MULTILINE)
    return status, [" ".join(line.split()) for line in answer[1].splitlines()] if answer else []


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize("edns", ["+edns=0", "+noedns"])
def test_addresses(ask: Ask, transport: str, edns: str) -> None:
    own = name(f"{HOMED}/dns")
    status, shown = meaning(ask(own, "NAPTR", transport, edns))
    assert (status, sorted(shown)) == (
        "NOERROR",
        [
            f'{own} 600 IN NAPTR 100 1 "u" "x-identifier:https" "!.*!https://example.cn/1!" .',
            f'{own} 600 IN NAPTR 100 2 "u" "x-identifier:https" "!.*!https://example.cn/%E5%8F%98!" .',
        ],
    )
    status, shown = meaning(ask(own, "URI", transport, edns))
    assert (status, sorted(shown)) == (
        "NOERROR",
        [f'{own} 600 IN URI 1 1 "https://example.cn/1"', f'{own} 600 IN URI 2 1 "https://example.cn/%E5%8F%98"'],
    )


def test_what_the_record_is_and_what_the_zone_is(ask: Ask) -> None:
    own = name(f"{HOMED}/dns")
    status, (shown,) = meaning(ask(own, "TXT"))
    assert status == "NOERROR"
    assert re.fullmatch(rf'{re.escape(own)} 600 IN TXT "id={HOMED}/dns" "version=1" "digest=sm3:[0-9a-f]{{64}}"', shown)
    status, (soa,) = meaning(ask("id.internal.", "SOA"))
    assert re.fullmatch(r"id\.internal\. 5 IN SOA id\.internal\. hostmaster\.id\.internal\. \d+ 3600 600 1209600 5", soa)


def test_what_is_not_there(ask: Ask) -> None:
    for own, kind, status in (
        (name(f"{HOMED}/dns-nothing"), "URI", "NXDOMAIN"),
        (name(f"{HOMED}/dns"), "A", "NOERROR"),
        (name(HOMED.partition(".")[0]), "A", "NOERROR"),
    ):
        printed = ask(own, kind)
        assert meaning(printed) == (status, [])
        assert re.search(r"^id\.internal\.\s+5\s+IN\s+SOA\s", printed, re.MULTILINE)
    for own in (name("10.1000/182"), "example.cn."):
        assert meaning(ask(own, "URI")) == ("REFUSED", [])


def test_a_long_answer_is_asked_for_again_over_tcp(ask: Ask) -> None:
    printed = ask(name(f"{HOMED}/dns-large", "_record"), "TXT")
    status, (shown,) = meaning(printed)
    assert status == "NOERROR"
    assert sum(map(len, re.findall(r"x{20,}", shown))) == LARGE_OCTETS
    assert "TCP" in printed


@pytest.mark.parametrize("suffix", ODD_SUFFIXES)
def test_odd_identifiers_have_names_that_find_them(ask: Ask, suffix: str) -> None:
    status, (shown,) = meaning(ask(name(f"{HOMED}/{suffix}"), "TXT"))
    escaped = "".join(chr(octet) if 32 <= octet < 127 else f"\\{octet:03}" for octet in suffix.encode())
    escaped = re.sub(r'(["\\])(?!\d{3})', r"\\\1", escaped) if '"' in suffix or "\\" in suffix else escaped
    assert status == "NOERROR"
    assert f'"id={HOMED}/{escaped}"' in shown


@pytest.mark.parametrize("mode", ["udp", "tcp"])
def test_dnsperf_loses_nothing(served: RunningNode, tmp_path: Path, mode: str) -> None:
    program = need_program("dnsperf", "dnsperf")
    names = [f"{HOMED}/dns-{number:04}" for number in range(MANY)]
    queries = tmp_path / "queries"
    queries.write_text("".join(f"{name(each)} {kind}\n" for each in names for kind in ("NAPTR", "URI", "TXT")))
    port = str(served.ports["resolver.dns_port"])
    done = subprocess.run(
        [program, "-s", "127.0.0.1", "-p", port, "-m", mode, "-d", str(queries), "-n", "3", "-c", "4", "-t", "20", "-e"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    figures = dict(re.findall(r"^ *([\w ]+): +(.+)$", done.stdout, re.MULTILINE))
    count = 3 * 3 * MANY
    assert figures["Queries sent"] == str(count)
    assert figures["Queries completed"].startswith(f"{count} ")
    assert figures["Queries lost"].startswith("0 ")
    assert figures["Response codes"] == f"NOERROR {count} (100.00%)"
