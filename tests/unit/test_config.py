"""Configuration: sources and their order, typed values, and all mistakes at once."""

import itertools
import json
import tomllib
from pathlib import Path

import pytest

from node.config import KINDS, PORT_KEYS, Config, config_of_document, parse_servers, value_of
from node.kinds import Secret
from node.sources import ConfigMistakes, load_config

REFERENCE = Path(__file__).resolve().parents[2] / "deploy" / "node.toml"


def mistakes_of(file: Path | None = None, overrides: list[tuple[str, str]] | None = None, **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigMistakes) as caught:
        load_config(file, overrides or [], environ)
    return caught.value.mistakes


def test_the_reference_file_holds_every_key_with_its_default() -> None:
    assert tomllib.loads(REFERENCE.read_text()) == Config().to_document()
    assert load_config(REFERENCE, environ={}) == Config()


def test_the_reference_file_explains_every_key() -> None:
    lines = REFERENCE.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if "=" in line and not line.startswith("#"):
            # A comment may speak of two keys that stand together.
            assert before.startswith("#") or "=" in before, f"{line} is not explained"


def test_no_file_is_needed() -> None:
    assert load_config(environ={}) == Config()


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[resolver]\nhttp_port = 1001\nhandle_port = 1002\ngrpc_port = 1003\nhost = "::1"\n')
    environ = {"BIAOJIE_RESOLVER__HANDLE_PORT": "2002", "BIAOJIE_RESOLVER__GRPC_PORT": "2003"}
    resolver = load_config(file, [("resolver.grpc_port", "3003"), ("resolver.workers", "3")], environ).resolver
    assert (resolver.host, resolver.http_port, resolver.handle_port, resolver.grpc_port) == ("::1", 1001, 2002, 3003)
    assert resolver.workers == 3


def test_values_are_typed_from_text() -> None:
    texts = [
        ("node.homed", "88.118, 88.382"), ("node.data", "a/b"), ("resolver.http_port", "off"), ("node.metrics_port", "0"),
        ("node.drain_s", "2.5"), ("node.log_level", "debug"), ("node.kind", "enterprise"),
    ]  # fmt: skip
    config = load_config(None, texts, {})
    assert config.node.homed == ("88.118", "88.382")
    assert config.node.data == Path("a/b")
    assert config.resolver.http_port is None
    assert config.node.metrics_port == 0
    assert config.node.drain_s == 2.5
    assert (config.node.log_level, config.node.kind) == ("debug", "enterprise")


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('stray = 1\n[resolver]\nhttp_prt = 1\nworkers = "two"\n[nowhere]\nx = 1\n[node]\nrole = "boss"\n')
    found = mistakes_of(file, [("node.metrics_port", "70000"), ("node.homed", "88..1")], BIAOJIE_STORE__DRIVER="sqlite")
    for part in (
        "stray: a key outside of any section",
        "resolver.http_prt: there is no such key; did you mean resolver.http_port?",
        "resolver.workers: expected a whole number",
        "nowhere.x: there is no such key",
        'node.role: "boss" is not one of primary, replica',
        "node.metrics_port: 70000 is not a port",
        'node.homed: "88..1"',
        'BIAOJIE_STORE__DRIVER: store.driver: "sqlite"',
    ):
        assert sum(part in mistake for mistake in found) == 1, part
    assert len(found) == 8


