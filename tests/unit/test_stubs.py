"""The committed protobuf and gRPC stubs are what the committed contracts generate."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CONTRACTS = sorted(path.relative_to(ROOT) for path in ROOT.glob("proto/v1/*.proto"))
SERVICES = [path for path in CONTRACTS if "\nservice " in (ROOT / path).read_text()]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    plugins = [f"--plugin={name}={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    compiler = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *plugins]
    for outputs, contracts in ((("python", "mypy"), CONTRACTS), (("grpc_python", "mypy_grpc"), SERVICES)):
        command = [*compiler, *(f"--{output}_out={folder}" for output in outputs), *map(str, contracts)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_committed_stubs_equal_fresh_ones(fresh: Path) -> None:
    generated = {path.relative_to(fresh): path.read_text() for path in fresh.rglob("*_pb2*")}
    committed = {path.relative_to(ROOT): path.read_text() for path in ROOT.glob("proto/v1/*_pb2*.py*")}
    assert committed.keys() == generated.keys()
    assert [str(path) for path, text in generated.items() if committed[path] != text] == []


def test_every_field_that_a_client_sees_is_explained() -> None:
    for contract in [*SERVICES, Path("proto/v1/model.proto")]:
        bare = [
            line
            for line in (ROOT / contract).read_text().splitlines()
            if line.startswith("  ") and line.rstrip().endswith(";") and " = " in line
        ]
        assert bare == [], contract
