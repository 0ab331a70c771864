"""What a client would rather have, as its Accept field says it."""

import pytest

from proto.wire.http.accept import is_preferred

LINES, DOCUMENT = "application/x-ndjson", "application/json"


@pytest.mark.parametrize(
    "accepted",
    [
        "application/x-ndjson",
        "Application/X-NDJSON",
        "application/x-ndjson; charset=utf-8",
        "application/x-ndjson;q=0.5",
        "application/x-ndjson, application/json",
        "application/json;q=0.9, application/x-ndjson",
        "application/json;Q=0.2,application/x-ndjson ; q=0.300",
        "*/*;q=0.1, application/x-ndjson",
        "*/*, application/json;q=0, application/x-ndjson;q=0.1",
        "text/html, , nonsense, application/x-ndjson;q=1.000",
    ],
)
def test_lines_are_preferred(accepted: str) -> None:
    assert is_preferred(accepted, LINES, DOCUMENT)


@pytest.mark.parametrize(
    "accepted",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "application/x-ndjson;q=0",
        "application/x-ndjson;q=0.0, application/json",
        "application/json, application/x-ndjson;q=0.5",
        "application/*, application/x-ndjson;q=0.5",
        "*/*, application/x-ndjson;q=0.999",
        "application/x-ndjson;q=2",
        "application/x-ndjson;q=0.1234",
        "application/x-ndjson;q=nan",
        "application/x-ndjson-seq",
        "x-application/x-ndjson",
    ],
)
def test_the_usual_document_is_preferred(accepted: str) -> None:
    assert not is_preferred(accepted, LINES, DOCUMENT)