def test_a_mistake_says_where_it_was_made(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[resolver]\nworkers = -1\n")
    assert mistakes_of(file)[0].startswith(f"{file}: resolver.workers: ")
    assert mistakes_of(overrides=[("x", "1")])[0].startswith("--set: x: ")


@pytest.mark.parametrize("content", ["[resolver", "[a]\nb = 1\nb = 2", "\xff"])
def test_a_file_that_is_not_toml_is_a_mistake(tmp_path: Path, content: str) -> None:
    file = tmp_path / "node.toml"
    file.write_bytes(content.encode("latin-1"))
    assert len(mistakes_of(file)) == 1


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes_of(tmp_path / "absent.toml")[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("node.role", "replica"), ("registry.tls_cert", "c"),
        ("registry.tls_key", "k"), ("store.driver", "postgresql"), ("store.dsn", "postgresql://x"),
    ],
)  # fmt: skip
def test_what_is_not_built_yet_is_refused_by_name(key: str, value: str) -> None:
    (mistake,) = mistakes_of(overrides=[(key, value)])
    assert key in mistake
    assert "not built" in mistake or "is built yet" in mistake


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("upstream.handle", "example.org", "is not HOST:PORT"),
        ("upstream.handle", "example.org:0", "is not HOST:PORT"),
        ("upstream.handle", "a:1,", "is not HOST:PORT"),
        ("upstream.handle", "::1:2641", "is written in brackets"),
        ("upstream.handle", "a..b:2641", "is not the name or address of a host"),
        ("redis.url", "redis://a..b/0", "is wanted"),
        ("upstream.networks", "10.0.0.1/8", "is not a network"),
        ("upstream.inner_networks", "10.0.0.1/8", "is not a network"),
        ("upstream.timeout_s", "0", "is not between"),
        ("node.seal_key", "a password", "64 hexadecimal digits are wanted"),
        ("node.seal_key", "ab" * 31, "64 hexadecimal digits are wanted"),
        ("node.seal_keys_former", "ab" * 32, "of use only beside the present one"),
        ("redis.url", "redis://x:port", "is wanted"),
        ("redis.url", "redis://", "is wanted"),
        ("redis.url", "127.0.0.1:6379", "is wanted"),
        ("node.kind", "recursive", "a recursive node needs somebody to ask"),
    ],
)
def test_what_cannot_be_asked_is_a_mistake(key: str, value: str, says: str) -> None:
    (mistake,) = mistakes_of(overrides=[(key, value)])
    assert says in mistake


def test_several_upstreams_are_parted_by_commas() -> None:
    config = load_config(None, [("upstream.handle", "a.example:2641, [::1]:3641"), ("node.kind", "recursive")], {})
    assert parse_servers(config.upstream.handle) == (("a.example", 2641), ("::1", 3641))


def test_a_port_is_used_once() -> None:
    (mistake,) = mistakes_of(overrides=[("resolver.grpc_port", "8080")])
    assert mistake == "resolver.grpc_port: port 8080 is already that of resolver.http_port"
    free = load_config(None, [(key, "0") for key in PORT_KEYS], {})
    assert all(value_of(free, key) == 0 for key in PORT_KEYS)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("resolver.dns_zone", "", "expected a domain name, not an empty string"),
        ("resolver.dns_zone", "标识.cn", "is not a domain name"),
        ("resolver.dns_zone", "a..b", "is not a domain name"),
        ("resolver.dns_zone", ".", "is not a domain name"),
        ("resolver.dns_zone", ".".join(["x" * 50] * 6), "is longer than a domain name may be"),
        ("resolver.dns_servers", "ns1.example.cn, -", "is not a domain name"),
        ("resolver.dns_servers", "ns1.ID.Internal.", "lies in the zone"),
        ("resolver.dns_port", "5353x", "resolver.dns_port"),
    ],
)
def test_a_zone_and_its_servers_are_domain_names(key: str, value: str, why: str) -> None:
    (mistake,) = mistakes_of(overrides=[(key, value)])
    assert key in mistake
    assert why in mistake


def test_a_zone_is_written_as_people_do() -> None:
    resolver = load_config(
        None, [("resolver.dns_zone", "ID.Example.cn."), ("resolver.dns_servers", "ns1.example.cn, ns2.example.cn")], {}
    ).resolver
    assert (resolver.dns_zone, resolver.dns_servers) == ("ID.Example.cn.", ("ns1.example.cn", "ns2.example.cn"))


def test_secrets_come_from_environment_or_file_and_do_not_show(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("redis://:hunter2@127.0.0.1:6379/0\n")
    assert load_config(None, [("redis.url", f"file:{file}")], {}).redis.url == "redis://:hunter2@127.0.0.1:6379/0"
    file.write_text("http://:hunter2@127.0.0.1\n")
    (found,) = mistakes_of(overrides=[("redis.url", f"file:{file}")])
    assert "is wanted" in found
    assert "hunter2" not in found
    assert "the environment has no NOPE" in mistakes_of(overrides=[("redis.url", "env:NOPE")])[0]
    assert "cannot be read" in mistakes_of(overrides=[("redis.url", "file:/nonexistent")])[0]
    assert "hunter2" not in repr(Config(redis=type(Config().redis)(url=Secret("hunter2"))))


def test_a_configuration_survives_being_told_to_a_child() -> None:
    config = load_config(None, [("resolver.http_port", "off"), ("node.homed", "88.118"), ("node.drain_s", "3")], {})
    assert config_of_document(json.loads(json.dumps(config.to_document()))) == config


def test_every_listening_port_has_a_key() -> None:
    assert {key for key in KINDS if key.endswith("_port")} == set(PORT_KEYS)
