"""The command line without a node: usage, addresses, tokens, tables."""

import argparse
from pathlib import Path

import pytest

from adapters.city.stand_ins import READERS, WEBHOOKS
from node.cli import COMMANDS, build_parser, feeds, main
from node.cli.outcome import Failed, WrongUsage
from node.cli.place import locate, parse_address, read_token
from node.cli.table import columns
from node.folder import DataFolder


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("node.example", ("node.example", 8000)), ("node.example:81", ("node.example", 81)), ("10.0.0.1:81", ("10.0.0.1", 81)),
        ("[::1]:81", ("::1", 81)), ("[::1]", ("::1", 8000)), ("::1", ("::1", 8000)),
        ("http://node.example:81/", ("node.example", 81)), ("http://node.example", ("node.example", 8000)),
    ],
)  # fmt: skip
def test_servers_are_named_in_every_usual_way(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text, 8000) == address


@pytest.mark.parametrize(
    "text",
    [":81", "node:x", "node:0", "node:65536", "http://", "a..b:81", f"{'a' * 64}:81", "[::1", "http://[::1", "::1]", "node:١"],
)
def test_other_texts_are_no_servers(text: str) -> None:
    with pytest.raises(WrongUsage):
        parse_address(text, 8000)


def place(server: str = "", data: Path | None = None, token_file: Path | None = None) -> argparse.Namespace:
    return argparse.Namespace(server=server, data=data, token_file=token_file)


def test_a_running_node_is_found_by_its_folder(tmp_path: Path) -> None:
    DataFolder(tmp_path).write_ports({"registry.http_port": 4711, "registry.host": "0.0.0.0", "registry.grpc_port": None})
    assert locate(place(data=tmp_path), "registry.http_port") == ("127.0.0.1", 4711)
    with pytest.raises(Failed, match=r"registry\.grpc_port off"):
        locate(place(data=tmp_path), "registry.grpc_port")


def test_a_folder_without_a_running_node_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no node is running"):
        locate(place(data=tmp_path), "registry.http_port")


def test_without_any_hint_the_default_port_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate(place(), "registry.http_port") == ("127.0.0.1", 8000)
    assert locate(place("10.0.0.1"), "registry.http_port") == ("10.0.0.1", 8000)


def test_tokens_come_from_file_environment_and_folder_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIAOJIE_TOKEN", raising=False)
    (tmp_path / "operator-token").write_text("of-the-folder\n")
    (tmp_path / "named").write_text("of-the-file\n")
    assert read_token(place(data=tmp_path)) == "of-the-folder"
    monkeypatch.setenv("BIAOJIE_TOKEN", "of-the-environment")
    assert read_token(place(data=tmp_path)) == "of-the-environment"
    assert read_token(place(data=tmp_path, token_file=tmp_path / "named")) == "of-the-file"
    with pytest.raises(Failed):
        read_token(place(token_file=tmp_path / "absent"))


def test_the_token_of_this_machine_is_not_sent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIAOJIE_TOKEN", raising=False)
    monkeypatch.setenv("BIAOJIE_NODE__DATA", str(tmp_path))
    (tmp_path / "operator-token").write_text("of-the-folder\n")
    assert read_token(place()) == "of-the-folder"
    assert read_token(place("elsewhere.example")) == ""


def test_columns_stand_below_each_other_also_in_chinese() -> None:
    lines = list(columns(("名称", "n"), [("变压器", 1), ("cable", 22)]))
    assert lines == ["名称    n", "变压器  1", "cable   22"]


def test_registered_text_cannot_steer_the_terminal() -> None:
    assert list(columns(("data",), [["a\x1b[2J\nb"]]))[1] == "a\\u001b[2J\\u000ab"


def test_what_a_source_says_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "erp.toml").write_text('"a\\u001b[2J" = 1')
    assert main(["source", "plan", str(tmp_path / "erp.toml"), "--server", "http://127.0.0.1:1"]) != 0
    said = capsys.readouterr().err
    assert "a\\u001b[2J" in said
    assert "\x1b" not in said


def test_wrong_usage_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["no-such-command"])
    assert ended.value.code == 2
    assert main(["check", "--set", "nonsense", "--set", "a.b=1", "--set", "resolver.workers=x"]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in ("--set: nonsense", "a.b: there is no such key", "resolver.workers: expected"))


@pytest.mark.parametrize(
    "words",
    [
        *(["resolve", "88.118.1/\udcff", "--via", via] for via in ("http", "grpc", "handle", "handle-udp", "dns")),
        ["prefix", "show", "88.\udcb1\udce4"],
        ["feed", "pause", "platform", "--note", "\udcff"],
        ["check", "--set", "node.homed=\udcff"],
    ],
)
def test_what_was_typed_in_another_encoding_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    # A terminal that speaks GB 18030 to a process that reads UTF-8.
    assert main(words) == 2
    assert "it is not text in utf-8" in capsys.readouterr().err


def test_every_command_explains_itself() -> None:
    assert set(COMMANDS) >= {"serve", "check", "status", "verify", "resolve"}
    text = build_parser().format_help()
    assert all(command.HELP in text.replace("\n", " ").replace("  ", "") or name in text for name, command in COMMANDS.items())


def test_every_stand_in_can_be_started_by_its_name() -> None:
    assert {*feeds.SYSTEMS} == {*WEBHOOKS}
    assert {*feeds.READERS} == {*READERS}
