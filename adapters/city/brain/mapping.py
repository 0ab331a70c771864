"""What the city's brain gets: indicators, the figures of each day, and alarms. Pure.

There are two kinds of alarms. `resolution-success`: over the last minutes fewer questions than wanted were answered with a
record (of few questions nothing is concluded, and the alarm stays as it is). `enterprise-node/PREFIX`: the node that a prefix
is delegated to does not answer.

An alarm is said when it is raised or cleared, and as it stands when it is first known; the figures of a day whenever they have
changed. What is said is stored before anybody is told, so a watch that begins goes on from what is stored.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from adapters.city.core.indicators import Indicators, Said
from adapters.city.core.selection import Document
from proto.model.notice import NoticeKind

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
    """Says what there is to say of one look at the node after the other; `stored` is what was said before."""

    def __init__(self, indicators: Indicators, stored: Iterable[Said] = ()) -> None:
        self._indicators = indicators
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._alarms: dict[str, Document] = {}
        self._days: dict[str, Document] = {}
        self._told: dict[str, object] = {}
        self._unseen: dict[str, float] = {}
        """Prefixes with an alarm of which nothing is said, and since when."""
        for said in stored:
            if said.kind is NoticeKind.ALARM:
                self._alarms[said.name] = said.data
            elif said.kind is NoticeKind.DAY:
                self._days[said.name] = said.data
        self.settle()

    def look(self, statistics: Document, down: Mapping[str, bool], now_s: float) -> list[Said]:
        """What a look comes to: `statistics` as the registry gives them, `down` by prefix whether its node does not answer."""
        success = self._success(Sample(now_s, statistics["total"]["resolved"], statistics["total"]["missed"]))
        for name, alarm in self._judge(success, down, now_s):
            self._alarms[name] = alarm
        self._days = {day["day"]: day for day in statistics["days"]}
        said = [
            Said(NoticeKind.ALARM, name, {**alarm, "alarm": name})
            for name, alarm in sorted(self._alarms.items())
            if self._told.get(name) != alarm["state"]
        ]
        said += [Said(NoticeKind.DAY, name, day) for name, day in self._days.items() if self._told.get(name) != day]
        return [*said, Said(NoticeKind.INDICATORS, NODE, self._indicate(statistics, success))]

    def settle(self) -> None:
        """What the last look came to is stored: it is said again only if it changes."""
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


def _state(is_raised: bool) -> AlarmState:
    return AlarmState.RAISED if is_raised else AlarmState.CLEARED
