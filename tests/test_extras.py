"""An optional library is named with the extra that installs it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from stillhouse.errors import UsageError
from stillhouse.extras import EXTRAS, library

HERE = Path(__file__).parents[1]


def test_each_extra_installs_its_package() -> None:
    told = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {extra: {re.split(r"[\[<>=]", one)[0] for one in needed} for extra, needed in told.items()}
    brought = {"huggingface_hub": "transformers"}  # by which package, where the extra does not name it
    assert all(brought.get(package, package) in names[extra] for package, extra in EXTRAS.items())


def test_only_one_module_names_an_extra() -> None:
    source = HERE / "src/stillhouse"
    found = {p.relative_to(source).as_posix() for p in source.rglob("*.py") if "'stillhouse[" in p.read_text()}
    assert found == {"extras.py"}


def test_a_library_that_is_missing_or_broken_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "timm.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(UsageError, match=r"timm, which cannot be imported.*pip install 'stillhouse\[timm\]'"):
        library("timm", "This model")
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setattr("stillhouse.extras.is_installed", lambda package: False)
    with pytest.raises(UsageError, match=r"An explanation needs the package captum, which is not installed"):
        library("captum", "An explanation")
