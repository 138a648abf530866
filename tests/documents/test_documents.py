"""Every block of code in the documents runs, is a recipe that is read, or is a command that exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from benchmarks.notebooks import PAGES as NOTEBOOKS

from stillhouse import recipe, tasks
from stillhouse.cli import app
from stillhouse.evaluation import gate
from tests.documents.blocks import ROOT, Block, blocks, in_text

GIVEN = "from tests.documents.setup import big, small, train, valid, test"
SETUPS = {ROOT / "src" / "stillhouse" / "__init__.py": GIVEN}  # of docstrings, which have no hidden place
TOOLS = {"make", "python", "stillhouse"}


def by_file(found: list[Block]) -> list[list[Block]]:
    """Blocks of one page together: a later one uses the names of an earlier one."""
    files: dict[Path, list[Block]] = {}
    for block in found:
        files.setdefault(block.path, []).append(block)
    return list(files.values())


# The pages that are notebooks too run there.
PAGES = [page for page in by_file(blocks("python")) if page[0].path.stem not in NOTEBOOKS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page[0].path.relative_to(ROOT)))
def test_every_python_block_runs_as_printed(page: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in page:
        for code in (block.setup or SETUPS.get(block.path, ""), block.text):
            exec(compile(code, block.place, "exec"), names)


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.place)
def test_every_toml_block_is_a_recipe_or_a_gate(block: Block) -> None:
    table = tomllib.loads(block.text)
    if set(table) & set(recipe.Recipe.model_fields):
        recipe.parse(table, block.place)
    else:
        known = {name for task in tasks.names() for name in tasks.get(task).criteria}
        assert set(table) <= {*known, gate.VERDICT}


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block for the shell: of a session the lines with a prompt, of a script every line."""
    text = block.text.replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if block.language == "sh" or line.startswith("$ ")]
    for line in lines:
        words = shlex.split(line, comments=True)
        if words:
            yield words


SHELL = [block for block in blocks("sh", "bash", "console") if list(commands(block))]


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_every_command_of_a_shell_block_exists_with_its_flags(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for tool, *words in commands(block):
        assert tool in TOOLS, f"{block.place}: {tool}"
        if tool == "stillhouse":
            app.parse_args(words, exit_on_error=False, print_error=False)
        elif tool == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)
        else:
            assert words[0] == "-m"
            assert importlib.util.find_spec(words[1]) is not None


def test_the_readme_sets_up_with_two_commands() -> None:
    found = [words for block in SHELL if block.path == ROOT / "README.md" for words in commands(block)]
    assert [words for words in found if words[0] != "stillhouse"] == [["make", "demo"], ["make", "test"]]


def test_a_setup_belongs_to_the_block_after_it() -> None:
    text = "a\n<!-- setup\nx = 1\n-->\n```python\ny = x\n```\n\n```python\nz = y\n```\n"
    first, second = in_text(text, ROOT / "README.md")
    assert (first.setup, first.text, first.line) == ("x = 1\n", "y = x\n", 5)
    assert (second.setup, second.text) == ("", "z = y\n")


def test_a_flag_that_does_not_exist_is_found() -> None:
    wrong = Block(ROOT / "README.md", 1, "console", "$ stillhouse export runs/x --formatt onnx\n")
    with pytest.raises(Exception, match="formatt"):
        test_every_command_of_a_shell_block_exists_with_its_flags(wrong)
