"""Everything that is said in EPP when filing, once: commands, greetings and responses for tests that drive both ways."""

from dataclasses import fields

from adapters.upstream.epp.core.commands import (
    Acknowledge,
    CheckEnterprise,
    CheckPrefix,
    CheckReport,
    Command,
    Hello,
    Login,
    Logout,
    Poll,
    UpdateEnterprise,
    UpdatePrefix,
)
from adapters.upstream.epp.core.document import ENT, PREFIX
from adapters.upstream.epp.core.objects import (
    Contact,
    DayReport,
    Enterprise,
    EnterpriseChange,
    Image,
    LegalPerson,
    PrefixFigures,
    PrefixGrant,
)
from adapters.upstream.epp.core.replies import Audit, EntityData, Greeting, PrefixData, Queue, Response

SMALL = Enterprise("88.118", "1", "91411000MA40XCDL1K", "许昌变压器有限公司")
WHOLE = Enterprise(
    "88.118", "3", "R-1", "许昌 <电缆> & 附件", type="2", licence=Image("png", b"\x89PNG\x00\xff"), province="410000",
    city="411000", county="411003", address="许昌市魏都区", name_en="Xuchang Cable", address_en="1 Weidu", website="https://x/?a=1&b=2",
    description="变压器\n电缆", contact=Contact("张三", "z@example.com", "+86.1"),
    legal_person=LegalPerson("李四", "1", "41000019700101001X", Image("bmp", b"BM")),
)  # fmt: skip

COMMANDS: dict[str, Command] = {
    "hello": Hello(),
    "login": Login("88.118", "our secret", (ENT, PREFIX)),
    "logout": Logout(),
    "check enterprise": CheckEnterprise("user-1", "1", "91411000MA40XCDL1K"),
    "check prefix": CheckPrefix("88.118", "88.118.1001"),
    "create enterprise": SMALL,
    "create enterprise with everything": WHOLE,
    "update enterprise": UpdateEnterprise("ent-7", WHOLE),
    "change an address": UpdateEnterprise("ent-7", EnterpriseChange("node-1", address="许昌市魏都区")),
    "change everything": UpdateEnterprise(
        "ent-7",
        EnterpriseChange(
            "node-1", **{each.name: getattr(WHOLE, each.name) for each in fields(EnterpriseChange) if each.name != "user"}
        ),
    ),
    "update prefix": UpdatePrefix(PrefixGrant("88.118", "ent-7", "88.118.1001")),
    "check figures": CheckReport("88.118", "2026-11-25"),
    "create prefix": PrefixGrant("88.118", "ent-7", "88.118.1001"),
    "report no figures": DayReport("88.118", "2026-11-25", ()),
    "report figures": DayReport(
        "88.118", "2026-11-25", (PrefixFigures("88.118.1001", 10**12, 7, 0, 3), PrefixFigures("88.118.变", 0, 0, 0))
    ),
    "poll": Poll(),
    "acknowledge": Acknowledge("m-12"),
}

REPLIES: dict[str, Greeting | Response] = {
    "greeting": Greeting("BMS 国家顶级节点", "2026-11-25T08:00:00.000+08:00", ("1.0",), ("en", "zh"), (ENT, PREFIX)),
    "pending": Response(1001, "等待审核", "t-1", "s-1", EntityData("ent-7")),
    "no id yet": Response(1001, "Command completed successfully; action pending", "t-1", "s-1"),
    "unknown enterprise": Response(1000, "ok", "t-1", "s-1", EntityData("", is_check=True)),
    "known enterprise": Response(1000, "ok", "t-1", "s-1", EntityData("ent-7", is_check=True)),
    "prefix created": Response(1000, "ok", "t-1", "s-1", PrefixData("88.118.1001")),
    "prefix free": Response(1000, "ok", "t-1", "s-1", PrefixData("88.118.1001", is_free=True)),
    "prefix taken": Response(1000, "ok", "t-1", "s-1", PrefixData("88.118.1001", is_free=False)),
    "figures held": Response(
        1000, "ok", "t-1", "s-1", DayReport("88.118", "2026-11-25", (PrefixFigures("88.118.1", 3, 2, 1),))
    ),
    "no messages": Response(1300, "none", "t-1", "s-1"),
    "enterprise audited": Response(
        1301, "ack to dequeue", "t-1", "s-1", Audit("t-0", "s-0", "ent-7", "", "1", "1", "通过"), Queue(5, "m-12")
    ),
    "prefix rejected": Response(
        1301, "ack to dequeue", "t-1", "s-1", Audit("t-0", "s-0", "ent-7", "88.118.1001", "1", "0", ""), Queue(1, "m-13")
    ),
    "refused": Response(2201, "Authorization error", "t-1", "s-1"),
    "unreadable command": Response(2001, "Command syntax error", "", "s-1"),
    "unknown code": Response(2999, "?", "t-1", "s-1"),
}
