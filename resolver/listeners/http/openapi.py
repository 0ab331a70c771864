"""The document at `/openapi.json`: what this port serves (OpenAPI 3.1)."""

from typing import Any, Final

DOCUMENT: Final[dict[str, Any]] = {}
