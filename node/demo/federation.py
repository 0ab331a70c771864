"""Five nodes, all of them this program: a national one, this secondary node, two enterprises' own, and one that asks them all.

An identifier that an enterprise registers is resolved from afar through every level; then one enterprise's node goes away, and
comes back, and in the end its prefix moves to the secondary node.
"""

from typing import Any, Final

from node.demo.stage import Node, Stage

NATIONAL: Final = "88"
SECONDARY: Final = "88.118"
MAKER: Final = "88.118.1001"
SUPPLIER: Final = "88.118.1002"
TRANSFORMER: Final = f"{MAKER}/TR-2026-0001"
ANOTHER: Final = f"{MAKER}/TR-2026-0002"
STEEL: Final = f"{SUPPLIER}/COIL-7"
UNKNOWN: Final = f"{SUPPLIER}/NO-SUCH"
UNASKED: Final = f"{SUPPLIER}/COIL-8"

# Asks nobody on behalf of others: it refers them.
_REFERS: Final = "upstream.networks="

# The coil's record is written for the second time when its node is back.
NEWS_VERSION: Final = 2

# Copies of the coil's record are fresh for so long, that the audience need not wait to see one grow stale.
_BRIEF_TTL_S: Final = 1
_DAY_S: Final = 86_400


def show(stage: Stage) -> None:
    """Walk through it. Raises `DemoFailed`."""
    stage.chapter("Five nodes, one program")
    national = stage.start("national", "node.kind=top-level", f"node.homed={NATIONAL}", _REFERS)
    secondary = stage.start("secondary", "node.kind=secondary", f"node.homed={SECONDARY}", _REFERS)
    maker = stage.start("transformer-maker", "node.kind=enterprise", f"node.homed={MAKER}")
    supplier = stage.start("steel-supplier", "node.kind=enterprise", f"node.homed={SUPPLIER}")
    stage.until_ready(national)
    # Nodes refer to others on this machine, which nobody is asked at unless the operator names its network.
    settings = (f"upstream.handle={national.handle}", "upstream.inner_networks=127.0.0.0/8")
    recursive = stage.start("recursive", "node.kind=recursive", *settings)
    stage.until_ready(secondary, maker, supplier, recursive)
    stage.say(f"""national has the prefix {NATIONAL}, secondary {SECONDARY}, transformer-maker {MAKER}, and steel-supplier
        {SUPPLIER}. recursive has none: it knows the national node alone, and asks its way for others.""")

    stage.chapter("Who answers for what: prefixes are delegated downward")
    _delegate(stage, national, SECONDARY, secondary)
    _delegate(stage, secondary, MAKER, maker)
    _delegate(stage, secondary, SUPPLIER, supplier)

    stage.chapter("Two enterprises register, each on its own node")
    _register(supplier, STEEL, _BRIEF_TTL_S, TITLE="取向硅钢 27Q110, 卷号 7", URL="https://steel.example/coil/7")
    _register(maker, TRANSFORMER, _DAY_S, TITLE="S20-M-1000/10 油浸式变压器", CORE_MATERIAL=STEEL)
    _register(maker, ANOTHER, _DAY_S, TITLE="S20-M-1000/10 油浸式变压器", CORE_MATERIAL=STEEL)
    stage.say(f"{STEEL} is a coil of electrical steel; {TRANSFORMER} is a transformer that names the coil of its core.")

    stage.chapter("A partner resolves through all levels")
    status, explained = stage.show("resolve", TRANSFORMER, "--data", recursive.name, "--explain")
    stage.check(
        status == 0 and all(node.handle in explained for node in (national, secondary, maker)),
        "an identifier resolves through national, secondary and enterprise node",
    )
    transformer = stage.resolve(TRANSFORMER, recursive)
    coil = _value(transformer, "CORE_MATERIAL")
    for via in ("http", "grpc", "handle", "handle-udp"):
        answer = stage.resolve(coil, recursive, "--via", via)
        stage.check(answer["state"] == "active", f"the transformer leads to its steel ({coil}), asked over {via}")
    stage.show("resolve", UNKNOWN, "--data", recursive.name)
    stage.check(
        stage.resolve(UNKNOWN, recursive)["outcome"] == "not_found",
        "what nobody registered is said to be unknown, by the node that must know",
    )

    _lose_and_find(stage, supplier, secondary, recursive)
    stage.conclude()


