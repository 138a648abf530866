"""The commands without a recipe: they read a run folder or the registry. Heavy imports wait until a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from stillhouse.cli.shared import Json, console, say, show_csv, show_json, show_run, show_scores
from stillhouse.cli.streams import tell
from stillhouse.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from stillhouse.taps import Layer

Folder = Annotated[Path, Parameter(help="A run folder.")]
Arm = Annotated[
    str | None,
    Parameter(help="Another model of the run in place of the student: simple, simple_distilled, self_trained ..."),
]


def demo(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="The run folder.")] = Path("runs/demo"),
    teacher: Annotated[Path | None, Parameter(help="Weights (.safetensors) of a ready cnn_large.")] = None,
    json: Json = False,
) -> None:
    """Do the main job on the embedded data: a teacher of 4,000 labels, a student of 200, judged on 1,000 images."""
    from importlib.resources import files

    from stillhouse import pipeline

    recipe = Path(str(files("stillhouse") / "demo.toml"))
    show_run(pipeline.distill(recipe, teacher=None if teacher is None else {"file": str(teacher)}, out=out), json)


def evaluate(
    folder: Folder,
    /,
    *,
    full: Annotated[
        bool,
        Parameter(negative="", help="Also compute the slow parts: robustness, outliers, attributions. Runs the nets."),
    ] = False,
    allow_code: Annotated[bool, Parameter(negative="", help="Run the recipe's `python:` names, for --full.")] = False,
    labels: Annotated[
        Path | None,
        Parameter(help="Labels of test rows that came later: a table with the inputs or an id, and a label."),
    ] = None,
    id: Annotated[str | None, Parameter(help="The column of that table, and of the data, that names a row.")] = None,
    json: Json = False,
) -> None:
    """Judge a run again from its stored predictions; only --full runs the nets."""
    from stillhouse import pipeline

    pipeline.evaluate(folder, full=full, labels=labels, id=id, allow_code=allow_code)
    show_scores(pipeline.Run(folder), json)


def report(folder: Folder, /, *, json: Json = False) -> None:
    """Write the report of a run again from its files."""
    from stillhouse import pipeline

    path = pipeline.report(folder)
    show_json({"report": path}) if json else say(str(path))


def compare(
    *folders: Annotated[Path, Parameter(help="Run folders, in the order in which they are shown.")],
    csv: Annotated[bool, Parameter(negative="", help="A table of plain numbers.")] = False,
    latex: Annotated[bool, Parameter(negative="", help="A tabular for LaTeX with booktabs.")] = False,
    markdown: Annotated[bool, Parameter(negative="", help="A table of Markdown.")] = False,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="A file; of a page compare.html.")] = None,
) -> None:
    """Set judged runs side by side: a page, or with --csv, --latex or --markdown a table for papers."""
    from stillhouse import pipeline
    from stillhouse.errors import UsageError

    chosen = [name for name, wanted in (("csv", csv), ("latex", latex), ("markdown", markdown)) if wanted]
    if len(chosen) > 1:
        raise UsageError(f"--{' and --'.join(chosen)} exclude each other. Give one of them.")
    found = pipeline.compare(folders, chosen[0] if chosen else "page", out)
    say(found.rstrip("\n") if isinstance(found, str) else str(found))


def export(
    folder: Folder,
    /,
    *,
    format: Annotated[str, Parameter(help="File format, such as onnx; any other word lists them all.")] = "onnx",
    arm: Arm = None,
    json: Json = False,
) -> None:
    """Write the student for serving; its answers are compared with the torch student's first.

    An embedder's graph goes from token ids to vectors; tokenizer.json, which makes the ids, is beside it,
    with --arm under its name.
    """
    from stillhouse import pipeline

    path = pipeline.export(folder, format, arm=arm)
    show_json({"export": path, "format": format}) if json else say(str(path))


def predict(
    folder: Folder,
    rows: Annotated[
        Path,
        Parameter(
            help="The rows: .csv, .tsv, .jsonl (also .gz), .parquet or .npz; an image; a folder of images or Parquet."
        ),
    ],
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"],
            allow_leading_hyphen=True,
            help="CSV with class and probabilities; of an embedder its vectors as .npy, .npz or .parquet. "
            "Without it, and with `-`: CSV on standard output.",
        ),
    ] = None,
    arm: Arm = None,
    json: Json = False,
) -> None:
    """Predict rows with the student of a run, in input order: class and probabilities, or vectors of texts."""
    from stillhouse import pipeline
    from stillhouse.files import is_standard_output
    from stillhouse.tasks.predictor import as_csv

    if str(out).startswith("--"):
        raise UsageError(f"--out needs a file, but {out} is a flag. Without --out the answers go to standard output.")
    if out is None or is_standard_output(out):
        table = pipeline.predict_rows(folder, rows, arm)
        show_json(table.to_dict("records")) if json else show_csv(as_csv(table))
        tell(f"{len(table):,} rows")
        return
    count = pipeline.predict(folder, rows, out, arm=arm)
    show_json({"rows": count, "out": out}) if json else say(f"{count:,} rows: {out}")


def draft(
    folder: Folder,
    /,
    *,
    gamma: Annotated[str, Parameter(help="Tokens that the draft proposes a cycle; several with commas.")] = "1,2,3,5",
    prompts: Annotated[int, Parameter(help="Test texts that are continued.")] = 8,
    prompt_tokens: Annotated[int, Parameter(help="Tokens of each text that are given.")] = 64,
    max_new_tokens: Annotated[int, Parameter(help="Tokens that are written for each.")] = 64,
    sampling_temperature: Annotated[float, Parameter(help="0 takes the likeliest token; above, tokens are drawn.")] = 0,
    seed: Annotated[int, Parameter(help="Of the draws.")] = 0,
    arm: Arm = None,
    json: Json = False,
) -> None:
    """Measure a language model's student as a draft for its teacher, beside plain decoding and prompt lookup."""
    from stillhouse import pipeline
    from stillhouse.cli.drafts import show_drafts
    from stillhouse.cli.running import numbers

    found = pipeline.draft(
        folder,
        gamma=numbers(gamma, "--gamma"),
        prompts=prompts,
        prompt_tokens=prompt_tokens,
        max_new_tokens=max_new_tokens,
        sampling_temperature=sampling_temperature,
        seed=seed,
        arm=arm,
    )
    show_json(found) if json else show_drafts(found)


