"""What was measured and what is said of it: the README's tables are those that the result files give."""

from pathlib import Path

import pytest

from load_tests import report
from load_tests.figure import README_BEGIN, README_END, Figure, as_json, figure_of, table, write_into

README = Path(report.ROOT) / "README.md"


def test_the_readme_says_what_the_result_files_say() -> None:
    _, _, rest = README.read_text().partition(f"{README_BEGIN}\n")
    shown, _, _ = rest.partition(f"\n{README_END}")
    assert shown == report.readme_table(map(report.read, report.SESSIONS))


def test_the_report_is_the_one_of_the_result_files() -> None:
    assert (report.RESULTS / "report.md").read_text() == report.compose(map(report.read, report.SESSIONS))


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("rate", 10, "/s"), True),
        (Figure("rate", 10, "/s", limit=10), True),
        (Figure("rate", 9.9, "/s", limit=10), False),
        (Figure("wait", 9.9, "ms", limit=10, at_least=False), True),
        (Figure("wait", 10.1, "ms", limit=10, at_least=False), False),
        (Figure("rate", 10, "/s", ratio=0.4, ratio_of="nginx", ratio_limit=0.35, ratio_goal=0.5), True),
        (Figure("rate", 10, "/s", ratio=0.3, ratio_of="nginx", ratio_limit=0.35, ratio_goal=0.5), False),
        (Figure("cost", 10, "µs", at_least=False, ratio=1.2, ratio_of="one worker", ratio_limit=1.15), False),
    ],
)
def test_a_figure_holds_if_every_limit_is_kept(figure: Figure, holds: bool) -> None:
    assert figure.holds is holds
    assert ("**missed**" in table([figure])) is not holds


def test_a_figure_comes_back_from_json_as_it_was() -> None:
    figure = Figure("rate", 10.5, "/s", 1.0, ratio=0.4, ratio_of="nginx", ratio_limit=0.3, ratio_goal=0.5, spread=(0.3, 0.5))
    document = as_json(figure)
    assert document["holds"] is True
    assert figure_of({**document, "spread": [0.3, 0.5]}) == figure


def test_a_ratio_is_shown_with_its_spread_and_what_it_must_be() -> None:
    figure = Figure("rate", 4321.5, "/s", ratio=0.456, ratio_of="nginx", ratio_limit=0.35, ratio_goal=0.5, spread=(0.44, 0.47))
    line = "| rate | 4,322 /s |  | 0.456 × nginx, 0.44 to 0.47 (must ≥ 0.35, goal ≥ 0.5) |"
    assert line in table([figure]).splitlines()


def test_a_readme_without_a_place_for_figures_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no place for the figures"):
        write_into(readme, "table")
    assert readme.read_text() == "nothing here\n"
