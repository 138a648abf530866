"""Whole runs with teachers of every kind: services, fitted models, functions, files, several at once, hub models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from stillhouse.cli import main
from stillhouse.store import Store
from tests.teachers.misbehaving_server import Act, Server, answer, scored, status

CLASSES = ("bad", "good")
SURE = {"good": scored("B", {"A": -3.0, "B": -0.05}), "bad": scored("A", {"A": -0.05, "B": -3.0})}
WORDS = ("copper", "barley", "cask", "water", "yeast", "spirit", "still", "malt", "oak", "smoke")
QUICK: dict[str, Any] = {"steps": 40, "batch_size": 16, "seeds": [0, 1], "workers": 1}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def texts_of(count: int = 90) -> list[tuple[str, str]]:
    """Different texts with their class, which one word tells."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = CLASSES[number % 2]
        words = [*draw.choice(WORDS, 4), f"number{number}", "pleasant" if label == "good" else "awful"]
        rows.append((" ".join(draw.permutation(words)), label))
    return rows


def write_texts(folder: Path, rows: list[tuple[str, str]]) -> Path:
    lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
    (folder / "texts.csv").write_text("\n".join(lines) + "\n")
    return folder / "texts.csv"


def service_recipe(folder: Path, url: str, **endpoint: Any) -> Path:
    table = {
        "data": {"text": "texts.csv", "labels": 30, "valid": 0.2, "test": 0.25, "tokens": 12, "vocabulary": 200},
        "teacher": {"endpoint": {"url": url, "model": "m", "api_key_env": "", **endpoint}},
        "student": {"name": "static_embedding"},
        "training": QUICK,
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / "run")},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(table))
    return folder / "recipe.toml"


def plan_of(rows: list[tuple[str, str]], odd: dict[int, Act]) -> dict[str, list[Act]]:
    """What the server does for each text: the truth, but for a few."""
    return {text: [odd.get(number, SURE[label])] for number, (text, label) in enumerate(rows)}


@pytest.mark.enable_socket
def test_rows_that_a_service_does_not_answer_are_in_no_part_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    rows = texts_of()
    odd = {3: answer(None, refusal="I cannot judge this."), 40: answer("perhaps"), 77: status(400, "too long")}
    write_texts(tmp_path, rows)
    with Server(plan=plan_of(rows, odd)) as server:
        recipe = service_recipe(tmp_path, server.url, price_in=1.0, price_out=2.0, samples=2)
        assert main(["plan", str(recipe)]) == 0
        assert not server.bodies, "a plan asks nothing"
        assert main(["distill", str(recipe), "--accept-teacher"]) == 0
        paid = dict(server.asked)
        assert main(["distill", str(recipe), "--accept-teacher"]) == 0
        assert main(["evaluate", str(tmp_path / "run"), "--full"]) == 0
        assert dict(server.asked) == paid
    assert paid == {text: 1 for text, _ in rows}
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    told = record["service"]
    assert (told["refused"], told["malformed"], told["rejected"]) == (1, 1, 1)
    assert (told["texts"], told["scored"]) == (90, 87)
    assert sum(told["left_out"].values()) == 3
    assert told["cost"] == pytest.approx((told["tokens_in"] + 2 * told["tokens_out"]) / 1e6)
    with np.load(tmp_path / "run" / "split.npz") as split:
        kept = {int(row) for part in ("train", "valid", "test") for row in split[part]}
    assert kept == set(range(90)) - set(odd)
    assert Store.open(tmp_path / "run" / "store").rows == record["data"]["train"]
    costs = json.loads((tmp_path / "run" / "costs.json").read_text())
    assert costs["teacher"] == {"parameters": None}
    assert "paid" in json.loads((tmp_path / "run" / "full.json").read_text())["why"]


@pytest.mark.enable_socket
def test_a_ceiling_and_an_outage_stop_resumably_and_the_same_command_pays_only_for_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    with Server(plan=plan_of(rows, {})) as server:
        ceiling = service_recipe(tmp_path, server.url, max_calls=20)
        assert main(["label", str(ceiling)]) == 75
        assert "max_calls" in capsys.readouterr().err
        assert sum(server.asked.values()) == 20
        assert main(["label", str(ceiling)]) == 75
        assert sum(server.asked.values()) == 20
    with Server(plan=plan_of(rows, {30: status(401)})) as server:
        (tmp_path / "other").mkdir()
        write_texts(tmp_path / "other", rows)
        recipe = service_recipe(tmp_path / "other", server.url, concurrency=1)
        assert main(["label", str(recipe)]) == 4
        paid = sum(server.asked.values()) - server.asked[rows[30][0]]
        server.plan[rows[30][0]] = [SURE[rows[30][1]]]
        assert main(["label", str(recipe)]) == 0
        assert sum(server.asked.values()) == 61
        assert 0 < paid < 60
