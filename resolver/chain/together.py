"""Many queries at once: what they will look up is read together, then each passes the chain by itself.

So a batch costs one look at each prefix and one reading of all records (and one more of those that aliases point to), and
every answer is the chain's own, exactly that of a single question: nothing here decides anything. What was read ahead is only
used at the position at which it was read, so a query that had to wait reads anew.
"""

from collections.abc import Callable, Sequence

from proto.model.query import Query
from proto.ports import RecordReader
from resolver.chain.step import Resolve, Result
from resolver.service import read_ahead

ResolveMany = Callable[[Sequence[Query]], list[Result]]


def resolve_together(resolve: Resolve, reader: RecordReader) -> ResolveMany:
    """A function from many queries to their results, in order, made of the chain."""

    def resolve_many(queries: Sequence[Query]) -> list[Result]:
        ahead = read_ahead(queries, reader)
        for query in queries:
            query.ahead = ahead
        return [resolve(query) for query in queries]

    return resolve_many


def one_by_one(resolve: Resolve) -> ResolveMany:
    """The same without reading ahead."""
    return lambda queries: [resolve(query) for query in queries]
