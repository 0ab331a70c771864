"""The configuration of a node: its sections, keys and defaults, and what is not built yet.

`node.sources` reads it from a file, the environment and the command line. `deploy/node.toml` is this module in words; a test
keeps the two equal. Keys of what is not built yet are known here: a value that asks for it is refused, and says so.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints
from urllib.parse import urlsplit

from node import kinds
from node.kinds import NO_SECRET, Kind, Secret
from node.sealing import mistakes_in_keys
from proto.errors import Refusal
from proto.hosts import check_host
from proto.limits import MAX_TTL_S
from proto.model.day import start_of
from proto.model.identifier import parse_prefix
from proto.wire.dns.name import parse_written_name
from resolver.upstream.sites import Endpoint, parse_endpoint

# A worker is a process with a view of its own: more of them than cores of the largest machines only cost memory.
MAX_WORKERS: Final = 256

# Of each worker. It is the hot few that answers are kept of: past a few GiB a look-up in the store is as quick.
MAX_ANSWER_CACHE_MIB: Final = 4_096

# One committer takes what about three plan.
MAX_IMPORT_PROCESSES: Final = 16


# Of each worker.
MAX_FOREIGN_CACHE_MIB: Final = 4_096


class Role(StrEnum):
    """Whether this node accepts writes or follows one that does."""

    PRIMARY = "primary"
    REPLICA = "replica"


class NodeKind(StrEnum):
    """The place of this node in the national hierarchy."""

    TOP_LEVEL = "top-level"
    SECONDARY = "secondary"
    ENTERPRISE = "enterprise"
    RECURSIVE = "recursive"


class Driver(StrEnum):
    """The engine of the store."""

    ROCKSDB = "rocksdb"
    POSTGRESQL = "postgresql"


class Line(StrEnum):
    """How a line to the upstream is secured."""

    TLS = "tls"
    TCP = "tcp"


class LogLevel(StrEnum):
    """The least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """`auto`: lines for people on a terminal, otherwise JSON."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


def _check_homed(name: str) -> None:
    try:
        parse_prefix(name)
    except Refusal as refusal:
        raise ValueError(f'"{name}": {refusal.detail}') from None


def parse_servers(text: str) -> tuple[Endpoint, ...]:
    """Servers of the Handle protocol, parted by commas. Raises `ValueError`."""
    return tuple(parse_endpoint(part) for part in text.split(","))


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a network, such as 10.0.0.0/8: {error}') from None


def _check_day(text: str) -> None:
    try:
        start_of(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a day, such as 2026-11-25') from None


def _check_file(name: str) -> None:
    if not name.strip():
        raise ValueError("expected the path of a file, not an empty string")


Host = Annotated[str, kinds.text("an address")]
Port = Annotated[int | None, kinds.port()]
Text = Annotated[str, kinds.text()]
DomainName = Annotated[str, kinds.text("a domain name", parse_written_name)]
SecretText = Annotated[Secret, kinds.secret()]


@dataclass(frozen=True, slots=True)
class NodeSection:
    """The node as a whole."""

    data: Annotated[Path, kinds.path()] = Path("var")
    role: Annotated[Role, kinds.choice(Role)] = Role.PRIMARY
    kind: Annotated[NodeKind, kinds.choice(NodeKind)] = NodeKind.SECONDARY
    homed: Annotated[tuple[str, ...], kinds.texts(_check_homed)] = ()
    seal_key: SecretText = NO_SECRET
    seal_keys_former: SecretText = NO_SECRET
    host: Host = "127.0.0.1"
    metrics_port: Port = 9464
    clock_not_before: Annotated[str, kinds.checked_text(_check_day)] = ""
    drain_s: Annotated[float, kinds.seconds(0.1, 600)] = 10.0
    log_level: Annotated[LogLevel, kinds.choice(LogLevel)] = LogLevel.INFO
    log_format: Annotated[LogFormat, kinds.choice(LogFormat)] = LogFormat.AUTO


@dataclass(frozen=True, slots=True)
class ResolverSection:
    """The workers and their listeners."""

    host: Host = "127.0.0.1"
    workers: Annotated[int, kinds.integer(0, MAX_WORKERS)] = 0
    http_port: Port = 8080
    handle_port: Port = 2641
    grpc_port: Port = 50051
    dns_port: Port = 5353
    dns_zone: DomainName = "id.internal"
    dns_servers: Annotated[tuple[str, ...], kinds.texts(parse_written_name)] = ()
    answer_cache_mib: Annotated[int, kinds.integer(0, MAX_ANSWER_CACHE_MIB)] = 60
    tls_cert: Text = ""
    tls_key: Text = ""


@dataclass(frozen=True, slots=True)
class RegistrySection:
    """The registry's doors."""

    host: Host = "127.0.0.1"
    http_port: Port = 8000
    grpc_port: Port = 50052
    import_processes: Annotated[int | None, kinds.count_or_auto(MAX_IMPORT_PROCESSES)] = None
    tls_cert: Text = ""
    tls_key: Text = ""


