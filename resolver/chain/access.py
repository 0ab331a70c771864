"""Who asks: a bearer token becomes the caller. A token that is wrong is refused, never taken for nobody's."""

from typing import Final

from proto.credentials import account_of_token, token_matches
from proto.errors import Reason, Refusal
from proto.model.account import Caller, caller_of
from proto.model.query import Query
from proto.ports import RecordReader
from resolver.chain.step import Resolve, Result

CREDENTIAL_FIELD: Final = "authorization"
"""What a refusal of the token names; one of closed values names nothing."""

# Whether the account exists is nobody's business who does not hold its key: one sentence for all that fails.
_REFUSED: Final = "the token is not a valid key of an enabled account"


class AccessStep:
    """Makes the credential of a query its caller."""

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    def resolve(self, query: Query, following: Resolve) -> Result:
        if query.credential:
            query.caller = self._caller_of(query.credential)
        return following(query)

    def _caller_of(self, token: str) -> Caller:
        name = account_of_token(token)
        account = self._reader.account(name) if name is not None else None
        if account is None or not token_matches(token, account):
            raise Refusal(Reason.UNAUTHENTICATED, _REFUSED, CREDENTIAL_FIELD)
        return caller_of(account)
