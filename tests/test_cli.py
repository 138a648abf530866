"""The shell: flags and file say the same thing, results go to standard output, and every end has its exit code."""

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score

from stillhouse import methods, recipe
from stillhouse.cli import main

BUDGET = (
    "--data.name digits --data.labels 100 --teacher.name mlp_large --teacher.labels all --teacher.training.steps 60 "
    "--training.seeds 0 1 --evaluation.resamples 200 --accept-teacher"
)
QUICK = f"{BUDGET} --training.steps 40"


def run(command: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(shlex.split(command))
    return code, out.getvalue(), err.getvalue()


def process(command: str, **options: Any) -> subprocess.Popen[str]:
    """A command as a process of its own."""
    arguments = [sys.executable, "-m", "stillhouse", *shlex.split(command)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run on digits, with what its command wrote to standard output and standard error."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    code, out, err = run(f"distill {QUICK} --output.dir {folder}")
    assert code == 0, err
    return folder, out, err


# Flags and file


def leaves(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{path}{name}.")
        else:
            yield path + name


def test_every_key_of_the_recipe_is_a_flag_with_its_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    _, out, _ = run("distill --help")
    words = out.split()
    assert {f"--{path.replace('_', '-')}" for path in leaves(recipe.Recipe)} <= set(words)
    assert "Peak learning rate of AdamW; one-cycle cosine." in out


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "data.name": st.sampled_from(["digits", "mnist5k"]),
    "data.labels": st.integers(1, 500) | st.just("all"),
    "data.header": st.booleans(),
    "data.drop": st.lists(st.sampled_from(["a", "b c", "-d"]), min_size=1, max_size=3),
    "teacher.labels": st.sampled_from(["same", "all", 7]),
    "teacher.training.lr": st.floats(1e-6, 1.0),
    "training.seeds": st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    "training.batch_size": st.integers(1, 999),
    "views.policy": st.sampled_from(["none", "shift", "noise"]),
    "controls.all_labels": st.booleans(),
    "student.settings.hidden": st.lists(st.integers(1, 64), min_size=1, max_size=3),
    "student.settings.dropout": st.floats(0.0, 0.9),
    "data.types.age": st.sampled_from(["numeric", "categorical"]),
}


def as_flags(path: str, value: Any) -> list[str]:
    flag = "--" + path.replace("_", "-") if "settings" not in path else "--" + path
    if isinstance(value, bool):
        section, _, name = flag.rpartition(".")
        return [flag if value else f"{section}.no-{name}"]
    if isinstance(value, list) and "settings" not in path:
        return [f"{flag}={item}" for item in value]
    return [f"{flag}={value}"]


def as_table(chosen: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for path, value in chosen.items():
        *sections, key = path.split(".")
        at = table
        for section in sections:
            at = at.setdefault(section, {})
        at[key] = value
    return table


@given(st.fixed_dictionaries({}, optional=FIELDS))
@settings(max_examples=25, deadline=None)
@pytest.mark.slow
def test_flags_and_file_say_the_same_thing(tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]) -> None:
    file = tmp_path_factory.getbasetemp() / "recipe.toml"
    file.write_text(tomli_w.dumps(as_table(chosen)))
    flags = [flag for path, value in chosen.items() for flag in as_flags(path, value)]
    by_flags, by_file = run(shlex.join(["distill", "--print-recipe", *flags])), run(f"distill --print-recipe {file}")
    assert by_flags == by_file
    assert by_flags[0] == 0
    assert recipe.parse(tomllib.loads(by_flags[1])) == recipe.parse(as_table(chosen))


def test_a_list_in_one_word_is_the_list_that_a_recipe_would_have() -> None:
    typed = [
        "distill", "--print-recipe", "--data.classes", '["a b", "c"]', "--data.target", '["x", "y"]',
        "--training.seeds", "[3, 4]", "--data.drop", "[odd", "--store.codec", "topk:2",
    ]  # fmt: skip
    code, out, _ = run(shlex.join(typed))
    table = tomllib.loads(out)
    assert code == 0
    assert (table["data"]["classes"], table["data"]["target"]) == (["a b", "c"], ["x", "y"])
    assert (table["training"]["seeds"], table["data"]["drop"]) == ([3, 4], ["[odd"])


def test_flags_win_over_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('[data]\nname = "digits"\nlabels = 50\n[training]\nsteps = 7\n')
    _, out, _ = run(f"label {file} --data.labels 60 --training.batch-size 8 --print-recipe")
    table = tomllib.loads(out)
    assert (table["data"]["name"], table["data"]["labels"]) == ("digits", 60)
    assert (table["training"]["steps"], table["training"]["batch_size"]) == (7, 8)


def test_method_flags_become_the_methods_in_their_order() -> None:
    fitnet = "--method 'fitnet, weight=2, student_layer=blocks.0, teacher_layer=blocks.1'"
    _, out, _ = run(
        f"distill --print-recipe --method hinton,weight=0.5,temperature=4 {fitnet} --method 'x,layers=[1,2]'"
    )
    assert tomllib.loads(out)["method"] == [
        {"name": "hinton", "weight": 0.5, "temperature": 4},
        {"name": "fitnet", "weight": 2.0, "student_layer": "blocks.0", "teacher_layer": "blocks.1"},
        {"name": "x", "weight": 0.9, "layers": [1, 2]},
    ]


# Exit codes


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("distil x.toml", 'Did you mean "distill"'),
        ("distil x.toml", "compare and others. See"),
        ("distill missing.toml", "missing.toml"),
        ("distill --data.lables 3", "Did you mean '--data.labels'"),
        ("distill --data.labels many", "'many' is not a whole number or 'all'"),
        ("distill --training.steps 3.5", "'3.5' is not a whole number"),
        ("distill --training.steps 0", "training.steps"),
        ("distill --training.seeds 0 x", "--training.seeds"),
        ("distill --training.steps 3 --training.epochs 2", "not both"),
        ("distill --method hinton,oops", "SETTING=VALUE"),
        ("distill --data.name digits --student.name cnn_tinny --training.steps 1", "cnn_tiny"),
        ("evaluate missing", "missing"),
        ("export missing --format onnxx", "onnx"),
        ("methods hintn", "Did you mean 'hinton'"),
        ("layers cnn_tiny --shape 4", "mlp_tiny"),
        ("predict", "requires an argument"),
        ("embed texts.toml --data.tokens 64", "--task.name embedding"),
        ("predict missing rows.csv -o .", "--out . is a folder"),
        ("predict missing rows.csv -o --json", "--out needs a file"),
    ],
)
def test_wrong_usage_exits_2_with_one_helpful_paragraph(
    command: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(command)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_the_code_reaches_the_shell() -> None:
    child = process("distill missing.toml")
    out, err = child.communicate()
    assert (child.returncode, out) == (2, "")
    assert "Traceback" not in err


def test_an_unexpected_error_exits_1_and_shows_its_traceback_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, **options: object) -> None:
        raise RuntimeError("of our own making")

    monkeypatch.setattr("stillhouse.pipeline.evaluate", broken)
    monkeypatch.setenv("STILLHOUSE_DEBUG", "")
    code, _, err = run("evaluate x")
    assert (code, "Traceback" in err, "of our own making" in err) == (1, False, True)
    code, _, err = run("--debug evaluate x")
    assert (code, "Traceback" in err) == (1, True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_training_stops_with_its_own_code(tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder = tmp_path / "run"
    child = process(f"distill {BUDGET} --training.steps 200000 --training.workers 1 --output.dir {folder}")
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        while " steps" not in (said := child.stderr.readline()):  # the line that says that a net is trained now
            assert said, "it ended before it trained"
        child.send_signal(number)
        assert "the same command resumes" in child.stderr.read()
        assert (child.wait(), child.stdout.read()) == (code, "")
        assert (folder / "run.json").exists()
    finally:
        child.kill()


def test_a_closed_pipe_is_no_error_message() -> None:
    child = process("methods")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert child.stderr.read() == ""
    assert child.wait() == 141


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from stillhouse.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "sklearn", "scipy", "matplotlib", "numpy"} & set(done.stderr.split())


# Results


def test_a_run_ends_with_table_verdict_and_paths(finished: tuple[Path, str, str]) -> None:
    folder, out, err = finished
    scores = json.loads((folder / "scores.json").read_text())
    for arm in ("Teacher", "Labels only", "Distilled", "All labels"):
        assert arm in out
    value = scores["models"]["distilled"]["measures"]["accuracy"]["value"]
    assert f"{100 * value:.1f}" in out
    assert scores["sentence"] in out
    assert str(folder / "report.html") in out
    assert "students" in err  # progress
    assert "students:" not in out


def test_the_run_records_the_command_that_reproduces_it(finished: tuple[Path, str, str]) -> None:
    folder, _, _ = finished
    assert (
        json.loads((folder / "run.json").read_text())["command"] == f"stillhouse distill {QUICK} --output.dir {folder}"
    )


def test_the_same_command_again_gives_the_same_scores_as_json_alone(finished: tuple[Path, str, str]) -> None:
    folder, _, _ = finished
    before = json.loads((folder / "scores.json").read_text())
    code, out, _ = run(f"distill {QUICK} --output.dir {folder} --json")
    assert code == 0
    assert json.loads(out)["models"]["distilled"]["measures"] == before["models"]["distilled"]["measures"]


def test_another_recipe_is_refused_in_the_same_folder(finished: tuple[Path, str, str]) -> None:
    code, _, err = run(f"distill {QUICK} --training.lr 0.5 --output.dir {finished[0]}")
    assert code == 2
    assert "training.lr" in err


def test_evaluate_report_and_export_work_on_the_folder(finished: tuple[Path, str, str]) -> None:
    folder, _, _ = finished
    code, out, _ = run(f"evaluate {folder} --json")
    assert (code, json.loads(out)["schema"]) == (0, 1)
    assert run(f"report {folder}")[:2] == (0, f"{folder / 'report.html'}\n")
    code, out, _ = run(f"export {folder} --format safetensors --json")
    assert code == 0
    assert Path(json.loads(out)["export"]).exists()


def test_predict_answers_rows_in_their_order(finished: tuple[Path, str, str], tmp_path: Path) -> None:
    folder, _, _ = finished
    test = np.load(folder / "split.npz")["test"]
    data = load_digits()
    np.savez(tmp_path / "rows.npz", x=data.images[test])
    code, out, _ = run(f"predict {folder} {tmp_path / 'rows.npz'} -o {tmp_path / 'out.csv'}")
    assert code == 0
    assert str(tmp_path / "out.csv") in out
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0].startswith("class,p_0,p_1")
    chosen = [int(line.split(",")[0]) for line in lines[1:]]
    scores = json.loads((folder / "scores.json").read_text())
    shipped = scores["models"]["distilled"]["seeds"]["0"]["accuracy"]
    assert accuracy_score(data.target[test], chosen) == pytest.approx(shipped, abs=1e-9)


