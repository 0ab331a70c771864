"""Every limit that more than one package must agree on, with its reason.

A limit of one listener or one store stands beside its code; what is here binds the data itself, so that no
door can accept what another cannot carry.
"""

from typing import Final

# Handle.Net refuses longer messages and so do both Chinese SDKs (RFC 3652 2.1; Handle.Net's own constant).
MAX_MESSAGE_BYTES: Final = 262_144

# A record must fit one Handle message: the Chinese client cannot reassemble a truncated TCP answer.
# The rest of the message is left for envelope, header, identifier and credential.
MAX_RECORD_BYTES: Final = 256_000

# Handle.Net and the SDKs reject a record with more values.
MAX_VALUES: Final = 2_048

# The same limit as the Handle clients'; counted in UTF-8 bytes of the whole `prefix/suffix`.
MAX_IDENTIFIER_BYTES: Final = 2_048

# A prefix as national systems carry it (SNMS: 64 characters).
MAX_PREFIX_BYTES: Final = 64

# A type name is a short word or a handle; longer ones are a client's mistake.
MAX_TYPE_BYTES: Final = 255

# A value's audience is a group name chosen by the registrant.
MAX_GROUP_BYTES: Final = 64
MAX_GROUPS: Final = 64

# One product carries a handful of codes; each alias costs an index entry in the same commit.
MAX_ALIASES: Final = 32

# A record names its template; names are chosen by people.
MAX_TEMPLATE_BYTES: Final = 255

# References per value (RFC 3651 3.1): a list of keys or services, never bulk data.
MAX_REFERENCES: Final = 64

# One change is one atomic command: it is held in memory by the committer, by every worker and by every feed.
MAX_BATCH_ROWS: Final = 2_000
MAX_CHANGE_BYTES: Final = 4 * 1024 * 1024

# What is written beside the rows that were asked for: at most each one's prefix (its first use), and a job's cursor.
MAX_CHANGE_ROWS: Final = 2 * MAX_BATCH_ROWS + 1

# Nodes that one question may pass: top-level, secondary, enterprise and a recursive node before them, twice.
MAX_HOPS: Final = 8

# Filters of one query: more than the values a record may have selects nothing more.
MAX_FILTERS: Final = 2_048

# What one resolution request may ask for at once.
MAX_RESOLVE_BATCH: Final = 1_000

# Idempotency keys: visible ASCII, kept in the store, so bounded; the span is the longest replay a client may need.
MAX_IDEMPOTENCY_KEY_CHARS: Final = 255
IDEMPOTENCY_DAYS: Final = 7

# Relative TTLs: 24 h is the Handle default; a year is the longest that still lets a mistake die out.
DEFAULT_TTL_S: Final = 86_400
MAX_TTL_S: Final = 31_536_000

# Request ids come from outside and are stored with every change.
MAX_REQUEST_ID_CHARS: Final = 128

# A page of any listing: small enough to be answered without holding others up.
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1_000

# A write is acknowledged when every ready local worker shows it, or after this wait: a worker that cannot
# follow must not stop registrations; `after=` on reads covers the rest.
VISIBILITY_WAIT_S: Final = 0.05

# A client counts the deadline of a call from before the call is here: if it gives up so shortly before ours ends, that is why.
DEADLINE_SLACK_S: Final = 1.0

# A read with `after=` waits this long for the view before it is refused as not ready.
FRESHNESS_WAIT_S: Final = 2.0
