"""SECURITY.md names the hole behind a lower bound, and the bound and the pin keep it out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([a-z0-9-]+) \| ([\d.]+) \| CVE-\d{4}-\d+", re.M)
BOUNDS = dict(ROW.findall((HERE / "SECURITY.md").read_text(encoding="utf-8")))


def version(text: str) -> tuple[int, ...]:
    """Its numbers: (2, 10) is above (2, 6)."""
    return tuple(int(part) for part in text.split("."))


@pytest.mark.parametrize("package", BOUNDS)
def test_bound_and_pin_are_above_the_hole(package: str) -> None:
    told = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [told["project"]["dependencies"], *told["project"]["optional-dependencies"].values()]
    found = re.findall(rf"(?m)^{package}>=([\d.]+)", "\n".join(one for group in needed for one in group))
    assert found
    assert all(version(bound) >= version(BOUNDS[package]) for bound in found)
    [pin] = re.findall(rf"(?mi)^{package}==([\d.]+)", (HERE / "constraints.txt").read_text(encoding="utf-8"))
    assert version(pin) >= version(BOUNDS[package])


def test_the_table_is_read() -> None:
    assert len(BOUNDS) == 11
