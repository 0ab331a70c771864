"""Images and containers, with podman and a storage of its own, and an image of Debian 12 that debootstrap makes for them.

Nothing but Debian's and Python's packages is fetched, and they are trusted as this machine trusts them.
"""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.machine import miss, need_program

# Far beyond what a loaded machine and a slow mirror take for Debian's base, or for the packages and the compiler of an image.
FETCH_LIMIT_S: Final = 900.0
# Far beyond what any other command takes.
LIMIT_S: Final = 120.0
# Of what a program has printed, so much is shown where it did not do what it should.
_LAST_WORDS: Final = 3_000
# As many processes as any node has, many times over.
_PROCESSES: Final = 4_096
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
# Where no package that an image installs writes.
_CERTIFICATES_INSIDE: Final = "/etc/certificates-of-this-machine.crt"
# Which packages Python's are, where this machine is told so.
_REGISTRY_VARIABLES: Final = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


class Podman:
    """podman over a folder. (`runc`, because Debian's crun does not know every order of control groups.)"""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._command: Final = (
            need_program("podman", "podman"), "--runtime", need_program("runc", "runc"),
            "--root", str(folder / "storage"), "--runroot", str(folder / "run"),
        )  # fmt: skip

    def running(self, *words: str) -> Sequence[str]:
        """The command of a container in the foreground, that may have as much of everything as this process."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits = [f"--ulimit=nofile={files}:{files}", f"--ulimit=nproc={_PROCESSES}:{_PROCESSES}"]
        return [*self._command, "run", "--rm", *limits, *words]

    def run(self, *words: str, limit_s: float = LIMIT_S) -> str:
        """A command of podman's that must succeed; returns what it printed."""
        return _succeed([*self._command, *words], limit_s)

    def run_once(self, *words: str) -> str:
        """What a container prints that must succeed."""
        return _succeed(self.running(*words), LIMIT_S)

    def make_base(self, name: str) -> None:
        """An image of Debian 12, and nothing more than every Debian has."""
        tree = self._folder / "debian"
        bootstrap = [need_program("debootstrap", "debootstrap"), "--variant=minbase", "bookworm", str(tree)]
        _succeed(bootstrap, FETCH_LIMIT_S)
        variables = {key: os.environ[key] for key in _REGISTRY_VARIABLES if key in os.environ}
        certificates = Path(os.environ.get("PIP_CERT", _CERTIFICATES))
        if certificates.exists():
            shutil.copy(certificates, f"{tree}{_CERTIFICATES_INSIDE}")
            variables["PIP_CERT"] = _CERTIFICATES_INSIDE
        archive = self._folder / "debian.tar"
        _succeed(["tar", "-C", str(tree), "-cf", str(archive), "."], LIMIT_S)
        shutil.rmtree(tree)
        changes = [f"--change=ENV {key}={value}" for key, value in variables.items()]
        self.run("import", *changes, str(archive), name)
        archive.unlink()

    def remove_all(self) -> None:
        """End every container, and let go of the folder."""
        try:
            self.run("rm", "--all", "--force", "--time", "1")
        finally:
            mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
            for point in reversed(mounted):
                if Path(point).is_relative_to(self._folder):
                    _succeed(["umount", "--lazy", point], LIMIT_S)


def _succeed(command: Sequence[str], limit_s: float) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-_LAST_WORDS:]}{done.stderr[-_LAST_WORDS:]}"
    return done.stdout


@contextmanager
def own_podman() -> Iterator[Podman]:
    """One that leaves nothing behind. Its folder has a short name, because those of sockets have to be."""
    if os.geteuid() != 0:
        miss("only root can make a Debian and run containers of it")
    need_program("catatonit", "catatonit")
    with tempfile.TemporaryDirectory(prefix="biaojie-", dir="/var/tmp") as folder:
        podman = Podman(Path(folder))
        try:
            yield podman
        finally:
            podman.remove_all()
