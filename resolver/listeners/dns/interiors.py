"""Prefixes that are not homed here, but have homed ones below them: `88` where `88.118` is homed.

Their names exist, because names below them do, and must not be denied: a resolver that is told that a name does not exist knows
that nothing below it does (RFC 8020), and many ask label by label from the zone downwards (RFC 9156).
"""

from proto.model.change import Table
from proto.model.identifier import PREFIX_OF_PREFIXES, ancestors
from proto.ports import RecordReader
from resolver.answer_cache import AnswerCache


class Interiors:
    """Found out anew when the table of prefixes has changed, which the answer cache is told of."""

    def __init__(self, reader: RecordReader, answers: AnswerCache) -> None:
        self._reader = reader
        self._answers = answers
        self._generation = -1
        self._found: set[str] = set()

    def __contains__(self, prefix: str) -> bool:
        if self._generation != self._answers.generation:
            found: set[str] = set()
            for homed in (*self._reader.images(Table.PREFIX), PREFIX_OF_PREFIXES):
                for name in ancestors(homed):
                    if name in found:
                        break
                    found.add(name)
            self._found, self._generation = found, self._answers.generation
        return prefix in self._found