@dataclass(frozen=True, slots=True)
class StoreSection:
    """Where records are kept."""

    driver: Annotated[Driver, kinds.choice(Driver)] = Driver.ROCKSDB
    dsn: SecretText = NO_SECRET


@dataclass(frozen=True, slots=True)
class UpstreamSection:
    """Whom to ask for what is not homed here, for whom, and how long the answers hold."""

    handle: Annotated[str, kinds.checked_text(parse_servers)] = ""
    networks: Annotated[tuple[str, ...], kinds.texts(_check_network)] = ("127.0.0.0/8", "::1/128")
    inner_networks: Annotated[tuple[str, ...], kinds.texts(_check_network)] = ()
    timeout_s: Annotated[float, kinds.seconds(0.1, 60)] = 5.0
    cache_mib: Annotated[int, kinds.integer(0, MAX_FOREIGN_CACHE_MIB)] = 16
    max_ttl_s: Annotated[int, kinds.integer(0, MAX_TTL_S)] = 86_400
    negative_ttl_s: Annotated[int, kinds.integer(0, 86_400)] = 60
    stale_s: Annotated[int, kinds.integer(0, MAX_TTL_S)] = 604_800


@dataclass(frozen=True, slots=True)
class RedisSection:
    """A shared cache."""

    url: SecretText = NO_SECRET


@dataclass(frozen=True, slots=True)
class FeedsSection:
    """Which systems of the city are told what changes."""

    profiles: Annotated[tuple[str, ...], kinds.texts(_check_file)] = ()


@dataclass(frozen=True, slots=True)
class SourcesSection:
    """Which systems of enterprises are read."""

    profiles: Annotated[tuple[str, ...], kinds.texts(_check_file)] = ()


@dataclass(frozen=True, slots=True)
class FilingSection:
    """Whom registrants and prefixes are reported to."""

    server: Text = ""
    line: Annotated[Line, kinds.choice(Line)] = Line.TLS
    ca: Text = ""
    cert: Text = ""
    key: Text = ""
    client: Text = ""
    password: SecretText = NO_SECRET
    home: Text = ""
    poll_s: Annotated[float, kinds.seconds(0.05, 86_400)] = 60.0


@dataclass(frozen=True, slots=True)
class SystemsSection:
    """Which further systems of others have an adapter at work."""

    profiles: Annotated[tuple[str, ...], kinds.texts(_check_file)] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole, valid configuration. Field names are the sections of the TOML file."""

    node: NodeSection = NodeSection()
    resolver: ResolverSection = ResolverSection()
    registry: RegistrySection = RegistrySection()
    store: StoreSection = StoreSection()
    upstream: UpstreamSection = UpstreamSection()
    redis: RedisSection = RedisSection()
    feeds: FeedsSection = FeedsSection()
    sources: SourcesSection = SourcesSection()
    filing: FilingSection = FilingSection()
    systems: SystemsSection = SystemsSection()

    @property
    def adapters(self) -> tuple[str, ...]:
        """The sections that ask for an adapter: what there is to do for the adapters' process."""
        asked = {
            "feeds": self.feeds.profiles,
            "sources": self.sources.profiles,
            "filing": self.filing.server,
            "systems": self.systems.profiles,
        }
        return tuple(section for section, wish in asked.items() if wish)

    def to_document(self) -> dict[str, dict[str, Any]]:
        """The configuration as TOML or JSON would hold it, secrets in clear: for the node's own processes only."""
        document: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for path, kind in KINDS.items():
            section, _, name = path.partition(".")
            document[section][name] = kind.tell(value_of(self, path))
        return document


_REDIS_SCHEMES: Final = ("redis", "rediss", "unix")

SECTIONS: Final[dict[str, type[Any]]] = get_type_hints(Config)


def _kinds_of(section: str, declared: type[Any]) -> Iterator[tuple[str, Kind]]:
    hints = get_type_hints(declared, include_extras=True)
    for item in fields(declared):
        yield f"{section}.{item.name}", hints[item.name].__metadata__[0]


