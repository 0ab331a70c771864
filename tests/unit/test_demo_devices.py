"""The devices of the demonstration of the city: some for every system that there is a profile for, also for a new one."""

import shutil
from pathlib import Path

import pytest

from node.demo import city

NEW = """
name = "fire-service"
system = "智慧消防"
[select]
types = ["FIRE_DEVICE_CODE"]
[shape.members]
code = { from = "values.FIRE_DEVICE_CODE", pattern = '[{]XF[}]\\d+', example = "{XF}7" }
[transport]
kind = "webhook"
url = "http://127.0.0.1:9000/events"
"""


def test_there_are_devices_for_a_system_that_nobody_thought_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, count = city.kinds(), city.device_count()
    shutil.copytree(city.PROFILES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "fire-service.toml").write_text(NEW)
    monkeypatch.setattr(city, "PROFILES", tmp_path)
    city.kinds.cache_clear()
    try:
        (title, kind, pattern), *more = set(city.kinds()) - set(before)
        assert not more
        assert (title, kind, pattern.format(n=3)) == ("智慧消防", "FIRE_DEVICE_CODE", "{XF}7")
        assert city.device_count() == count + city.PER_KIND
    finally:
        city.kinds.cache_clear()
