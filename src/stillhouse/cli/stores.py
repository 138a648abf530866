"""``stillhouse store``: list, compare, check, repair and clear stores of teacher outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from stillhouse.cli.shared import REFERENCE, Json, say, show_json

StoreFolder = Annotated[Path, Parameter(help="A store: the folder that holds its manifest.")]
LISTED = ("folder", "digest", "rows", "rows_done", "views", "nbytes", "complete", "problem")  # of `ls --json`
Place = Annotated[str, Parameter(help="A store: the folder that holds its manifest, or s3://bucket/prefix/digest.")]
Root = Annotated[Path, Parameter(help="Where to look, folders below it included.")]

store = App(
    name="store",
    help="Maintain stores of teacher outputs: ls, why, verify, repair, gc; of those in parts status, merge.",
    group=REFERENCE,
    sort_key=9,
)


def there(root: Path) -> Path:
    """A folder that is there.

    Raises:
        UsageError: it is not.
    """
    from stillhouse.errors import UsageError
    from stillhouse.store.buckets import folder_of

    if not folder_of(root).is_dir():
        raise UsageError(f"There is no folder {root}. Give the folder in which to look for stores.")
    return root


@store.command
def ls(root: Root = Path("runs"), /, *, json: Json = False) -> None:
    """List the stores in a folder and below it."""
    from stillhouse.store import maintenance

    found = maintenance.ls(there(root))
    if json:
        show_json([{key: getattr(s, key) for key in LISTED} for s in found])
        return
    for s in found:
        state = s.problem or ("complete" if s.complete else f"{s.rows_done:,} of {s.rows:,} rows")
        say(f"{s.folder}  {s.digest}  {s.rows:,} rows x {s.views} views  {s.nbytes:,} bytes  {state}")


@store.command
def why(a: StoreFolder, b: StoreFolder, /, *, json: Json = False) -> None:
    """Say which parts of the keys of two stores differ."""
    from stillhouse.store import maintenance

    reasons = maintenance.why(a, b)
    show_json(reasons) if json else say("\n".join(reasons) or "The two stores hold the same outputs.")


@store.command
def status(folder: Place, /, *, json: Json = False) -> None:
    """Say how far a store in parts is: parts done, missing, and being labelled now."""
    from stillhouse.store import part_care
    from stillhouse.store.buckets import place_of

    found = part_care.status(place_of(folder))
    if json:
        show_json(found._asdict())
        return
    state = "merged" if found.merged else "not merged"
    say(
        f"{found.place}: {found.done:,} of {found.parts:,} parts of {found.part_rows:,} rows, {state}; "
        f"{len(found.missing):,} missing, of these {len(found.running):,} running"
    )
    if found.missing:
        say(f"missing: {part_care.named(found.missing)}")


@store.command
def merge(folder: Place, /, *, json: Json = False) -> None:
    """Finish a store in parts: every bit is checked, and its manifest is written, once."""
    from stillhouse.store import part_care
    from stillhouse.store.buckets import place_of

    plan = part_care.merge(place_of(folder))
    found = {"store": str(folder), "rows": plan.rows, "views": plan.views, "parts": plan.parts, "bytes": plan.nbytes}
    show_json(found) if json else say(f"{folder} is complete: {plan.rows:,} rows in {plan.parts:,} parts.")


@store.command
def verify(folder: Place, /, *, json: Json = False) -> None:
    """Check every bit of a store; exits 0 when it is whole, 5 when it is damaged."""
    from stillhouse.errors import DamagedError
    from stillhouse.store import maintenance

    found = [str(damage) for damage in maintenance.verify(folder)]
    if json:
        show_json(found)
    if found:
        raise DamagedError(
            f"{folder} is damaged: {'; '.join(found)}. Repair it with `stillhouse store repair {folder}`."
        )
    if not json:
        say(f"{folder} is whole.")


@store.command
def repair(folder: Place, /, *, json: Json = False) -> None:
    """Remove the damaged blocks of a store; the command of its run then asks the teacher for these only."""
    from stillhouse.store import maintenance

    found = [str(damage) for damage in maintenance.repair(folder)]
    if json:
        show_json(found)
    elif found:
        say("\n".join([*found, "Run the command of the run again: it asks the teacher for the missing rows."]))
    else:
        say(f"{folder} is whole.")


@store.command
def gc(
    root: Root,
    /,
    *,
    keep: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True, negative="", help="Digests of `store ls` in use: complete stores of others go too."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Delete what no run needs: superseded stores and incomplete files; with --keep all stores but those."""
    from stillhouse.errors import UsageError
    from stillhouse.store import maintenance

    known = {listing.digest for listing in maintenance.ls(there(root))}
    if odd := sorted(set(keep or ()) - known):
        raise UsageError(
            f"--keep {odd[0]}: no store in {root} has this digest, so nothing is deleted. `stillhouse store ls {root}` "
            "lists them."
        )
    gone = [str(path) for path in maintenance.gc(root, keep)]
    show_json(gone) if json else say("\n".join(gone) or f"There is nothing to delete in {root}.")
