"""What the sample registers, as drafts. Deterministic: the same at every start of every node."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice
from typing import Final

from proto.model.value import DEFAULT_PERMISSIONS as USUAL
from proto.model.value import PRIVATE, Value, derive_permissions
from proto.wire.handle.typed import AdminData, compose_admin
from registry.service.plan import Draft
from registry.service.sample.catalogue import Model, cables, transformers

CABLE_PREFIX: Final = "88.118.1001"
EMPTY_PREFIX: Final = "88.118.1002"
TRANSFORMER_PREFIX: Final = "88.382.91411000MA40XCDL1K"

PRODUCTS_EACH: Final = 5_000
SAMPLE_1: Final = f"{CABLE_PREFIX}/SAMPLE-1"
SAMPLE_2: Final = f"{CABLE_PREFIX}/SAMPLE-2"

# All values are of one moment, so that two nodes with the sample hold the same values.
TIME_S: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())

_FIRST_DAY: Final = date(2024, 1, 1)
_PER_DAY: Final = 10
_ALL_RIGHTS: Final = 0x0FFF
_ADMINISTRATOR: Final = f"{CABLE_PREFIX}/ADMIN"
_ADMINISTRATOR_INDEX: Final = 200


def products() -> Iterator[Draft]:
    """The products of both enterprises."""
    mixed = [model for pair in zip(cycle(transformers()), cables(), strict=False) for model in pair]
    yield from _made(CABLE_PREFIX, mixed)
    yield from _made(TRANSFORMER_PREFIX, transformers())


def showpieces() -> tuple[Draft, Draft]:
    """The two identifiers that are named in documents: a transformer and a cable, with values of every audience."""
    transformer, cable = transformers()[9], cables()[3]
    administrator = compose_admin(AdminData(_ALL_RIGHTS, _ADMINISTRATOR, _ADMINISTRATOR_INDEX))
    first = (
        _text(1, "URL", "https://example.cn/products/SAMPLE-1"),
        _text(2, "TITLE", f"{transformer.kind} {transformer.name} 样品"),
        _text(3, "META", _meta(transformer)),
        Value(100, "HS_ADMIN", administrator, timestamp=TIME_S),
        _private(900, "NOTE", "出厂试验记录编号 SY-2026-0001，仅供本企业内部使用"),
    )
    second = (
        _text(1, "URL", "https://example.cn/products/SAMPLE-2"),
        _text(2, "TITLE", f"{cable.kind} {cable.name} 样品"),
        _text(3, "META", _meta(cable)),
    )
    return Draft(SAMPLE_1, first), Draft(SAMPLE_2, second)


def _made(prefix: str, models: list[Model]) -> Iterator[Draft]:
    for number, model in enumerate(islice(cycle(models), PRODUCTS_EACH), 1):
        day = _FIRST_DAY + timedelta(days=number // _PER_DAY)
        serial = f"{day:%y%m}{number:05d}"
        suffix = f"{model.category}-{model.code}-{serial}"
        values = (
            _text(1, "URL", f"https://example.cn/products/{suffix}"),
            _text(2, "TITLE", f"{model.kind} {model.name} 出厂编号 {serial}"),
            _text(3, "META", _meta(model)),
            _text(4, "SERIAL_NUMBER", serial),
            _text(5, "PRODUCTION_DATE", day.isoformat()),
        )
        yield Draft(f"{prefix}/{suffix}", values)


def _meta(model: Model) -> str:
    return json.dumps({"model": model.name, **model.ratings}, ensure_ascii=False, separators=(",", ":"))


def _text(index: int, kind: str, text: str) -> Value:
    return Value(index, kind, text.encode(), timestamp=TIME_S)


def _private(index: int, kind: str, text: str) -> Value:
    return Value(index, kind, text.encode(), timestamp=TIME_S, permissions=derive_permissions(USUAL, PRIVATE), audience=PRIVATE)
