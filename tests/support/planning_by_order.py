"""A planning process that does, at one row, what the environment says: `PLANNING_ORDER` is ROW:ACT or ROW:ACT:FILE.

end     the process dies; with FILE only the first time
stick   planning never goes on; with FILE only the first time
break   planning raises, as a mistake of the program would make it
dwell   planning goes on when FILE is there
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from registry.service import plan
from registry.service.imports import chunks, planning_process
from registry.service.plan import Draft

PLAN = plan.plan_registrations


def plan_registrations(reader: Any, caller: Any, drafts: Any, now_ms: int) -> Any:
    row, act, *file = os.environ["PLANNING_ORDER"].split(":")
    if any(isinstance(draft, Draft) and draft.identifier.endswith(f"/T-{row}") for draft in drafts):
        obey(act, Path(file[0]) if file else None)
    return PLAN(reader, caller, drafts, now_ms)


def obey(act: str, file: Path | None) -> None:
    if act == "break":
        raise ZeroDivisionError("by order")
    if act == "dwell" and file is not None:
        while not file.exists():
            time.sleep(0.01)
    elif file is None or not file.exists():
        if file is not None:
            file.touch()
        if act == "end":
            os._exit(1)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    setattr(chunks, "plan_registrations", plan_registrations)  # noqa: B010 - it is no name that the module gives out
    sys.exit(planning_process.main())