KINDS: Final[dict[str, Kind]] = {
    path: kind for section, declared in SECTIONS.items() for path, kind in _kinds_of(section, declared)
}
"""Every key (`section.name`) and how its value is read."""

# Listening ports by their configuration keys.
PORT_KEYS: Final = (
    "resolver.http_port",
    "resolver.handle_port",
    "resolver.grpc_port",
    "resolver.dns_port",
    "registry.http_port",
    "registry.grpc_port",
    "node.metrics_port",
)


def value_of(config: Config, path: str) -> Any:
    """The configured value under a key of `KINDS`."""
    section, _, name = path.partition(".")
    return getattr(getattr(config, section), name)


def build_config(values: Mapping[str, Any]) -> Config:
    """A configuration from typed values by their keys; the others have their defaults."""
    sections = {}
    for section, declared in SECTIONS.items():
        chosen = {key.removeprefix(f"{section}."): value for key, value in values.items() if key.startswith(f"{section}.")}
        sections[section] = declared(**chosen)
    return Config(**sections)


def config_of_document(document: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration that `Config.to_document` told."""
    return build_config(
        {
            f"{section}.{name}": KINDS[f"{section}.{name}"].read(raw)
            for section, entries in document.items()
            for name, raw in entries.items()
        }
    )


def missing_for(key: str, value: Any) -> str:
    """Why a value cannot be served yet, or an empty string."""
    match key, value:
        case "node.role", Role.REPLICA:
            return "replicas are not built yet: only primary is"
        case "registry.tls_cert" | "registry.tls_key", str() if value:
            return "TLS is not built yet: leave it empty and put a TLS proxy in front"
        case "store.driver", Driver.POSTGRESQL:
            return "the PostgreSQL driver is not built yet: only rocksdb is"
        case "store.dsn", str() if value:
            return "no driver that takes an address is built yet: leave it empty"
    return ""


def _fault_of_redis(url: str) -> str:
    """What is wrong with the address of a Redis, without repeating it: it may hold a password."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in _REDIS_SCHEMES and bool(parts.hostname or parts.path) and parts.port != 0
        if parts.hostname:
            check_host(parts.hostname)
    except ValueError:
        is_address = False
    return "" if is_address else "an address such as redis://127.0.0.1:6379/0 is wanted"


def mistakes_between(config: Config) -> Iterator[str]:
    """Mistakes that no single key makes."""
    if config.node.kind is NodeKind.RECURSIVE and not config.upstream.handle:
        yield "upstream.handle: a recursive node needs somebody to ask"
    fault = _fault_of_redis(config.redis.url)
    if fault:
        yield f"redis.url: {fault}"
    taken: dict[int, str] = {}
    for key in PORT_KEYS:
        port = value_of(config, key)
        if port and taken.setdefault(port, key) != key:
            yield f"{key}: port {port} is already that of {taken[port]}"
    if bool(config.resolver.tls_cert) != bool(config.resolver.tls_key):
        yield "resolver.tls_cert, resolver.tls_key: a certificate and its key are of use only together"
    zone = parse_written_name(config.resolver.dns_zone)
    for server in config.resolver.dns_servers:
        if parse_written_name(server)[-len(zone) :] == zone:
            yield f"resolver.dns_servers: {server} lies in the zone, which holds identifiers and no addresses of servers"
    if config.systems.profiles and config.registry.http_port is None:
        yield "systems.profiles: adapters work with registry.http_port, which is off"
    if config.feeds.profiles and config.registry.http_port is None:
        yield "feeds.profiles: feeds read changes from registry.http_port, which is off"
    if config.sources.profiles and config.registry.http_port is None:
        yield "sources.profiles: sources register through registry.http_port, which is off"
    yield from mistakes_in_keys(config)
    if config.filing.server:
        yield from _mistakes_in_filing(config)


def _mistakes_in_filing(config: Config) -> Iterator[str]:
    try:
        parse_endpoint(config.filing.server)
    except ValueError:
        yield f'filing.server: "{config.filing.server}": HOST:PORT is wanted'
    if config.registry.http_port is None:
        yield "filing.server: filing works with registry.http_port, which is off"
    try:
        _check_homed(config.filing.home)
    except ValueError as error:
        yield f"filing.home: the node's own prefix is wanted: {error}"
    if config.filing.line is Line.TCP and (config.filing.ca or config.filing.cert or config.filing.key):
        yield "filing.line: certificates are of no use on a plain line"
