"""Loads the sample into an empty store, once, through the use cases.

What is loaded last, `SAMPLE-1`, says that all is there: a load that was cut short is gone on with at the next start, where
rows that are there already come out as unchanged.
"""

import logging
from itertools import islice
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role
from proto.model.change import Table
from proto.model.identifier import parse_identifier
from proto.model.prefix import normalise
from proto.ports import RecordReader
from proto.tables import unpack_prefix
from registry.service.context import Context
from registry.service.execute import Written
from registry.service.plan import Outcome
from registry.service.registry import Registry
from registry.service.sample.products import (
    CABLE_PREFIX,
    EMPTY_PREFIX,
    SAMPLE_1,
    TRANSFORMER_PREFIX,
    products,
    showpieces,
)

log = logging.getLogger(__name__)

HOMED: Final = ("88.118", "88.382")

# Code, name and prefix of each enterprise. The codes have right check digits and are nobody's.
ENTERPRISES: Final = (
    ("91411002MA45TEKA4M", "许昌示例线缆有限公司", CABLE_PREFIX),
    ("91411003MA46HQLB79", "许昌示例开关有限公司", EMPTY_PREFIX),
    ("91411000MA40XCDL1K", "许昌示例变压器有限公司", TRANSFORMER_PREFIX),
)

_BATCH_ROWS: Final = 1_000
_CONTEXT: Final = Context(Caller("node", Role.OPERATOR), request_id="sample")


async def load_sample(registry: Registry) -> bool:
    """Load the sample, or what is missing of it; False if it is there, or if the store holds something else.

    Raises `Refusal`.
    """
    await registry.executor.catch_up()
    reader = registry.executor.reader
    if _is_complete(reader) or not (_is_empty(reader) or _is_begun(reader)):
        return False
    await _found(registry)
    drafts = products()
    while batch := list(islice(drafts, _BATCH_ROWS)):
        _check(await registry.register_batch(_CONTEXT, batch))
    last, first = showpieces()
    for draft in (first, last):
        _check(await registry.register_batch(_CONTEXT, [draft]))
    log.info("the sample is loaded")
    return True


async def _found(registry: Registry) -> None:
    """Enterprises and prefixes, those that are missing."""
    reader = registry.executor.reader
    for name in HOMED:
        if reader.prefix(name) is None:
            await registry.create_prefix(_CONTEXT, name)
    for code, name, prefix in ENTERPRISES:
        if reader.image(Table.REGISTRANT, code) is None:
            await registry.create_registrant(_CONTEXT, code, name)
        if reader.prefix(prefix.lower()) is None:
            await registry.create_prefix(_CONTEXT, prefix, code)


def _check(written: Written) -> None:
    refused = next((each for each in written.outcomes if each.outcome is Outcome.REFUSED), None)
    if refused is not None:
        raise Refusal(refused.reason or Reason.INTERNAL, f"the sample's {refused.identifier}: {refused.detail}", refused.field)


def _is_complete(reader: RecordReader) -> bool:
    identifier = parse_identifier(SAMPLE_1)
    return reader.record(normalise(identifier, reader.homing(identifier.prefix))) is not None


def _is_empty(reader: RecordReader) -> bool:
    """Whether nobody holds anything: the node's own prefixes do not count."""
    held = [unpack_prefix(image) for image in reader.images(Table.PREFIX).values()]
    return not reader.images(Table.REGISTRANT) and not any(prefix.registrant or prefix.in_use for prefix in held)


def _is_begun(reader: RecordReader) -> bool:
    """Whether a load was cut short: the first enterprise is founded before anything else is."""
    code, _, prefix = ENTERPRISES[0]
    found = reader.prefix(prefix)
    return reader.image(Table.REGISTRANT, code) is not None and (found is None or found.registrant == code)
