"""What a test needs of the machine: it is skipped with the reason where that is missing, and fails where it must not be."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def miss(reason: str) -> None:
    """Skip the test; with `CI=true` fail it, so that nothing goes untested unnoticed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"must not be missing here: {reason}")
    pytest.skip(reason)


def need_program(name: str, package: str) -> str:
    """The path of a program, which the Debian package `package` has."""
    found = shutil.which(name)
    if found is None:
        miss(f"{name} is not installed (Debian package {package})")
    return str(found)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of so many megabytes, in memory, mounted on `folder`."""
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        miss(f"a small disk cannot be mounted: {mounting.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
