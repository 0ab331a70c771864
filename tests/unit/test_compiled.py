"""Functions that are there twice: each compiled one has its plain one, and either way can be gone."""

import importlib
import inspect
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from proto import compiled
from tests.support.ways import both_ways

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted(path for folder in ("proto", "resolver", "registry", "adapters") for path in (ROOT / folder).rglob("*.pyx"))
PLAIN = [".".join((*path.relative_to(ROOT).parent.parts, path.stem.removeprefix("_"))) for path in SOURCES]

SHOW = "import proto.packed_messages; from proto import compiled; print(compiled.summary())"


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", PLAIN)
def test_a_compiled_module_stands_beside_its_plain_one_and_is_built_if_it_can_be(module: str) -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    (extension,) = [each for each in built if each["name"] == compiled.namesake(module)]
    assert extension["sources"] == [extension["name"].replace(".", "/") + ".pyx"]
    assert extension["optional"]
    assert all((ROOT / each).is_file() for each in extension["depends"])
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("module", PLAIN)
def test_a_compiled_function_is_called_as_its_plain_one(module: str) -> None:
    importlib.import_module(module)
    found = importlib.util.find_spec(compiled.namesake(module))
    if found is None:
        assert os.environ.get("CI") != "true"
        pytest.skip("nothing is compiled here")
    quick = importlib.import_module(compiled.namesake(module))
    # Not its classes, which only compiled code makes, and what Cython adds to them.
    functions = {name: each for name, each in vars(quick).items() if inspect.isroutine(each) and not name.startswith("__pyx")}
    names = [name for name, function in functions.items() if function.__module__ == quick.__name__]
    assert names
    for name in names:
        plain = compiled.pure(module, name)
        assert [*inspect.signature(getattr(quick, name)).parameters] == [*inspect.signature(plain).parameters]


def test_plain_python_can_be_asked_for() -> None:
    assert run(SHOW, BIAOJIE_PURE="1") == "pure (as BIAOJIE_PURE says)"


def test_what_is_compiled_is_used() -> None:
    both_ways("proto.packed_messages", "compose_public_response")
    assert run(SHOW, BIAOJIE_PURE="") == "compiled"


@pytest.mark.parametrize("later_s", [-10, 10])
def test_what_is_older_than_its_source_is_not_used(tmp_path: Path, later_s: int) -> None:
    both_ways("proto.packed_messages", "compose_public_response")
    spec = importlib.util.find_spec("proto._packed_messages")
    assert spec is not None
    assert spec.origin is not None
    package = tmp_path / "checkout"
    package.mkdir()
    binary = package / Path(spec.origin).name
    shutil.copyfile(spec.origin, binary)
    (package / "__init__.py").touch()
    (package / "_packed_messages.pyx").touch()
    built_s = (package / "_packed_messages.pyx").stat().st_mtime - later_s
    os.utime(binary, (built_s, built_s))
    (package / "packed_messages.py").write_text(
        "from proto import compiled\n@compiled.preferred\ndef compose_public_response(record, asked, now_s): ...\n"
    )
    shown = run(
        "import checkout.packed_messages; from proto import compiled; print(compiled.summary())", PYTHONPATH=str(tmp_path)
    )
    assert ("older than its source" in shown) == (later_s > 0)