def check(
    folder: Folder,
    /,
    *,
    gate: Annotated[Path, Parameter(help="Limits (TOML), such as `max_accuracy_loss = 0.02`; `min_recall = 0.4`.")],
    junit: Annotated[Path | None, Parameter(help="Write the criteria as JUnit XML too.")] = None,
    json: Json = False,
) -> None:
    """Check a judged run against a gate; exits 0 when every limit is kept, 3 when one is not."""
    from stillhouse import pipeline
    from stillhouse.errors import GateError
    from stillhouse.evaluation import gate as gates
    from stillhouse.files import write_output

    if junit is not None:
        pipeline.check_out(junit, [gate], [folder], "--junit")
    criteria = pipeline.check(folder, gate)
    if junit is not None:
        write_output(junit, gates.junit(criteria).encode())
    if json:
        show_json([c._asdict() for c in criteria])
    else:
        say("\n".join(gates.describe(c) for c in criteria))
    failed = [c.name for c in criteria if not c.passed]
    if failed:
        raise GateError(f"{folder} does not meet {gate}: {', '.join(failed)}. Do not ship it, or change the gate.")


def methods(
    name: Annotated[str | None, Parameter(help="Print this method's card.")] = None, /, *, json: Json = False
) -> None:
    """List the methods, one line each; with a NAME, print its card: paper, formula, settings, known deviations."""
    from stillhouse import methods as registry

    cards = [registry.card(n) for n in ([name] if name is not None else registry.names())]
    if json:
        listed = [c._asdict() | {"paper": c.paper._asdict(), "citation": c.citation} for c in cards]
        show_json(listed[0] if name is not None else listed)
    elif name is None:
        say("\n".join(f"{card.name:<20} {card.matches}" for card in cards))
    else:
        say(str(cards[0]))


def makers(
    name: Annotated[str | None, Parameter(help="Print this maker's card.")] = None, /, *, json: Json = False
) -> None:
    """List the makers of rows, one line each; with a NAME, print its card: needs, prior, paper, settings."""
    from stillhouse.makers import base

    cards = [base.card(n) for n in ([name] if name is not None else base.names())]
    if json:
        listed = [c._asdict() for c in cards]
        show_json(listed[0] if name is not None else listed)
    elif name is None:
        say("\n".join(f"{card.name:<16} {'/'.join(card.kinds):<12} {card.makes}" for card in cards))
    else:
        say(str(cards[0]))


def layers(
    student: Annotated[str, Parameter(help="A net of the zoo.")],
    teacher: Annotated[
        str | None, Parameter(help="A second net: pairs of layers are proposed for feature methods.")
    ] = None,
    /,
    *,
    shape: Annotated[list[int], Parameter(consume_multiple=True, negative="", help="Of one input: 1 28 28.")],
    classes: Annotated[int, Parameter(help="Number of logits.")] = 10,
    json: Json = False,
) -> None:
    """Print the layers of a net that methods can name, with output shapes and parameter counts."""
    import torch

    from stillhouse import students, taps

    example = torch.zeros(2, *shape)
    found = {
        name: taps.layers(students.make(name, shape=tuple(shape), outputs=classes, settings={}), example)
        for name in (student, teacher)
        if name is not None
    }
    pairs = taps.propose(found[student], found[teacher]) if teacher is not None else []
    if json:
        listed = {name: [layer._asdict() for layer in layers] for name, layers in found.items()}
        show_json({"layers": listed, "pairs": [[p.student.path, p.teacher.path] for p in pairs]})
        return
    for name, layers in found.items():
        console().print(_layers_table(name, layers))
    for pair in pairs:
        say(f"--method fitnet,student_layer={pair.student.path},teacher_layer={pair.teacher.path}")


def _layers_table(name: str, layers: list[Layer]) -> Table:
    """One line for each layer of a net."""
    from rich.table import Table

    from stillhouse.reporting.wording import count

    shown = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in ("path", "kind", "output", "parameters"):
        shown.add_column(heading, justify="right" if heading == "parameters" else "left")
    for layer in layers:
        shown.add_row(layer.path or "(all)", layer.kind, " x ".join(map(str, layer.shape)), count(layer.parameters))
    return shown


def embed(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> None:
    """Name the new command."""
    from stillhouse.errors import UsageError

    raise UsageError(
        '`stillhouse embed` is now a task of `stillhouse distill`: write `[task]` and `name = "embedding"` into the '
        "recipe, or add the flag: `stillhouse distill RECIPE --task.name embedding`."
    )
