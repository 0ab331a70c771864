"""The project's conventions, kept by a test: layout, names, sizes, links, pins."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import proto
from proto.metrics import CATALOGUE, Kind, Metrics

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("proto", "resolver", "registry", "adapters", "node")
# A module longer than this says at its head why (the word "Length" in its docstring).
MAX_MODULE_LINES = 400
FORBIDDEN_MODULE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}
TOP_LEVEL = {
    ".ci", ".containerignore", ".gitignore", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
    "README.md", "adapters", "deploy", "load_tests", "node", "proto", "pyproject.toml", "registry", "resolver", "run", "test",
    "tests",
}  # fmt: skip


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def sources(*folders: str) -> Iterator[Path]:
    for path in tracked():
        inside = path.relative_to(ROOT).parts[0]
        if path.suffix == ".py" and "_pb2" not in path.name and (not folders or inside in folders):
            yield path


def test_proto_is_ours_and_not_another_distribution_of_that_name() -> None:
    assert Path(proto.__file__).parent == ROOT / "proto"


def test_the_top_level_is_the_agreed_one() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP_LEVEL


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "load_tests", "deploy"])
def test_every_top_level_folder_introduces_itself(folder: str) -> None:
    assert len((ROOT / folder / "README.md").read_text().split()) > 40


def test_long_modules_say_why() -> None:
    for path in sources():
        text = path.read_text()
        if len(text.splitlines()) > MAX_MODULE_LINES:
            assert "Length" in (ast.get_docstring(ast.parse(text)) or ""), f"{path} is long and does not say why"


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for path in sources() if path.stem in FORBIDDEN_MODULE_NAMES]


def test_nothing_is_left_open_in_the_code() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    here = Path(__file__)
    assert not [path for path in sources() if path != here and words.search(path.read_text())]


def test_ignores_of_the_type_checker_and_the_linter_give_a_reason() -> None:
    bare = re.compile(r"#\s*(type:\s*ignore|noqa)(?!.*(#|\s-)\s*\w)")
    for path in sources():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not (bare.search(line) and path != Path(__file__)), f"{path}:{number} ignores without a reason"


def test_the_project_speaks_for_itself_alone() -> None:
    # Paths of one machine and hosts of package registries do not belong into a project that others install.
    foreign = re.compile(r"(?<![\w.])/(?:work|root|home)/\w|https?://[\w.]*(?:pypi|npmjs|pythonhosted|debian)\.", re.IGNORECASE)
    for path in tracked():
        if path.suffix in {".py", ".md", ".toml", ".proto", ".sh", ".yml", ""} and path.name != "LICENSE":
            found = foreign.search(path.read_text(errors="replace"))
            assert not found, f"{path}: {found and found.group()}"


def test_examples_are_timed_nowhere_and_no_test_says_so_by_itself() -> None:
    in_force = settings()
    assert in_force.deadline is None
    assert HealthCheck.too_slow in in_force.suppress_health_check
    saying = re.compile(r"\bdeadline=|HealthCheck\.too_slow")
    known = {Path(__file__), ROOT / "tests" / "conftest.py"}
    assert not [path for path in sources("tests") if path not in known and saying.search(path.read_text())]


def test_links_in_the_documents_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
    for path in tracked():
        if path.suffix == ".md":
            for target in link.findall(path.read_text()):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_dependency_is_pinned_and_named_in_the_architecture() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    for requirement in project["dependencies"]:
        name, pin, _ = requirement.partition("==")
        assert pin, f"{requirement} is not pinned"
        assert name in architecture, f"{name} has no reason in ARCHITECTURE.md"
    assert all("==" in requirement for requirement in project["optional-dependencies"]["dev"])


def test_metrics_follow_the_conventions_and_have_handles() -> None:
    assert set(CATALOGUE) == set(Metrics.__dataclass_fields__)
    for attribute, spec in CATALOGUE.items():
        assert spec.name.startswith(f"biaojie_{attribute}")
        assert spec.name.endswith("_total") == (spec.kind is Kind.COUNTER)
        assert spec.help.endswith(".")
        assert all(len(values) == len(spec.labels) for values in spec.presets)


def test_every_metric_is_counted_somewhere_or_promised_in_the_catalogue() -> None:
    # What later parts will count is in the catalogue from the first scrape, so that dashboards can be built today.
    promised: set[str] = set()
    code = "\n".join(path.read_text() for path in sources(*PACKAGES[1:]))
    uncounted = {name for name in CATALOGUE if not re.search(rf"metrics\.{name}\b", code)}
    assert uncounted == promised
