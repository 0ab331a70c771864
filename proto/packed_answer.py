"""What a packed record answers to a question for all that is public of it: what every way of composing it has to come to."""

from proto.model.answer import Found, Source
from proto.packing import PackedRecord, least_ttl_s


def found_in(raw: bytes, asked: str, now_s: int) -> Found:
    """The answer with a packed active record that has public values, as of `now_s` (UTC); of a copy, as it is shown.

    A copy whose home did not tell how it writes the identifier has it as it was `asked`.
    """
    record = PackedRecord(raw)
    values, _ = record.select()
    facts = (record.version, record.aliases, record.template, record.registrant)
    if record.is_copy:
        age_s, ttl_s, _ = record.told
        return Found(asked, record.identifier or asked, *facts, ttl_s, Source.CACHED, age_s, values=values)
    return Found(asked, record.identifier, *facts, least_ttl_s(values, now_s, 0), values=values)
