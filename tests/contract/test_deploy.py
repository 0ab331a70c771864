"""What `deploy/` gives to operators is accepted by the programs that it is for, and speaks of what the node really has."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proto.errors import Reason
from proto.metrics import CATALOGUE, Kind

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
UNIT = DEPLOY / "systemd" / "biaojie.service"
DASHBOARD = DEPLOY / "grafana" / "biaojie.json"
RULE_TESTS = ("rules_test.yml", "rules_days_test.yml")
METRIC = re.compile(r"\bbiaojie_\w+")


def run(*command: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def sample_names() -> set[str]:
    """Every name that a scrape may hold."""
    names = set()
    for spec in CATALOGUE.values():
        histogram = [f"{spec.name}{part}" for part in ("_bucket", "_sum", "_count")]
        names |= set(histogram if spec.kind is Kind.HISTOGRAM else [spec.name])
    return names


def alerts() -> dict[str, list[str]]:
    """The states that each alert goes through; one that does not wait to be sure is not pending."""
    document = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    rules = [rule for group in document["groups"] for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: ["silent", *(["pending"] if "for" in rule else []), "firing", "silent"] for rule in rules}


def seconds_of(duration: str) -> int:
    return sum(int(count) * {"s": 1, "m": 60, "h": 3600}[unit] for count, unit in re.findall(r"(\d+)([smh])", duration))


def states_seen(story: dict[str, Any], alert: str) -> list[str]:
    """What promtool is told to see of an alert, in the order of time: its states, and "silent" where there is none."""
    looks = [look for look in story.get("promql_expr_test", []) if look["expr"].endswith(f'(ALERTS{{alertname="{alert}"}})')]
    seen = []
    for look in sorted(looks, key=lambda look: seconds_of(look["eval_time"])):
        states = re.findall(r'alertstate="(\w+)"', " ".join(sample["labels"] for sample in look["exp_samples"]))
        seen.append(" and ".join(states) or "silent")
    return seen


def expressions_of_rules() -> list[str]:
    document = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return [rule["expr"] for group in document["groups"] for rule in group["rules"]]


def expressions_of_dashboard() -> list[str]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in document["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("arguments", [("config", "prometheus.yml"), ("rules", "rules.yml")])
def test_prometheus_takes_the_configuration(arguments: tuple[str, str]) -> None:
    checked = run("promtool", "check", *arguments, cwd=PROMETHEUS)
    assert (checked.returncode, "SUCCESS" in checked.stdout) == (0, True), checked.stdout + checked.stderr


def test_every_alert_comes_when_it_should() -> None:
    tested = run("promtool", "test", "rules", *RULE_TESTS, cwd=PROMETHEUS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize(("alert", "states"), alerts().items())
def test_a_test_sees_an_alert_come_and_go(alert: str, states: list[str]) -> None:
    """In one story: not there, waiting to be sure, telling, gone again."""
    stories = [story for name in RULE_TESTS for story in yaml.safe_load((PROMETHEUS / name).read_text())["tests"]]
    assert states in [states_seen(story, alert) for story in stories]


@pytest.mark.parametrize("expression", [*expressions_of_rules(), *expressions_of_dashboard()])
def test_an_expression_speaks_of_metrics_that_a_node_has(expression: str) -> None:
    assert set(METRIC.findall(expression)) - sample_names() == set()
    reasons = [word for found in re.findall(r'reason!?=~?"([^"]+)"', expression) for word in found.split("|")]
    assert set(reasons) <= {reason.value for reason in Reason}


def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    asked = [expression.replace("$instance", ".+") for expression in expressions_of_dashboard()]
    rules = [{"record": f"dashboard:{number}", "expr": expression} for number, expression in enumerate(asked)]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = run("promtool", "check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_dashboard_has_a_panel_for_each_metric_that_alerts() -> None:
    shown = set(METRIC.findall(" ".join(expressions_of_dashboard())))
    assert set(METRIC.findall(" ".join(expressions_of_rules()))) - shown == set()


def test_systemd_takes_the_unit_without_a_word(tmp_path: Path) -> None:
    # It looks whether the command is there, which only an installed node has.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/biaojie/bin/biaojie", "/bin/true"))
    verified = run("systemd-analyze", "verify", "--man=no", str(unit))
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_hadolint_has_nothing_to_say_of_the_containerfile() -> None:
    checked = run(str(Path(sys.executable).with_name("hadolint")), str(DEPLOY / "container" / "Containerfile"))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_container_exposes_the_ports_of_the_configuration() -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text()
    exposed = re.search(r"^EXPOSE (.*)$", text, re.MULTILINE)
    assert exposed is not None
    ports = set(re.findall(r"^\w+_port = (\d+)$", (DEPLOY / "node.toml").read_text(), re.MULTILINE))
    built = {port.partition("/")[0] for port in exposed[1].split()}
    assert built <= ports
