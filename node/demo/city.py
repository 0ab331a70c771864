"""One enterprise, its database, and every system of the city: what is in the database is in all of them, whatever breaks.

The enterprise's devices are in PostgreSQL. A source registers them; feeds tell each system of the city, by webhook, by a stream
of Redis, or by exchange files, what is its own. Then systems misbehave, Redis loses everything, the database changes and loses
nearly all its rows: in the end both sides of every feed agree, to the last record.
"""

import json
import secrets
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from node.child import SOURCE_ROOT
from node.cli.feeds import READERS, SYSTEMS
from node.cli.outcome import REFUSED
from node.cli.table import columns
from node.demo.neighbours import Postgres, Redis
from node.demo.stage import DemoFailed, Node, Stage
from node.feeds import read_profile
from node.started import free_port

PROFILES: Final = Path(SOURCE_ROOT) / "deploy" / "profiles"

PREFIX: Final = "88.118.1001"
# A code with a right check digit that is nobody's.
CODE: Final = "91411000MA40XCDL1K"
NAME: Final = "许昌示例变压器有限公司"

# Which systems are told by other ways than by a webhook.
_BY_REDIS: Final = frozenset({"city-management", "smart-pole", "transport"})
_BY_FILES: Final = frozenset({"data-exchange", "education", "environment"})
# Is told figures and alarms instead of what there is.
_BRAIN: Final = "city-brain"

Kind = tuple[str, str, str]

# What the enterprise makes: a title, and the type of the code that brings a device to a system of the city, with the pattern of
# the code of the n-th device.
KINDS: Final[Sequence[Kind]] = (
    ("交流充电桩 7 kW", "EVSE_EQUIPMENT_ID", "4110{n:06}"),
    ("箱式变电站 630 kVA", "CITY_COMPONENT_CODE", "41100201010{n:05}"),
    ("多功能灯杆 8 m", "POLE_CODE", "XC-JA-{n:04}"),
    ("电力变压器油收集桶", "WASTE_CONTAINER", "41100000000000{n:03}HW08-900-220-0800017"),
    ("变压器教学台架", "SCHOOL_CODE", "3141{n:06}"),
    ("油浸式变压器 S20-M-1000/10", "CITY_OBJECT_CODE", "4110.3.{n:06}"),
    ("医用隔离电源 10 kVA", "UDI_DI", "0690123456{n:04}"),
    ("电动护理床电源", "AID_CLASS", "12 {n:02}"),
    ("钧瓷窑温控柜", "ISLI", "000001-{n:015}"),
)
PER_KIND: Final = 30

SOURCE: Final = "erp.toml"
_SOURCE: Final = """
name = "erp"
system = "ERP, {name} (PostgreSQL)"
token = "env:BIAOJIE_SOURCE_ERP"
prefix = "{prefix}"

[read]
kind = "sql"
url = "env:BIAOJIE_SOURCE_ERP_DATABASE"
table = "devices"
key = "id"

[record]
identifier = "{prefix}/{{serial}}"

[[record.values]]
index = 1
type = "TITLE"
text = "{{title}}"

[gone]
then = "suspend"
resume = true
"""

_VALUE: Final = """
[[record.values]]
index = {index}
type = "{kind}"
text = "{{{column}}}"
optional = true
"""


@dataclass(frozen=True, slots=True)
class System:
    """A system of the city: the profile that it is told by, and where its stand-in answers, if it does."""

    profile: Path
    way: str
    url: str = ""

    @property
    def name(self) -> str:
        return self.profile.stem


@cache
def kinds() -> Sequence[Kind]:
    """What it makes, and for every system that none of that is for, a device with the code that the system's profile has as an
    example."""
    made = {kind for _, kind, _ in KINDS}
    profiles = [read_profile(file) for file in sorted(PROFILES.glob("*.toml"))]
    lacking = [
        (profile.system, member.value_type, member.example.replace("{", "{{").replace("}", "}}"))
        for profile in profiles
        if profile.selection.types and not made.intersection(profile.selection.types)
        for member in profile.shape.members
        if member.value_type == profile.selection.types[0] and member.example
    ]
    return (*KINDS, *lacking)


def device_count() -> int:
    """How many devices there are."""
    return PER_KIND * len(kinds())


