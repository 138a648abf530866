"""Runs with a service whose question is the user's, and services that answer in their own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillhouse.cli import main
from tests.pipeline.test_teachers_of_all_kinds import service_recipe, texts_of, write_texts
from tests.teachers.misbehaving_server import Act, Server, answer

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.enable_socket]
PROMPT = "Ist der Text gut oder schlecht? {ids}\n{labels}\nBeispiele:\n{examples}\nDer Text:\n{text}\n"


def by_name(rows: list[tuple[str, str]]) -> dict[str, list[Act]]:
    """What a server that ignores the schema answers to each text: the name of the class, in a sentence."""
    return {text: [answer(f"Label: {label.upper()}.")] for text, label in rows}


def test_prompt_descriptions_and_examples_of_the_recipe_are_asked_and_another_prompt_asks_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    (tmp_path / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    own: dict[str, Any] = {
        "prompt": "prompt.txt",
        "descriptions": {"bad": "man mag ihn nicht"},
        "examples": {"good": ["herrlich"], "bad": ["grässlich"]},
    }
    with Server(plan=by_name(rows)) as server:
        recipe = service_recipe(tmp_path, server.url, samples=1, **own)
        assert main(["label", str(recipe)]) == 0
        assert main(["label", str(recipe)]) == 0
        assert server.asked == {text: 1 for text, _ in rows}
        shown = server.bodies[0]["messages"][0]["content"].splitlines()
        assert shown[0] == "Ist der Text gut oder schlecht? A, B"
        assert 'A: "bad" (man mag ihn nicht)' in shown
        assert {'"herrlich" -> B', '"grässlich" -> A'} <= set(shown)
        (tmp_path / "prompt.txt").write_text(PROMPT + "Kurz!", encoding="utf-8")
        capsys.readouterr()
        assert main(["label", str(recipe)]) == 2
        assert "prompt" in capsys.readouterr().err
        assert main(["label", str(recipe), "--output.dir", str(tmp_path / "again")]) == 0
    assert server.asked == {text: 2 for text, _ in rows}


@pytest.mark.parametrize(
    ("over", "match"),
    [
        ({"descriptions": {"badd": "x"}}, "'badd'"),
        ({"examples": {"fine": ["x"]}}, "'fine'"),
        ({"prompt": "nowhere.txt"}, "nowhere.txt"),
        ({"prompt": "texts.csv"}, "no place {labels}"),
    ],
)
def test_a_wrong_question_is_refused_before_anything_is_asked_or_written(
    tmp_path: Path, over: dict[str, Any], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts(tmp_path, texts_of(60))
    with Server() as server:
        assert main(["distill", str(service_recipe(tmp_path, server.url, **over))]) == 2
    assert match in capsys.readouterr().err
    assert not server.bodies
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_service_that_names_no_class_stops_resumably_after_twenty_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    with Server(answer("As a language model\x1b[2J I think")) as server:
        recipe = service_recipe(tmp_path, server.url, concurrency=2, samples=1)
        assert main(["label", str(recipe)]) == 75
        said = capsys.readouterr().err
        assert "As a language model" in said
        assert "\x1b[2J" not in said
        assert sum(server.asked.values()) in (20, 21)
        server.plan = by_name(rows)
        assert main(["label", str(recipe)]) == 0
    assert min(server.asked.values()) >= 1
    assert "0 of 60 rows left out" in capsys.readouterr().err
