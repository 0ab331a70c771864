"""A node whose machine's clock cannot be right, by what the operator says."""

from tests.e2e.conftest import StartNode
from tests.support.node import run_biaojie

STILL_TO_COME = "2099-01-01"


def test_a_node_that_doubts_its_clock_says_so_and_goes_on_registering(start_node: StartNode) -> None:
    node = start_node("node.homed=88.118", f"node.clock_not_before={STILL_TO_COME}", workers=1)
    node.until_whole()
    assert node.metric("biaojie_clock_doubt_seconds") > 0
    assert "is not believed" in node.run("status").stdout
    checked = run_biaojie("check", "--set", f"node.clock_not_before={STILL_TO_COME}")
    assert (checked.returncode, f"{STILL_TO_COME} is still to come" in checked.stderr) == (2, True)
    document = {"values": [{"index": 1, "type": "URL", "data": {"format": "string", "value": "https://example.cn/1"}}]}
    assert node.call("PUT", "/api/v1/identifiers/88.118/first", document).status == 201
    assert node.end() == 0

    # Without that word it is the last change that says so.
    again = start_node("node.homed=88.118", workers=1)
    again.until_whole()
    assert again.metric("biaojie_clock_doubt_seconds") > 0
    assert again.call("PUT", "/api/v1/identifiers/88.118/second", document).status == 201
    changes = again.call("GET", "/api/v1/changes").json()["changes"]
    times = [change["time"] for change in changes]
    assert times == sorted(times)
    assert {time[:10] for time in times} == {"2098-12-31"}  # in UTC
    assert again.resolve("88.118/first").status == 200
    assert again.resolve("88.118/second").status == 200
