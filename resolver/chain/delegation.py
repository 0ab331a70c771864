"""Who answers: the home of the asked identifier. What lives nowhere here is refused; what this node has handed to another
one will be referred to it from here."""

from proto.model.query import Query
from proto.ports import RecordReader
from resolver.chain.step import Resolve, Result
from resolver.service import locate


class DelegationStep:
    """Locates the query, so that what follows only sees identifiers that are homed here."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def resolve(self, query: Query, following: Resolve) -> Result:
        locate(query, self._reader)
        return following(query)
