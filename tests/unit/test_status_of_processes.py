"""What the node's status says of a process, whatever that process calls its own things."""

from types import SimpleNamespace
from typing import Any, cast

from node.supervisor import describe_child


def test_a_feed_may_have_any_name_and_every_fact_is_still_there() -> None:
    details = {"platform": "running", "state": "paused: by hand", "pid": "running", "name": "waits", "refusal": "waits"}
    child: Any = SimpleNamespace(name="adapters", state="ready", pid=7, restarts=0, uptime_s=1.23, refusal="", details=details)
    found = describe_child(cast(Any, child))
    facts = {"name": "adapters", "state": "ready", "pid": 7, "restarts": 0, "uptime_s": 1.2, "refusal": ""}
    assert {key: found[key] for key in facts} == facts
    assert found["platform"] == "running"
    assert found["adapters state"] == "paused: by hand"
    assert len(found) == len(facts) + len(details)