def show(stage: Stage) -> None:
    """Walk through it. Raises `DemoFailed`."""
    stage.chapter("The city's systems, and an enterprise's database")
    redis, postgres = Redis(stage), Postgres(stage)
    postgres.execute("\n".join(_table()))
    systems = list(_systems(stage, redis))
    stage.say(f"""{len(systems)} systems of the city, each a stand-in behind the profile that is delivered for it:
        {sum(each.way == "webhook" for each in systems)} take webhooks, {len(_BY_REDIS)} read streams of a real Redis,
        {len(_BY_FILES)} collect exchange files. The city's brain is told figures, all others what there is. A real PostgreSQL
        has {device_count()} devices of {NAME}.""")
    node = _start_node(stage, systems, postgres)

    stage.chapter("The source: from the database into the registry")
    stage.show("source", "plan", SOURCE, "--data", node.name)
    stage.do("source", "apply", SOURCE, "--data", node.name)
    stage.check(
        len(_registered(stage, node)) == device_count(), f"all {device_count()} rows of the database are registered identifiers"
    )
    stage.show("resolve", f"{PREFIX}/D-0001", "--via", "handle", "--data", node.name)

    stage.chapter("The feeds: from the registry into the city")
    _reconcile(stage, node, systems, "every system holds what is its own")
    platform = next(each for each in systems if each.name == "enterprise-service")
    known = ask(f"{platform.url}/enterprises/{CODE}")
    stage.check(known["prefixes"] == {PREFIX: "已通过"}, f"the enterprise platform finds {NAME} and its prefix by each other")

    brain = next(each for each in systems if each.name == _BRAIN)
    stage.until(
        lambda: ask(f"{brain.url}/indicators").get("active") == device_count(),
        f"the city's brain counts {device_count()} identifiers",
    )

    _break(stage, systems, redis, postgres, node)
    stage.conclude()


def _break(stage: Stage, systems: Sequence[System], redis: Redis, postgres: Postgres, node: Node) -> None:
    stage.chapter("Everything goes wrong at once")
    for each in systems:
        if each.way == "webhook":
            _tell(f"{each.url}/misbehave", ["500", "half", "close", "429", "babble"])
    redis.kill()
    postgres.execute("UPDATE devices SET title = title || ' (2026)' WHERE id % 10 = 1; DELETE FROM devices WHERE id % 50 = 0;")
    stage.say("""The next answers of every webhook are a failure, half of a delivery taken, a cut line, a refusal for being
        asked too often, and babble; Redis is killed and loses all its streams; a tenth of the devices has changed, and a
        few have vanished from the database.""")
    stage.do("source", "apply", SOURCE, "--data", node.name)
    redis.start_again()
    stage.until(
        lambda: node.is_ready() and len(_registered(stage, node)) == device_count() - device_count() // 50,
        "what vanished from the database is suspended",
    )
    _reconcile(stage, node, systems, "after all that every system holds what is its own again")

    stage.chapter("The database loses nearly all its rows")
    before = _registered(stage, node)
    postgres.execute("DELETE FROM devices WHERE id > 20;")
    status, said = stage.show("source", "apply", SOURCE, "--data", node.name)
    stage.check(
        status == REFUSED and "the brake allows" in said,
        "the brake holds: a table that shrinks by nine tenths takes nothing with it",
    )
    stage.check(_registered(stage, node) == before, "not one identifier was touched")


def _start_node(stage: Stage, systems: Sequence[System], postgres: Postgres) -> Node:
    settings = [f"node.homed={PREFIX.rpartition('.')[0]}", f"feeds.profiles={','.join(str(each.profile) for each in systems)}"]
    node = stage.start("node", *settings)
    stage.until_ready(node)
    stage.do("registrant", "create", CODE, "--name", NAME, "--data", node.name)
    stage.do("prefix", "create", PREFIX, "--registrant", CODE, "--data", node.name)
    key = node.call("POST", "/api/v1/accounts", {"name": "erp", "role": "registrant", "registrant": CODE})["api_key"]
    (stage.folder / SOURCE).write_text(_SOURCE.format(name=NAME, prefix=PREFIX) + "".join(_values()))
    stage.environ["BIAOJIE_SOURCE_ERP"] = key
    stage.environ["BIAOJIE_SOURCE_ERP_DATABASE"] = f"postgresql://{postgres.address}"
    return node


