"""Indicators: figures of the node for a system that wants them instead of changes; the section `indicators` of a profile.

every_s = 60              # how often they are told
days = 7                  # days told with them, today's the last; each is told again when its figures change
least_success = 0.95      # alarm if a smaller share of questions is answered with a record
least_questions = 100     # of fewer nothing is concluded
window_s = 600            # over so long
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from adapters.section import Section
from proto.model.notice import NoticeKind

KEYS: Final = ("every_s", "days", "least_success", "least_questions", "window_s")

# A figure is some seconds old anyway; a day without any is no indicator.
EVERY_BOUNDS_S: Final = (1.0, 86_400.0)
WINDOW_BOUNDS_S: Final = (10.0, 86_400.0)
# As many as the node keeps.
MAX_DAYS: Final = 92
MOST_QUESTIONS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Said:
    """A notice: what a feed has to tell of the node itself, as it is now."""

    kind: NoticeKind
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Indicators:
    """How often figures are told, and when to raise the alarm."""

    every_s: float = 60.0
    days: int = 7
    least_success: float = 0.95
    least_questions: int = 100
    window_s: float = 600.0


def parse_indicators(section: Section) -> Indicators:
    """The section of a profile; what is wrong with it is noted."""
    usual = Indicators()
    return Indicators(
        section.number("every_s", usual.every_s, *EVERY_BOUNDS_S),
        int(section.number("days", usual.days, 0, MAX_DAYS)),
        section.number("least_success", usual.least_success, 0, 1),
        int(section.number("least_questions", usual.least_questions, 1, MOST_QUESTIONS)),
        section.number("window_s", usual.window_s, *WINDOW_BOUNDS_S),
    )
