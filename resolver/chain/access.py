"""Who asks: a bearer token becomes the caller. A token that is wrong is refused, never taken for nobody's.

What an account of the city is shown that the public does not see is written down on the way back (`resolver.readings`).
"""

from functools import partial
from typing import Final

from proto.credentials import account_of_token, token_matches
from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role, caller_of
from proto.model.query import Query
from proto.ports import RecordReader
from resolver.chain.step import Resolve, Result, then
from resolver.readings import Readings

CREDENTIAL_FIELD: Final = "authorization"
"""What a refusal of the token names; one of closed values names nothing."""

# Whether the account exists is nobody's business who does not hold its key: one sentence for all that fails.
_REFUSED: Final = "the token is not a valid key of an enabled account"


class AccessStep:
    """Makes the credential of a query its caller. Without `readings` nothing is written down (for tests of other things)."""

    def __init__(self, reader: RecordReader, readings: Readings | None = None) -> None:
        self._reader = reader
        self._readings = readings

    def resolve(self, query: Query, following: Resolve) -> Result:
        if not query.credential:
            return following(query)
        query.caller = self._caller_of(query.credential)
        if self._readings is None or query.caller.role is not Role.CITY:
            return following(query)
        return then(following(query), partial(self._readings.note, query))

    def _caller_of(self, token: str) -> Caller:
        name = account_of_token(token)
        account = self._reader.account(name) if name is not None else None
        if account is None or not token_matches(token, account):
            raise Refusal(Reason.UNAUTHENTICATED, _REFUSED, CREDENTIAL_FIELD)
        return caller_of(account)
