"""Imports between folders go one way, at any depth.

A folder's own modules are a node of the graph, its subfolders are others. ``__init__`` and ``__main__`` are the front
door of a folder: they pass on what lies behind them. They are a node of their own, from which nothing behind imports.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

ROOT = "stillhouse"


def folder_of(module: str, packages: Iterable[str]) -> str:
    """The node of a module: its folder, or the front door of a folder."""
    folder, _, name = module.rpartition(".")
    if module in packages:
        return f"{module} (front door)"
    return f"{folder} (front door)" if name == "__main__" else folder


def two_way(imports: Mapping[str, Iterable[str]], packages: frozenset[str]) -> set[frozenset[str]]:
    """Pairs of folders of which each imports from the other.

    Args:
        imports: by module, what it imports.
        packages: the modules that are an ``__init__``.
    """
    edges = {
        (folder_of(module, packages), folder_of(other, packages))
        for module, others in imports.items()
        for other in others
    }
    return {frozenset(edge) for edge in edges if edge[0] != edge[1] and (edge[1], edge[0]) in edges}


def test_two_folders_that_import_each_other_are_found() -> None:
    imports = {"a": ["a.b.one"], "a.own": ["a.b.one"], "a.b.one": ["a.b.two"], "a.b.two": ["a.own"], "a.b": ["a.b.one"]}
    assert two_way(imports, frozenset({"a", "a.b"})) == {frozenset({"a", "a.b"})}
    assert not two_way(imports | {"a.b.two": ["a.b.one"]}, frozenset({"a", "a.b"}))


def test_no_two_folders_import_each_other() -> None:
    graph = grimp.build_graph(ROOT, cache_dir=None)
    source = Path(__file__).parents[1] / "src"
    packages = frozenset(m for m in graph.modules if (source / m.replace(".", "/") / "__init__.py").exists())
    assert ROOT in packages
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    found = two_way(imports, packages)
    pairs = sorted(" <-> ".join(sorted(pair)) for pair in found)
    assert not pairs, f"These folders import each other: {pairs}"


def test_the_sequence_has_few_files_beside_its_folders() -> None:
    flat = [one for one in (Path(__file__).parents[1] / "src/stillhouse/pipeline").glob("*.py") if one.stem[0] != "_"]
    assert len(flat) <= 12, f"Put some of these into a folder of pipeline/: {sorted(one.name for one in flat)}"