@pytest.mark.parametrize("dash", ["", " -o -", " --out -"])
def test_predict_without_a_file_writes_to_standard_output(
    finished: tuple[Path, str, str], tmp_path: Path, dash: str
) -> None:
    folder, _, _ = finished
    np.savez(tmp_path / "rows.npz", x=load_digits().images[:30])
    run(f"predict {folder} {tmp_path / 'rows.npz'} -o {tmp_path / 'out.csv'}")
    code, out, err = run(f"predict {folder} {tmp_path / 'rows.npz'}{dash}")
    assert (code, out, err) == (0, (tmp_path / "out.csv").read_text(), "30 rows\n")
    code, out, err = run(f"predict {folder} {tmp_path / 'rows.npz'} --json{dash}")
    records = [[str(value) for value in record.values()] for record in json.loads(out)]
    assert records == [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_predict_does_not_write_over_its_rows(
    finished: tuple[Path, str, str], tmp_path: Path, link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = finished
    monkeypatch.chdir(tmp_path)
    np.savez("rows.npz", x=load_digits().images[:5])
    before, out = Path("rows.npz").read_bytes(), "rows.npz"
    if link is not None:
        link("rows.npz", out := "other.csv")
    code, _, err = run(f"predict {folder} {tmp_path / 'rows.npz'} -o {out}")
    assert (code, Path("rows.npz").read_bytes()) == (2, before)
    cure = err.split("`--out ")[1].split("`")[0]
    assert run(f"predict {folder} rows.npz --out {cure}")[0] == 0
    assert len(Path(cure).read_text().splitlines()) == 6


def test_check_exits_3_when_a_limit_is_not_kept_and_0_otherwise(
    finished: tuple[Path, str, str], tmp_path: Path
) -> None:
    folder, _, _ = finished
    gate = tmp_path / "gate.toml"
    gate.write_text("max_bytes = 10\nmax_ece = 100.0\n")
    code, out, err = run(f"check {folder} --gate {gate} --junit {tmp_path / 'gate.xml'}")
    assert code == 3
    assert "max_bytes" in err
    assert "max_ece" not in err
    assert out.count("\n") == 2
    assert 'failures="1"' in (tmp_path / "gate.xml").read_text()
    gate.write_text("max_bytes = 1000000\n")
    code, out, _ = run(f"check {folder} --gate {gate} --json")
    assert (code, json.loads(out)[0]["passed"]) == (0, True)


def test_store_commands_list_verify_and_find_damage(finished: tuple[Path, str, str], tmp_path: Path) -> None:
    folder = finished[0] / "store"
    assert json.loads(run(f"store ls {finished[0]} --json")[1])[0]["folder"] == str(folder)
    assert run(f"store verify {folder}")[0] == 0
    assert run(f"store why {folder} {folder} --json")[1].strip() == "[]"
    copy = tmp_path / "store"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    shard = max(copy.glob("*.npy"), key=lambda file: file.stat().st_size)
    with shard.open("r+b") as bits:
        bits.seek(-1, os.SEEK_END)
        last = bits.read(1)[0]
        bits.seek(-1, os.SEEK_END)
        bits.write(bytes([last ^ 1]))
    code, _, err = run(f"store verify {copy}")
    assert code == 5
    assert shard.name in err
    assert run(f"store repair {copy}")[0] == 0
    assert run(f"store verify {copy}")[0] == 0


def test_methods_lists_every_method_and_prints_a_card() -> None:
    listed = json.loads(run("methods --json")[1])
    assert [card["name"] for card in listed] == methods.names()
    hinton = next(card for card in listed if card["name"] == "hinton")
    assert (hinton["needs"], hinton["defaults"]["temperature"]) == (["logits"], 4.0)
    _, card, _ = run("methods hinton")
    assert "Formula:" in card
    assert "1503.02531" in card
    lines = run("methods")[1].splitlines()
    assert [line.split()[0] for line in lines] == methods.names()


def test_the_help_groups_the_commands_by_what_one_wants_to_do() -> None:
    out = run("--help")[1]
    places = [
        out.index(f"─ {title} ─") for title in ("Run", "Look at a run", "Ship the student", "Stores and reference")
    ]
    assert places == sorted(places)
    for group, command in zip(places, ("distill", "evaluate", "export", "store"), strict=True):
        assert group < out.index(f"│ {command} ")
    assert "│ embed" not in out


def test_layers_lists_paths_that_methods_can_name() -> None:
    listed = json.loads(run("layers cnn_tiny cnn_large --shape 1 28 28 --json")[1])
    shapes = {layer["path"]: layer["shape"] for layer in listed["layers"]["cnn_tiny"]}
    assert shapes["blocks.0"] == [8, 14, 14]
    assert listed["pairs"]
    assert "blocks.0" in run("layers cnn_tiny --shape 1 28 28")[1]
