"""Programs of others that tests run: skipped by name where they are missing, unless nothing may be skipped (`CI=true`)."""

import os
import shutil

import pytest


def find_program(command: str, package: str) -> str:
    """The path of a command of the Debian package `package`."""
    found = shutil.which(command)
    if found is not None:
        return found
    reason = f"{command} is missing (Debian package {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
