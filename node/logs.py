"""Structured logs on standard error: one JSON object a line, or a line for people on a terminal.

Every record carries the process's name and, inside a request, its request id. Whatever code passes as `extra={...}` becomes
a member of its own, so a log can be searched by field. Nothing but this module configures logging.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

from node.config import LogFormat, LogLevel
from proto.request_id import REQUEST_ID

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# The library of gRPC logs a client that went before it took its answer as an error of the node, with a traceback.
_GRPC: Final = "grpc._cython.cygrpc"
_CLIENT_GONE: Final = "ExecuteBatchError"

# A field may quote what a caller sent: enough to recognise it, too little to fill a disk.
MAX_FIELD_CHARS: Final = 4_096


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the code that logged passed as `extra`, and the request id in force."""
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    request_id = REQUEST_ID.get()
    if request_id:
        fields.setdefault("request_id", request_id)
    return fields


class JsonFormatter(logging.Formatter):
    """`time` (UTC, milliseconds), `level`, `process`, `pid`, `logger`, `message`, the fields, `exception`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": os.getpid(),
            "logger": record.name,
            "message": _clip(record.getMessage()),
        }
        for name, value in fields_of(record).items():
            document[name] = value if isinstance(value, int | float | bool | None) else _clip(str(value))
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`time level process logger: message field=value ...`, for a terminal."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_clip(str(value))}" for name, value in fields_of(record).items())
        head = f"{_time(record)} {record.levelname.lower():7} {self._process:9} {record.name}:"
        line = f"{head} {_clip(record.getMessage())}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_logs(process: str, level: LogLevel, form: LogFormat) -> None:
    """Send the logs of this process to standard error; uncaught exceptions and warnings included."""
    is_text = form is LogFormat.TEXT or (form is LogFormat.AUTO and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter(process) if is_text else JsonFormatter(process))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger(_GRPC).addFilter(_is_of_the_node)
    sys.excepthook = _log_uncaught


def _is_of_the_node(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC's library tells of more than a client that has gone."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != _CLIENT_GONE


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("node").critical("the process ends by an error", exc_info=(kind, error, trace))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clip(text: str) -> str:
    return text if len(text) <= MAX_FIELD_CHARS else f"{text[:MAX_FIELD_CHARS]}..."
