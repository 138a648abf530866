"""The shell: results go to standard output, and every end has its exit code."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score

from stillhouse import methods
from tests.shell import BUDGET, QUICK, process, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run on digits, with what its command wrote to standard output and standard error."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    code, out, err = run(f"distill {QUICK} --output.dir {folder}")
    assert code == 0, err
    return folder, out, err


# Exit codes


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("distil x.toml", 'Did you mean "distill"'),
        ("distil x.toml", " and others. See"),
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
        ("evaluate a.csv b.csv", "takes b.csv"),
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


@pytest.mark.fault("F29", "`--json` writes JSON alone to standard output", exit=0)
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
