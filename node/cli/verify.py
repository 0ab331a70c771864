"""`biaojie verify`: does everything in a stopped node's data folder agree?"""

import argparse
from pathlib import Path
from typing import Final

from node.cli.outcome import DONE, REFUSED, Failed
from node.cli.table import columns
from node.folder import DataFolder, FolderInUse
from proto.places import ACCESS

HELP: Final = "check a stopped node's data: chain, checkpoints, segments, indexes, access log"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="data folder of a node that does not run")


def run(arguments: argparse.Namespace) -> int:
    from registry.commit.finding import Finding
    from registry.commit.verify import verify
    from registry.service.access_files import verify_access
    from registry.store.port import Unusable

    if not arguments.data.is_dir():
        raise Failed(f"{arguments.data} is not a folder")
    folder = DataFolder(arguments.data)
    try:
        folder.acquire()
        findings = list(verify(folder.path))
        findings += [Finding("access", detail) for detail in verify_access(folder.path / ACCESS)]
    except (FolderInUse, Unusable, OSError) as error:
        raise Failed(str(error)) from None
    finally:
        folder.release()
    if findings:
        print("\n".join(columns(("part", "what does not hold"), [(finding.part, finding.detail) for finding in findings])))
        return REFUSED
    print(f"{folder.path}: everything holds")
    return DONE