def _lose_and_find(stage: Stage, supplier: Node, secondary: Node, recursive: Node) -> None:
    stage.chapter("The supplier's node goes away")
    port = supplier.ports["resolver.handle_port"]
    stage.end(supplier)
    stage.until(
        lambda: stage.resolve(STEEL, recursive)["source"] == "stale",
        "what was resolved before is still answered, and marked stale with its age",
    )
    stage.show("resolve", STEEL, "--data", recursive.name)
    stage.show("resolve", UNASKED, "--data", recursive.name)
    stage.check(
        stage.resolve(UNASKED, recursive)["outcome"] == "refused",
        "what was never asked for cannot be answered now, and that is what the answer says",
    )
    # Not one of those that were asked for before: that would be a copy.
    stage.check(stage.resolve(ANOTHER, recursive)["state"] == "active", "nobody else's identifiers are any worse for it")
    stage.until(
        lambda: _is_down(secondary, SUPPLIER),
        "the secondary node's metrics name the enterprise node that is down",
    )

    stage.chapter("It comes back, with news")
    settings = ("node.kind=enterprise", f"node.homed={SUPPLIER}", f"resolver.handle_port={port}")
    supplier = stage.start(supplier.name, *settings)
    stage.until_ready(supplier)
    _register(supplier, STEEL, _BRIEF_TTL_S, TITLE="取向硅钢 27Q110, 卷号 7, 复检合格", URL="https://steel.example/coil/7")
    stage.until(
        lambda: stage.resolve(STEEL, recursive)["version"] == NEWS_VERSION,
        "the partner gets the new version",
    )
    stage.until(
        lambda: not _is_down(secondary, SUPPLIER),
        "the secondary node's metrics say that the enterprise node is up again",
    )

    stage.chapter("The supplier gives up its node: the secondary hosts its prefix")
    stage.do("prefix", "host", SUPPLIER, "--data", secondary.name)
    _register(secondary, STEEL, _BRIEF_TTL_S, TITLE="取向硅钢 27Q110, 卷号 7 (由二级节点托管)")
    stage.say(f"""The prefix has moved; its records have not: {STEEL} is registered anew where its prefix now is. Who was
        referred to the supplier's node before may go on asking that for some minutes.""")
    stage.show("resolve", STEEL, "--data", secondary.name)
    document = stage.resolve(STEEL, secondary)
    stage.check(
        document["source"] == "authoritative",
        "a prefix moves between nodes with one command, and an identifier below it stays what it was",
    )


def _delegate(stage: Stage, upper: Node, prefix: str, lower: Node) -> None:
    stage.do("prefix", "create", prefix, "--data", upper.name)
    stage.do(
        "prefix", "delegate", prefix, "--site", lower.handle, "--url", lower.url("resolver.http_port"), "--data", upper.name
    )


def _register(node: Node, identifier: str, ttl_s: int, **texts: str) -> None:
    values = [
        {"index": index, "type": kind, "ttl": ttl_s, "data": {"format": "string", "value": text}}
        for index, (kind, text) in enumerate(texts.items(), 1)
    ]
    node.call("PUT", f"/api/v1/identifiers/{identifier}", {"values": values})


def _is_down(node: Node, prefix: str) -> bool:
    """Whether a node takes the one that a prefix is delegated to for dead."""
    return any(sample.value for sample in node.samples("biaojie_delegate_down", prefix=prefix))


def _value(document: dict[str, Any], kind: str) -> str:
    return next(str(value["data"]["value"]) for value in document["values"] if value["type"] == kind)
