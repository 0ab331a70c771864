"""NSD with one server process, holding the same names as the node with the same NAPTR records."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dns.exception
import dns.message
import dns.query

from load_tests.peers.process import HOST, Peer, serving
from load_tests.records import mark_of, name_of
from node.config import Config
from node.started import free_port
from proto.limits import DEFAULT_TTL_S
from proto.wire.dns.identifier_name import name_of as dns_name_of

# Of a million names, on a machine that is busy.
READ_LIMIT_S: Final = 60
ZONE: Final = Config().resolver.dns_zone
# It limits what it sends to one client, and keeps what it read as a second file, unless told otherwise.
_CONFIGURATION: Final = """
server:
    ip-address: {host}@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    rrl-ratelimit: 0
    minimal-responses: yes
remote-control:
    control-enable: no
zone:
    name: {zone}
    zonefile: "zone"
"""
_APEX: Final = f"""$ORIGIN {ZONE}.
@ 5 IN SOA @ hostmaster 1 3600 600 1209600 5
@ 5 IN NS ns.example.cn.
"""


@contextmanager
def filled(records: int, folder: Path) -> Iterator[Peer]:
    """Hold the names of so many records, one address each."""
    port = free_port()
    configuration = folder / "nsd.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, host=HOST, port=port, zone=ZONE))
    with (folder / "zone").open("w") as zone:
        zone.write(_APEX)
        zone.writelines(map(_line, range(records)))
    with serving(["nsd", "-d", "-c", str(configuration)], port, folder) as peer:
        _wait_until_answering(port)
        yield peer


def _wait_until_answering(port: int) -> None:
    """It accepts questions before it has read its zone. Raises `RuntimeError` if it answers none."""
    query = dns.message.make_query(ZONE, "SOA")
    for _ in range(READ_LIMIT_S):
        try:
            dns.query.udp(query, HOST, timeout=1, port=port, ignore_unexpected=True)
        except dns.exception.Timeout:
            continue
        return
    raise RuntimeError("nsd does not answer")


def _name(number: int) -> str:
    """The name of a record, relative to the zone."""
    return b".".join(dns_name_of(name_of(number), ())).decode()


def _line(number: int) -> str:
    uri = mark_of(number).decode()
    return f'{_name(number)} {DEFAULT_TTL_S} IN NAPTR 100 1 "u" "x-identifier:https" "!.*!{uri}!" .\n'
