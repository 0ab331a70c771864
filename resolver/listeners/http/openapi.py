"""The document at `/openapi.json`: what this port serves (OpenAPI 3.1). A test holds it against the routes."""

from typing import Any, Final

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _reply(text: str, schema: dict[str, Any], kind: str = _JSON) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema}}}


def _problem(text: str) -> dict[str, Any]:
    return _reply(text, _ref("Problem"), _PROBLEM)


def _parameter(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": schema}


_IDENTIFIER: Final = {
    "name": "identifier",
    "in": "path",
    "required": True,
    "description": "Everything after the route's prefix, percent-decoded once; slashes may stand as they are.",
    "schema": {"type": "string"},
    "example": "88.118.1001/SAMPLE-1",
}
_INDEX: Final = _parameter(
    "index",
    "Only the value at this index; may be repeated.",
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 4294967295}},
)
_TYPE: Final = _parameter(
    "type",
    "Only values of this type, or ending in `.` of this family; may be repeated. Index and type select side by side.",
    {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 256}},
)
_AFTER: Final = _parameter("after", "Wait until the change at this position shows.", {"type": "string", "maxLength": 64})
_BOOLEAN: Final = {"type": "string", "enum": ["1", "true", "yes", "0", "false", "no", ""]}

_RECURSIVE: Final = _parameter(
    "recursive",
    "`true`: ask the node that a prefix is delegated to, instead of referring to it; `false`: ask no other node at all.",
    _BOOLEAN,
)
_MAX_AGE: Final = _parameter(
    "max_age_s", "The age that a copy of another node's answer must be below.", {"type": "integer", "minimum": 0}
)

_ERRORS: Final = {
    "401": _problem("The token is wrong, or values are insisted on that need one."),
    "403": _problem("The identifier or its prefix is suspended, or the token does not open all that is insisted on."),
    "404": _problem("Nothing is registered under the identifier."),
    "410": _problem("The identifier is retired and will not be used again."),
    "502": _problem("Another node knows the identifier, and has not answered."),
    "503": _problem("This worker cannot answer now, or does not show the position asked for yet."),
}

_HANDLES: Final = {
    "operationId": "getHandle",
    "summary": "Resolve an identifier (Handle JSON API).",
    "security": [{}, {"token": []}],
    "parameters": [
        _IDENTIFIER, _INDEX, _TYPE, _AFTER,
        _parameter("publicOnly", "`true`: as if without token; `false`: refuse values that stay closed.", _BOOLEAN),
        _RECURSIVE, _MAX_AGE,
        _parameter("auth", "`true`: no copy of another node's answer will do.", _BOOLEAN),
        _parameter("pretty", "Indent the document.", _BOOLEAN),
        _parameter("callback", "Answer with a call of this function (JSONP).", {"type": "string", "maxLength": 128}),
    ],
    "responses": {
        "200": _reply("The record, or with `responseCode` 200 that no readable value matches.", _ref("HandleRecord")),
        "304": {"description": "The client has this very answer (`If-None-Match`)."},
        "400": _problem("The request is malformed, or (`responseCode` 301) the prefix is not homed here."),
        **_ERRORS,
    },
}  # fmt: skip

_RESOLVE: Final = {
    "operationId": "resolve",
    "summary": "Resolve an identifier.",
    "security": [{}, {"token": []}],
    "parameters": [
        _IDENTIFIER, _INDEX, _TYPE, _AFTER,
        _parameter("explain", "Say how the answer came about.", _BOOLEAN),
        _parameter("wants_private", "Refuse, instead of leaving out, values that the token does not open.", _BOOLEAN),
        _RECURSIVE, _MAX_AGE,
    ],
    "responses": {
        "200": _reply("The record, or with `responseCode` 200 that no readable value matches.", _ref("Resolution")),
        "304": {"description": "The client has this very answer (`If-None-Match`)."},
        "400": _problem("The request is malformed."),
        **(_ERRORS | {"404": _problem("Nothing is registered, or (`responseCode` 301) the prefix is not homed here.")}),
    },
}  # fmt: skip

_BATCH: Final = {
    "operationId": "resolveBatch",
    "summary": "Resolve up to 1,000 identifiers; one result each, in order.",
    "security": [{}, {"token": []}],
    "requestBody": {"required": True, "content": {_JSON: {"schema": _ref("Batch")}}},
    "responses": {
        "200": {
            "description": "The results; with `Accept: application/x-ndjson` one a line, each sent as soon as it is there.",
            "content": {
                _JSON: {
                    "schema": {
                        "type": "object",
                        "required": ["results"],
                        "properties": {"results": {"type": "array", "items": _ref("Result")}},
                    }
                },
                "application/x-ndjson": {"schema": _ref("Result")},
            },
        },
        "400": _problem("The body is malformed."),
        "401": _ERRORS["401"],
        "413": _problem("The body is too long, or has more than 1,000 identifiers."),
        "415": _problem("The body is not JSON in UTF-8."),
        "503": _ERRORS["503"],
    },
}

