"""The process for pages of changes: tasks in, pages out, over one inherited socket. It reads the segments, and has no view.

python -m registry.doors.rest.page_process DESCRIPTOR FOLDER
"""

import sys
import traceback
from functools import partial
from pathlib import Path

from proto.errors import Refusal
from proto.ports import Stream
from registry.doors.rest.packed_changes import render_change
from registry.doors.rest.pages import PageMade, PageTask, join
from registry.policy.sight import Sights
from registry.service.beside.child import Pipe, live
from registry.service.beside.talk import READY, Failed, Refused
from registry.service.changes import read_visible
from resolver.view.archive import Archive


def serve(pipe: Pipe) -> None:
    """Make page after page. Returns when the registry is gone."""
    stream = Archive(Path(sys.argv[2]))
    try:
        pipe.send(READY)
        while True:
            pipe.send(outcome_of(pipe.receive(), stream))
    except (EOFError, OSError):
        return


def outcome_of(task: PageTask, stream: Stream) -> PageMade | Refused | Failed:
    """What a task comes to."""
    see = partial(render_change, sights=Sights(task.caller), below=task.below)
    # Nobody else wants a turn here: the whole page is one portion.
    steps = read_visible(stream, see, task.after, task.limit, task.limit)
    try:
        while True:
            next(steps)
    except StopIteration as done:
        changes, cursor = done.value
        return PageMade(join(changes), cursor)
    except Refusal as refusal:
        return Refused(refusal.reason, refusal.detail, refusal.field)
    except Exception:  # noqa: BLE001 - the registry logs it, and fails the request by its name
        return Failed(traceback.format_exc())


if __name__ == "__main__":
    sys.exit(live(serve))
