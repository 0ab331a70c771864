"""What the city's brain gets: indicators, the figures of each day, and alarms, as events. Pure.

There are two kinds of alarms. `resolution-success`: over the last minutes fewer questions than wanted were answered with a
record (of few questions nothing is concluded, and the alarm stays as it is). `enterprise-node/PREFIX`: the node that a prefix
is delegated to does not answer.

An alarm is told when it is raised or cleared, and as it stands when the watch begins: whoever was away, the system or the
adapters, knows how things are now. Figures of then are of no use once there are newer ones, so what was not taken is not
kept but worked out anew.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from adapters.city.core.event import Event, compose_event
from adapters.city.core.indicators import Indicators
from adapters.city.core.selection import Document, Interest

INDICATORS: Final = "indicators"
DAY: Final = "day"
ALARM: Final = "alarm"

# What the figures of all are called as a subject.
NODE: Final = "node"
SUCCESS: Final = "resolution-success"
LIVENESS: Final = "enterprise-node"

_FIGURES: Final = ("registered", "active", "resolved", "missed")

# Samples of the window at most: one a second for the longest window would be as many as nobody needs.
MAX_SAMPLES: Final = 10_000


# A prefix of which nothing is said any more was taken back, or whoever watches its node died and has not asked it yet: some
# seconds for a restart, and half a minute for a thousand nodes that do not answer.
UNSEEN_S: Final = 120.0


class AlarmState(StrEnum):
    """How an alarm stands."""

    RAISED = "raised"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted in all at a moment (seconds, monotonic)."""

    at_s: float
    resolved: int
    missed: int


class Watch:
    """Makes events of one look at the node after the other."""

    def __init__(self, indicators: Indicators) -> None:
        self._indicators = indicators
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._alarms: dict[str, Document] = {}
        self._days: dict[str, Document] = {}
        self._told: dict[str, object] = {}
        self._unseen: dict[str, float] = {}
        """Prefixes with an alarm of which nothing is said, and since when."""

    def look(self, statistics: Document, down: Mapping[str, bool], now_s: float) -> list[Event]:
        """The events of a look: `statistics` as the registry gives them, `down` by prefix whether its node does not answer."""
        success = self._success(Sample(now_s, statistics["total"]["resolved"], statistics["total"]["missed"]))
        for name, alarm in self._judge(success, down, now_s):
            self._alarms[name] = alarm
        self._days = {day["day"]: day for day in statistics["days"]}
        at = statistics["at"]
        events = [self._compose(INDICATORS, NODE, at, self._indicate(statistics, success))]
        for name, day in self._days.items():
            if self._told.get(name) != day:
                events.append(self._compose(DAY, name, at, day))
        for name, alarm in sorted(self._alarms.items()):
            if self._told.get(name) != alarm["state"]:
                events.append(self._compose(ALARM, name, at, {"alarm": name, **alarm}))
        return events

    def settle(self) -> None:
        """What the last look came to was taken: it is told again only if it changes."""
        self._told = {**self._days, **{name: alarm["state"] for name, alarm in self._alarms.items()}}

    def _indicate(self, statistics: Document, success: float | None) -> Document:
        raised = sorted(name for name, alarm in self._alarms.items() if alarm["state"] == AlarmState.RAISED)
        return {
            "enterprises": statistics["enterprises"],
            "prefixes": statistics["prefixes"],
            **{name: statistics["total"][name] for name in _FIGURES},
            "success": success,
            "alarms": raised,
        }

    def _success(self, sample: Sample) -> float | None:
        """The share of questions of the window that were answered with a record; None of too few."""
        samples = self._samples
        if samples and (sample.resolved < samples[-1].resolved or sample.missed < samples[-1].missed):
            samples.clear()  # the node was restored: it counts from less
        samples.append(sample)
        while len(samples) > 1 and samples[1].at_s <= sample.at_s - self._indicators.window_s:
            samples.popleft()
        found, missed = sample.resolved - samples[0].resolved, sample.missed - samples[0].missed
        if found + missed < self._indicators.least_questions:
            return None
        return round(found / (found + missed), 4)

    def _judge(self, success: float | None, down: Mapping[str, bool], now_s: float) -> Iterator[tuple[str, Document]]:
        if success is not None:
            is_low = success < self._indicators.least_success
            yield SUCCESS, {"state": _state(is_low), "value": success, "least": self._indicators.least_success}
        for prefix, is_down in down.items():
            self._unseen.pop(prefix, None)
            yield f"{LIVENESS}/{prefix}", {"state": _state(is_down), "prefix": prefix}
        for name, alarm in list(self._alarms.items()):
            if "prefix" not in alarm or alarm["prefix"] in down:
                continue
            if now_s - self._unseen.setdefault(alarm["prefix"], now_s) >= UNSEEN_S:
                yield name, {"state": AlarmState.CLEARED, "prefix": alarm["prefix"]}

    def _compose(self, kind: str, subject: str, at: str, data: Document) -> Event:
        """An event of the moment `at`, which is its version too: of two of a subject the later one counts."""
        version = int(datetime.fromisoformat(at).timestamp() * 1_000)
        told = {"kind": kind, **data}
        return compose_event(f"biaojie.{kind}.{Interest.CHANGED}", (kind, subject), subject, version, at, told)


def _state(is_raised: bool) -> AlarmState:
    return AlarmState.RAISED if is_raised else AlarmState.CLEARED
