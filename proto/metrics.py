"""The metrics of the whole process tree: one name per thing, as data. `node.metrics` builds them; all others only count.

Names follow Prometheus' conventions and carry the prefix `biaojie_`. Label values come from closed sets (a protocol, an
outcome, a reason, a prefix in the table), never from what a caller sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from proto.errors import Reason


class Counter(Protocol):
    def labels(self, *values: str) -> "Counter": ...
    def inc(self, amount: float = 1) -> None: ...


class Gauge(Protocol):
    def labels(self, *values: str) -> "Gauge": ...
    def set(self, value: float) -> None: ...
    def inc(self, amount: float = 1) -> None: ...
    def dec(self, amount: float = 1) -> None: ...


class Histogram(Protocol):
    def labels(self, *values: str) -> "Histogram": ...
    def observe(self, amount: float) -> None: ...

    def observe_many(self, amount: float, count: int) -> None:
        """What `observe` called `count` times would come to, for as little as once."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """How one gauge of several live processes becomes one figure."""

    SUM = "livesum"
    MAX = "livemax"


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. `presets` are the label values that exist from the first scrape."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    presets: tuple[tuple[str, ...], ...] = ()
    merge: Merge = Merge.SUM
    buckets: Sequence[float] = ()


# From a tenth of a cached answer to a stalled disk.
SECONDS_BUCKETS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip

PROTOCOLS: Final = ("http", "grpc", "handle", "handle-udp", "dns", "dns-tcp")
_PROTOCOL_PRESETS: Final = tuple((protocol,) for protocol in PROTOCOLS)
# While there is no feed, or nothing delegated, the figures are there without a name: to Prometheus an empty label is none, and
# sums are zero.
_NO_FEED: Final = ""
_NO_PREFIX: Final = ""
_NO_SOURCE: Final = ""

CATALOGUE: Final[dict[str, Spec]] = {
    "resolve_requests": Spec(
        "biaojie_resolve_requests_total", Kind.COUNTER, "Resolutions answered.", ("protocol", "outcome", "scheme"),
        tuple((protocol, "found", "handle") for protocol in PROTOCOLS),
    ),
    "resolve_seconds": Spec(
        "biaojie_resolve_seconds", Kind.HISTOGRAM,
        "Node time of one resolution that the answer cache did not answer.", ("protocol",), _PROTOCOL_PRESETS,
        buckets=SECONDS_BUCKETS,
    ),
    "loop_wait_seconds": Spec(
        "biaojie_loop_wait_seconds", Kind.HISTOGRAM,
        "How long a lookup arriving now would have waited for the worker's event loop.", buckets=SECONDS_BUCKETS,
    ),
    "answer_cache_hits": Spec("biaojie_answer_cache_hits_total", Kind.COUNTER, "Answers served from the answer cache."),
    "answer_cache_evictions": Spec(
        "biaojie_answer_cache_evictions_total", Kind.COUNTER, "Answers that left the answer cache to make room for others."
    ),
    "answer_cache_bytes": Spec("biaojie_answer_cache_bytes", Kind.GAUGE, "Memory of the answer caches, estimated."),
    "view_lag_changes": Spec(
        "biaojie_view_lag_changes", Kind.GAUGE, "Changes committed and not yet shown by the slowest reader.", merge=Merge.MAX
    ),
    "view_lag_seconds": Spec(
        "biaojie_view_lag_seconds", Kind.GAUGE, "Age of the oldest change not yet shown by the slowest reader.", merge=Merge.MAX
    ),
    "view_switches": Spec("biaojie_view_switches_total", Kind.COUNTER, "Moves of a reader to a newer checkpoint."),
    "overlay_entries": Spec(
        "biaojie_overlay_entries", Kind.GAUGE, "Entries in the largest overlay over a checkpoint.", merge=Merge.MAX
    ),
    "clock_doubt_seconds": Spec(
        "biaojie_clock_doubt_seconds", Kind.GAUGE,
        "How far the machine's clock is from the time that the registry takes instead; 0 while the clock is believed.",
        merge=Merge.MAX,
    ),
    "commits": Spec(
        "biaojie_commits_total", Kind.COUNTER, "Commands by what became of them.", ("outcome",),
        (("committed",), ("replayed",), ("conflict",), ("refused",), ("failed",)),
    ),
    "commit_rows": Spec("biaojie_commit_rows_total", Kind.COUNTER, "Rows committed."),
    "commit_groups": Spec("biaojie_commit_groups_total", Kind.COUNTER, "Groups of commands made durable by one sync."),
    "commit_seconds": Spec(
        "biaojie_commit_seconds", Kind.HISTOGRAM, "From a command's arrival at the committer to its being durable.",
        buckets=SECONDS_BUCKETS,
    ),
    "visibility_seconds": Spec(
        "biaojie_visibility_seconds", Kind.HISTOGRAM, "From durable to visible in every ready local worker.",
        buckets=SECONDS_BUCKETS,
    ),
    "checkpoints": Spec("biaojie_checkpoints_total", Kind.COUNTER, "Checkpoints made."),
    "counts_lag_changes": Spec(
        "biaojie_counts_lag_changes", Kind.GAUGE, "Changes committed and not yet in the counts of identifiers.", merge=Merge.MAX
    ),
    "log_head": Spec("biaojie_log_head", Kind.GAUGE, "Sequence of the last committed change.", merge=Merge.MAX),
    "store_free_bytes": Spec(
        "biaojie_store_free_bytes", Kind.GAUGE, "Free bytes on the store's file system.", merge=Merge.MAX
    ),
    "jobs": Spec("biaojie_jobs_total", Kind.COUNTER, "Jobs by how they ended.", ("outcome",), (("finished",), ("failed",))),
    "import_rows": Spec(
        "biaojie_import_rows_total", Kind.COUNTER, "Rows of imports by what became of them.", ("outcome",),
        (("created",), ("replaced",), ("unchanged",), ("refused",)),
    ),
    "upstream_requests": Spec(
        "biaojie_upstream_requests_total", Kind.COUNTER, "Requests to other nodes.", ("outcome",),
        (("answered",), ("unreachable",), ("timeout",), ("closed",), ("malformed",), ("refused",)),
    ),
    "upstream_breakers_open": Spec(
        "biaojie_upstream_breakers_open", Kind.GAUGE, "Servers of other nodes that a worker takes for dead."
    ),
    "delegate_down": Spec(
        "biaojie_delegate_down", Kind.GAUGE, "Whether the node that a prefix is delegated to does not answer (1).", ("prefix",),
        ((_NO_PREFIX,),), Merge.MAX,
    ),
    "foreign_answers": Spec(
        "biaojie_foreign_answers_total", Kind.COUNTER, "Answers about what lives on other nodes.", ("source",),
        (("cached",), ("stale",), ("failed",)),
    ),
    "shared_copies": Spec(
        "biaojie_shared_copies_total", Kind.COUNTER, "Copies looked up in the shared cache, or put there.",
        ("outcome",), (("found",), ("absent",), ("stored",), ("failed",), ("skipped",)),
    ),
    "foreign_copies": Spec("biaojie_foreign_copies", Kind.GAUGE, "Answers of other nodes that are kept."),
    "feed_lag_changes": Spec(
        "biaojie_feed_lag_changes", Kind.GAUGE, "Changes a feed has not delivered.", ("feed",), ((_NO_FEED,),), Merge.MAX
    ),
    "feed_lag_seconds": Spec(
        "biaojie_feed_lag_seconds", Kind.GAUGE,
        "Age of the oldest change for a feed that its system has not acknowledged; 0 if there is none.", ("feed",),
        ((_NO_FEED,),), Merge.MAX,
    ),
    "feed_dead_letters": Spec(
        "biaojie_feed_dead_letters", Kind.GAUGE, "Dead letters of a feed.", ("feed",), ((_NO_FEED,),), Merge.MAX
    ),
    "feed_paused": Spec(
        "biaojie_feed_paused", Kind.GAUGE, "Whether a feed is paused (1).", ("feed",), ((_NO_FEED,),), Merge.MAX
    ),
    "feed_deliveries": Spec(
        "biaojie_feed_deliveries_total", Kind.COUNTER, "Deliveries of feeds.", ("feed", "outcome"), ((_NO_FEED, "delivered"),)
    ),
    "source_runs": Spec(
        "biaojie_source_runs_total", Kind.COUNTER, "Runs of sources by how they ended.", ("source", "outcome"),
        ((_NO_SOURCE, "done"),),
    ),
    "source_rows": Spec(
        "biaojie_source_rows_total", Kind.COUNTER, "Rows of sources by what became of them.", ("source", "outcome"),
        ((_NO_SOURCE, "created"),),
    ),
    "source_stopped": Spec(
        "biaojie_source_stopped", Kind.GAUGE, "Whether the brake holds what a source has (1).", ("source",), ((_NO_SOURCE,),),
        Merge.MAX,
    ),
    "source_done_timestamp_seconds": Spec(
        "biaojie_source_done_timestamp_seconds", Kind.GAUGE,
        "When a source last ran well, in seconds since 1970; before it ever did, when it was made.", ("source",),
        ((_NO_SOURCE,),), Merge.MAX,
    ),
    "filings": Spec(
        "biaojie_filings", Kind.GAUGE, "Filings by state.", ("state",),
        (("draft",), ("submitted",), ("pending",), ("approved",), ("rejected",)), Merge.MAX,
    ),
    "filing_waiting_seconds": Spec(
        "biaojie_filing_waiting_seconds", Kind.GAUGE, "How long the filing that waits longest has been as it is.",
        merge=Merge.MAX,
    ),
    "filing_answers": Spec(
        "biaojie_filing_answers_total", Kind.COUNTER, "What the upstream said of filings.", ("outcome",),
        (("pending",), ("held",), ("approved",), ("rejected",), ("failed",), ("unknown",)),
    ),
    "connections": Spec(
        "biaojie_connections", Kind.GAUGE, "Open connections.", ("protocol",),
        (*_PROTOCOL_PRESETS, ("registry-http",)),
    ),
    "refused": Spec(
        "biaojie_refused_total", Kind.COUNTER, "Requests refused.", ("reason",), tuple((reason.value,) for reason in Reason)
    ),
    "process_restarts": Spec(
        "biaojie_process_restarts_total", Kind.COUNTER, "Children restarted by the supervisor.", ("process",),
        (("registry",), ("worker",), ("adapters",)),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metrics:
    """One handle per metric of the catalogue, by the same name."""

    resolve_requests: Counter
    resolve_seconds: Histogram
    loop_wait_seconds: Histogram
    answer_cache_hits: Counter
    answer_cache_evictions: Counter
    answer_cache_bytes: Gauge
    view_lag_changes: Gauge
    view_lag_seconds: Gauge
    view_switches: Counter
    overlay_entries: Gauge
    clock_doubt_seconds: Gauge
    commits: Counter
    commit_rows: Counter
    commit_groups: Counter
    commit_seconds: Histogram
    visibility_seconds: Histogram
    checkpoints: Counter
    counts_lag_changes: Gauge
    log_head: Gauge
    store_free_bytes: Gauge
    jobs: Counter
    import_rows: Counter
    upstream_requests: Counter
    upstream_breakers_open: Gauge
    delegate_down: Gauge
    foreign_answers: Counter
    shared_copies: Counter
    foreign_copies: Gauge
    feed_lag_changes: Gauge
    feed_lag_seconds: Gauge
    feed_dead_letters: Gauge
    feed_paused: Gauge
    feed_deliveries: Counter
    source_runs: Counter
    source_rows: Counter
    source_stopped: Gauge
    source_done_timestamp_seconds: Gauge
    filings: Gauge
    filing_waiting_seconds: Gauge
    filing_answers: Counter
    connections: Gauge
    refused: Counter
    process_restarts: Counter
