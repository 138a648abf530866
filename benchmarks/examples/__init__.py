"""The demonstrations: real data, one command each, and a page that is written from the run.

    python -m benchmarks.examples digits        one of them
    python -m benchmarks.examples all           all of them, one after the other
    python -m benchmarks.examples --pages all   only the pages, from the run folders as they are

For an example NAME this prepares ``runs/data/NAME.csv`` from an installed package, distils the recipe
``docs/examples/NAME.toml`` into ``runs/examples/NAME`` (what is there already is not done again), and writes
``docs/examples/NAME.md`` with the picture ``NAME.png``. Every number of a page is read from the run folder.

To add an example, write its recipe ``docs/examples/NAME.toml`` with ``[output] dir = "runs/examples/NAME"`` and, for
data in a file, ``path = "../../runs/data/NAME.csv"`` (or ``text = ...``), and beside it ``cases/NAME.py``; the folder
is the list of examples:

    def prepare(folder: Path) -> None:
        frame.to_csv(folder / "NAME.csv", index=False)

    def extra(run: RunFiles) -> str:  # optional: Markdown with figures of its own, from the run folder's files
        return f"### A heading\n\n{figures}"

    EXAMPLE = Example(
        title="...", about="...", origins=(Origin("package", "licence", "what is used"),),
        file="NAME.csv", prepare=prepare,  # neither, where the recipe names a set
        extra=extra, limits="...",  # words that stand below the figures
    )

``Example`` has further fields: ``sections`` laid over the recipe (paths that only this machine knows, such as the
folder of a model that a package carries), and ``distil`` in place of the usual run, for what is not one call of
``distill``.
"""