_STATE: Final = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
_PROBES: Final = {
    "/healthz": {"get": {"operationId": "health", "summary": "Alive.", "responses": {"200": _reply("Alive.", _STATE)}}},
    "/readyz": {
        "get": {
            "operationId": "ready",
            "summary": "Whether this worker answers.",
            "responses": {"200": _reply("Ready.", _STATE), "503": _reply("Not ready.", _STATE)},
        }
    },
    "/openapi.json": {
        "get": {
            "operationId": "openapi",
            "summary": "This document.",
            "responses": {"200": _reply("This document.", {"type": "object"})},
        }
    },
}

_VALUES: Final = {"type": "array", "items": _ref("Value")}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_SCHEMAS: Final = {
    "Value": {
        "type": "object",
        "required": ["index", "type", "data", "ttl", "timestamp"],
        "properties": {
            "index": {"type": "integer"},
            "type": {"type": "string"},
            "data": {
                "type": "object",
                "required": ["format", "value"],
                "properties": {"format": {"enum": ["string", "base64", "admin", "vlist", "site", "key"]}, "value": {}},
            },
            "ttl": {"type": ["integer", "string"], "description": "Seconds, or the time until which copies may be kept."},
            "timestamp": {"type": "string", "format": "date-time"},
            "permissions": {"type": "string", "description": "Only if not 1110.", "pattern": "^[01]{4}$"},
            "references": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["handle", "index"],
                    "properties": {"handle": {"type": "string"}, "index": {"type": "integer"}},
                },
            },
        },
    },
    "HandleRecord": {
        "type": "object",
        "required": ["responseCode", "handle", "values"],
        "properties": {"responseCode": {"enum": [1, 200]}, "handle": {"type": "string"}, "values": _VALUES},
    },
    "Resolution": {
        "type": "object",
        "required": [
            "responseCode", "status", "asked", "identifier", "state", "version", "values", "aliases", "template", "registrant",
            "source", "age_s", "ttl_s",
        ],
        "properties": {
            "responseCode": {"enum": [1, 200]},
            "status": {"const": 200},
            "asked": {"type": "string", "description": "As it was asked."},
            "identifier": {"type": "string", "description": "The record's own registered spelling, whatever was asked."},
            "state": {"const": "active"},
            "version": {"type": "integer"},
            "values": _VALUES,
            "aliases": _TEXTS,
            "template": {"type": "string"},
            "registrant": {"type": "string"},
            "source": {"enum": ["authoritative", "cached", "stale"]},
            "age_s": {"type": "integer"},
            "ttl_s": {"type": "integer"},
            "explanation": _TEXTS,
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "reason"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "reason": {"type": "string", "description": "`not_found`, `suspended`, `retired`, `not_homed`, ..."},
            "detail": {"type": "string"},
            "field": {"type": "string", "description": "The offending part of the request."},
            "responseCode": {"type": "integer", "description": "The Handle protocol's code."},
            "asked": {"type": "string"},
            "identifier": {"type": "string"},
            "handle": {"type": "string"},
            "message": {"type": "string"},
            "state": {"enum": ["suspended", "retired"]},
            "version": {"type": "integer"},
            "explanation": _TEXTS,
        },
    },
    "Result": {"oneOf": [_ref("Resolution"), _ref("Problem")]},
    "Batch": {
        "type": "object",
        "required": ["identifiers"],
        "additionalProperties": False,
        "properties": {
            "identifiers": {"type": "array", "maxItems": 1000, "items": {"type": "string"}},
            "types": {"type": "array", "maxItems": 2048, "items": {"type": "string", "minLength": 1, "maxLength": 256}},
            "indexes": {"type": "array", "maxItems": 2048, "items": {"type": "integer", "minimum": 0, "maximum": 4294967295}},
            "after": {"type": "string", "maxLength": 64},
            "explain": {"type": "boolean"},
            "wants_private": {"type": "boolean"},
            "recursive": {"type": "boolean"},
            "max_age_s": {"type": "integer", "minimum": 0},
        },
    },
}  # fmt: skip

DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "biaojie resolver", "version": "1", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
    "paths": {
        "/api/handles/{identifier}": {"get": _HANDLES},
        "/api/v1/resolve/{identifier}": {"get": _RESOLVE},
        "/api/v1/resolve": {"post": _BATCH},
        **_PROBES,
    },
    "components": {"schemas": _SCHEMAS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
}
