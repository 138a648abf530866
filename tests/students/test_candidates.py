"""The cheap rivals of a run: each can be fitted to the inputs that it is offered for, and has settings that exist."""

import itertools

import pytest
import torch

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.task import Link

SHAPES = {"table": (6,), "image": (1, 16, 16), "text": (12,)}
LINKS: tuple[Link, ...] = ("softmax", "sigmoid", "identity")


@pytest.mark.parametrize(("kind", "link"), list(itertools.product(SHAPES, LINKS)))
def test_every_candidate_fits_the_inputs_and_loads(kind: str, link: Link) -> None:
    shape, draw = SHAPES[kind], torch.Generator().manual_seed(0)
    text = kind == "text"
    x = torch.randint(1, 50, (60, *shape), generator=draw) if text else torch.randn(60, *shape, generator=draw)
    y = torch.rand(60, 3, generator=draw, dtype=torch.float64)
    y = y / y.sum(1, keepdim=True)
    found = students.simple_candidates(shape, text, link)
    assert found
    for name, settings in found:
        students.check_reads(name, shape, text)
        chosen = {**settings, "vocabulary": 50} if text else dict(settings)
        fitted = students.fit_soft(name, inputs=x, targets=y, weights=None, settings=chosen, seed=0, link=link)
        empty = students.make(name, shape=shape, outputs=3, settings=chosen)
        empty.load_state_dict(fitted.state_dict())
        outputs = empty.eval()(x)
        assert outputs.shape == (60, 3)
        assert torch.isfinite(outputs).all()


@pytest.mark.parametrize(("name", "kind"), [("decision_tree", "text"), ("tfidf_linear", "table"), ("logistic", "text")])
def test_a_student_that_reads_something_else_is_refused_and_a_named_one_reads_it(name: str, kind: str) -> None:
    shape, text = SHAPES[kind], kind == "text"
    with pytest.raises(UsageError, match=f"these rows are {kind}s") as refused:
        students.check_reads(name, shape, text)
    named = str(refused.value).rpartition(": ")[2].rstrip(".").replace("'", "").split(", ")
    for other in named:
        students.check_reads(other, shape, text)


def test_nets_that_are_trained_are_not_checked() -> None:
    students.check_reads("mlp_tiny", (12,), text=True)
