"""The OpenAPI 3.1 document, made of the route table: it cannot say anything that is not routed, nor leave anything out."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from proto.wire.http.head import REQUEST_ID, TRACEPARENT
from registry.doors.rest.reply import POSITION, REPLAYED
from registry.doors.rest.route import Answer, Body, Parameter, Route
from registry.doors.rest.schema_parts import ref
from registry.doors.rest.schemas import SCHEMAS

TITLE: Final = "biaojie registry"
API_VERSION: Final = "1"

_TRACE: Final = {
    REQUEST_ID: "The request's own id, or one that was made for it; it is also in logs and in the change.",
    TRACEPARENT: "The W3C trace context of the request, if it had one.",
}
_HEADERS: Final = {
    **_TRACE,
    POSITION: "Where the write stands: an `after` for reads and followers.",
    REPLAYED: "`true` if this is the outcome of an earlier request with the same idempotency key.",
    "ETag": "The version as an entity tag.",
    "Location": "Where it is found.",
    "Accept-Ranges": "`bytes`: parts of it can be asked for.",
    "Content-Range": "Which part of how many bytes this is.",
}


def compose_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": API_VERSION,
            "description": "Registering identifiers. Every write's answer names its position and is visible to reads of this "
            "node. Identifiers stand in paths with raw slashes and are percent-decoded once.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "headers": {name: {"description": about, "schema": {"type": "string"}} for name, about in _HEADERS.items()},
            "responses": {"Refused": _refused()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [_parameter(each) for each in route.parameters],
        "responses": {str(status): _answer(status, answer) for status, answer in route.answers.items()},
        "security": [{}] if route.is_open else [{"bearer": []}, *([{}] if route.method == "GET" else [])],
    }
    operation["responses"]["default"] = {"$ref": "#/components/responses/Refused"}
    if route.body is not None:
        operation["requestBody"] = _body(route.body)
    return operation


def _parameter(parameter: Parameter) -> Mapping[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.is_required,
        "schema": parameter.schema,
    }


def _body(body: Body) -> Mapping[str, Any]:
    content: Mapping[str, Any] = {"schema": ref(body.schema)} if body.schema else {}
    return {
        "required": True,
        "description": f"At most {body.limit} bytes.",
        "content": dict.fromkeys(body.content_types, content),
    }


def _answer(status: int, answer: Answer) -> Mapping[str, Any]:
    response: dict[str, Any] = {"description": answer.description or HTTPStatus(status).phrase}
    response["headers"] = _header_refs((*answer.headers, *_TRACE))
    if answer.content_type:
        response["content"] = {answer.content_type: {"schema": ref(answer.schema)} if answer.schema else {}}
    return response


def _refused() -> Mapping[str, Any]:
    headers = {
        **_header_refs(_TRACE),
        "Retry-After": {"description": "Seconds after which trying again may help.", "schema": {"type": "integer"}},
        "WWW-Authenticate": {"description": "With 401: what is needed.", "schema": {"type": "string"}},
    }
    problem = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": "Refused; nothing was written.", "headers": headers, "content": problem}


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
