"""Log lines: fields, request ids, hostile text."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from node.config import LogFormat, LogLevel
from node.logs import MAX_FIELD_CHARS, JsonFormatter, TextFormatter, configure_logs
from proto.request_id import REQUEST_ID


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("test").makeRecord("test", logging.INFO, __file__, 1, message, arguments, None, extra=extra)


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter("worker-1").format(made)
    assert "\n" not in line
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_line_holds_who_when_and_what() -> None:
    document = as_json(record("%d rows", 3, prefix="88.118", rows=3, done=True))
    assert document["message"] == "3 rows"
    assert (document["level"], document["process"], document["logger"]) == ("info", "worker-1", "test")
    assert document["time"].endswith("Z")
    assert (document["prefix"], document["rows"], document["done"]) == ("88.118", 3, True)
    assert "request_id" not in document


def test_the_request_id_in_force_is_in_every_line() -> None:
    token = REQUEST_ID.set("r-1")
    try:
        assert as_json(record("x"))["request_id"] == "r-1"
        assert as_json(record("x", request_id="r-2"))["request_id"] == "r-2"
        assert TextFormatter("node").format(record("x")).endswith("request_id=r-1")
    finally:
        REQUEST_ID.reset(token)


def test_what_callers_sent_neither_breaks_lines_nor_fills_the_disk() -> None:
    document = as_json(record("变压器\n%s", "y" * 10_000, identifier="a\nb" * 5_000))
    assert len(document["message"]) <= MAX_FIELD_CHARS + 3
    assert len(document["identifier"]) <= MAX_FIELD_CHARS + 3
    assert "变压器" in JsonFormatter("node").format(record("变压器"))


def test_an_exception_is_in_the_line() -> None:
    try:
        raise ValueError("by request")
    except ValueError as error:
        made = record("it failed")
        made.exc_info = (type(error), error, error.__traceback__)
    assert "ValueError: by request" in as_json(made)["exception"]
    assert "ValueError: by request" in TextFormatter("node").format(made)


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.usefixtures("logging_as_before")
def test_logs_of_a_pipe_are_json_and_below_the_level_silent(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("node", LogLevel.WARNING, LogFormat.AUTO)
    logging.getLogger("x").info("not this")
    logging.getLogger("x").warning("but this")
    lines = capfd.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["but this"]


@pytest.mark.usefixtures("logging_as_before")
def test_a_client_of_grpc_that_has_gone_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    class ExecuteBatchError(Exception):
        """As the library's own, which cannot be made outside it."""

    configure_logs("worker-1", LogLevel.INFO, LogFormat.JSON)
    library = logging.getLogger("grpc._cython.cygrpc")
    for error in (ExecuteBatchError(), ValueError("a fault")):
        library.error("raised by a servicer", exc_info=error)
    (line,) = capsys.readouterr().err.splitlines()
    assert "a fault" in line
