"""What nets write for the report: where a test text is cut, and what is counted of its continuations."""

import json

import pytest
import torch

import stillhouse as sh
from stillhouse.data import Rows
from stillhouse.tasks.language_modelling.samples import PROMPTS, beginnings, repeated


def window(ids: list[int], documents: list[int]) -> torch.Tensor:
    """A window of two planes."""
    return torch.tensor([ids, documents])


def test_a_text_goes_on_after_half_of_a_short_window_and_a_dialogue_after_its_prompt() -> None:
    text = window([1, 5, 6, 7, 8, 9], [1, 1, 1, 1, 1, 2])
    dialogue = window([1, 5, 6, 7, 8, 9], [1, 1, 1, 1, 1, 1])
    targets = torch.tensor([[5, 6, 7, 8, 0, 4], [-1, -1, -1, 8, 9, 0]])
    (first, goes_on), (prompt, answer) = beginnings(Rows(torch.stack([text, dialogue]), targets), context=6)
    assert first.tolist() == [1, 5, 6]
    assert goes_on.tolist() == [7, 8, 0], "the end token is the last target"
    assert prompt.tolist() == [1, 5, 6, 7]
    assert answer.tolist() == [8, 9, 0]


def test_windows_of_padding_or_without_a_target_have_no_beginning() -> None:
    inputs = torch.stack([window([0, 0, 0, 0], [0, 0, 0, 0]), window([1, 2, 3, 4], [1, 1, 1, 1])])
    assert beginnings(Rows(inputs, torch.full((2, 4), -1)), context=4) == []


def test_a_piece_of_four_tokens_counts_as_repeated_from_its_second_time() -> None:
    assert repeated(torch.tensor([7] * 6)) == (2, 3)
    assert repeated(torch.tensor([1, 2, 3])) == (0, 0)


@pytest.mark.slow
def test_the_report_shows_what_teacher_and_students_write_beside_the_text_itself(run: sh.Run) -> None:
    found = json.loads((run.folder / "samples.json").read_text(encoding="utf-8"))
    assert list(found["nets"]) == ["text", "teacher", "text_only", "text_same_compute", "distilled", "untrained"]
    assert 0 < found["documents"] <= PROMPTS
    for facts in found["nets"].values():
        assert len(facts["texts"]) == len(found["prompts"])
        assert 0 <= facts["ended"] <= 1
        assert 0 <= facts["tokens"] <= found["new_tokens"]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "What they write" in page
    assert "the text itself" in page