def _systems(stage: Stage, redis: Redis) -> Iterator[System]:
    profiles = sorted(PROFILES.glob("*.toml"))
    if not profiles:
        raise DemoFailed(f"there are no profiles in {PROFILES}: this is shown from the project's own folder")
    for delivered in profiles:
        # Figures are told every minute: for an audience, more often.
        name, document = delivered.stem, delivered.read_text().replace("every_s = 60", "every_s = 2")
        profile, secret = stage.folder / delivered.name, secrets.token_hex(16)
        stage.environ[f"BIAOJIE_FEED_{name.upper().replace('-', '_')}"] = secret
        url = ""
        place: dict[str, str | int]
        if name in _BY_REDIS:
            way, place = "Redis stream", {"kind": "redis", "url": redis.url, "stream": f"biaojie:{name}"}
        elif name in _BY_FILES:
            folder = stage.folder / f"exchange-{name}"
            folder.mkdir()
            way, place = "exchange files", {"kind": "files", "folder": str(folder), "gather_s": 1}
            reader = name if name in READERS else READERS[0]
            stage.start_stand_in(name, "feed", "stand-in", reader, "--folder", str(folder), "--port", "0")
        else:
            way, port = "webhook", free_port()
            url = f"http://127.0.0.1:{port}"
            place = {"kind": "webhook", "url": f"{url}/events", "secret": secret, "holdings_url": f"{url}/holdings"}
            system = name if name in SYSTEMS else "webhook"
            stage.start_stand_in(name, "feed", "stand-in", system, "--port", str(port), "--secret", secret)
        profile.write_text(_moved(document, place))
        yield System(profile, way, url)


def _moved(profile: str, place: Mapping[str, str | int]) -> str:
    """A profile with another place: what it selects and how that looks stays as it is delivered."""
    kept = profile.partition("[transport]")[0]
    return "\n".join((kept + "[transport]", *(f"{key} = {json.dumps(value)}" for key, value in place.items()), ""))


def _reconcile(stage: Stage, node: Node, systems: Sequence[System], sentence: str) -> None:
    """Wait until both sides of every feed agree, and show how much that is and the sentence."""
    rows = []
    for each in systems:
        if each.name == _BRAIN:
            continue
        held = _until_agreed(stage, node, each)
        if not held:
            raise DemoFailed(f"{each.name} holds nothing: no device of the demonstration is for it")
        rows.append((each.name, each.way, held))
    print("\n".join(columns(("system", "told by", "things on both sides"), rows)), flush=True)
    stage.check(True, f"{sentence}: {len(rows)} reconciled, nothing is missing, nothing different, nothing too much")


def _until_agreed(stage: Stage, node: Node, system: System) -> int:
    """How many things a system holds once it holds what it should."""
    said = ""

    def agrees() -> bool:
        nonlocal said
        status, said = stage.command("feed", "reconcile", str(system.profile), "--json", "--data", node.name)
        return status == 0

    stage.wait(agrees, f"{system.name} does not come to hold what it should")
    return sum(int(bucket["there"]) for bucket in json.loads(said))


def _registered(stage: Stage, node: Node) -> list[str]:
    """The enterprise's active identifiers with their values, one a line."""
    file = stage.folder / "export.ndjson"
    file.unlink(missing_ok=True)
    status, said = stage.command("export", "--prefix", PREFIX, "-o", str(file), "--data", node.name)
    if status:
        raise DemoFailed(said)
    return file.read_text().splitlines()


def _table() -> Iterator[str]:
    codes = ", ".join(f"{kind.lower()} text" for _, kind, _ in kinds())
    yield f"CREATE TABLE devices (id integer PRIMARY KEY, serial text, title text, {codes});"
    for number in range(1, device_count() + 1):
        title, kind, pattern = kinds()[number % len(kinds())]
        code = pattern.format(n=number // len(kinds()))
        row = f"{number}, 'D-{number:04}', {_quoted(title)}, {_quoted(code)}"
        yield f"INSERT INTO devices (id, serial, title, {kind.lower()}) VALUES ({row});"  # noqa: S608  # all of it is ours


def _quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _values() -> Iterator[str]:
    for index, (_, kind, _) in enumerate(kinds(), 10):
        yield _VALUE.format(index=index, kind=kind, column=kind.lower())


def ask(url: str) -> Any:
    """What a stand-in answers."""
    return json.loads(_open(urllib.request.Request(url)))  # noqa: S310  # loopback


def _tell(url: str, document: Any) -> None:
    _open(urllib.request.Request(url, data=json.dumps(document).encode()))  # noqa: S310  # loopback


def _open(request: urllib.request.Request) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        body: bytes = answer.read()
    return body
