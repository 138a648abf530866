"""What a teacher answered is decided once: kinds of answers, names of columns, precisions, names of other types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stillhouse.errors import RejectedError
from stillhouse.tasks.classification import teachers as classification
from stillhouse.tasks.classification.class_order import class_order
from stillhouse.tasks.multilabel import teachers as multilabel
from stillhouse.tasks.regression import teachers as regression
from stillhouse.teachers import ModuleTeacher
from stillhouse.teachers.fitted.objects import from_object
from stillhouse.types import Batch
from tests.teachers.asking import no_decoding, rows_of
from tests.teachers.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, named

LOGITS = np.random.default_rng(0).normal(0, 2, (40, 3))
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
PETS = ("cat", "dog", "emu")
ROWS = np.arange(40)


def shares_of(answer: Any, names: tuple[str, ...] = PETS, **settings: Any) -> np.ndarray:
    """The probabilities that are read in a function's answer to 40 rows."""
    teacher = from_object(lambda rows: answer, CLASSIFICATION, named(names), decode=no_decoding, **settings)
    return teacher.outputs(rows_of(ROWS)).logits.double().softmax(-1).numpy()


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "array": lambda table: table,
    "list": lambda table: table.tolist(),
    "frame": lambda table: pd.DataFrame(table, columns=pd.Index(PETS)),
    "frame in another order": lambda table: pd.DataFrame(table, columns=pd.Index(PETS))[["emu", "cat", "dog"]],
    "mapping": lambda table: dict(zip(PETS[::-1], table.T[::-1], strict=True)),
    "mapping of tensors": lambda table: {name: torch.from_numpy(table[:, PETS.index(name)]) for name in PETS[::-1]},
    "mapping for each row": lambda table: [dict(zip(PETS[::-1], row[::-1], strict=True)) for row in table],
    "labels and scores": lambda table: [
        [{"label": PETS[i], "score": float(row[i])} for i in np.argsort(-row)] for row in table
    ],
}
KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "probabilities": lambda shares: shares,
    "log_probabilities": np.log,
    "logits": lambda shares: np.log(shares) + 1.5,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_every_kind_of_answer_gives_the_same_probabilities(form: str, kind: str) -> None:
    np.testing.assert_allclose(shares_of(FORMS[form](KINDS[kind](SHARES))), SHARES, atol=2e-6)


@pytest.mark.parametrize("digits", [2, 3])
def test_probabilities_rounded_to_a_few_decimals_are_probabilities(digits: int) -> None:
    rng = np.random.default_rng(1)
    for classes in (2, 3, 10, 40):
        whole = rng.dirichlet(np.full(classes, 0.3), 40)
        rounded = np.round(whole, digits)
        assert np.abs(rounded.sum(1) - 1).max() > 0 or classes == 2
        found = shares_of(rounded, tuple(map(str, range(classes))))
        truth = np.maximum(rounded, 1e-6)
        np.testing.assert_allclose(found, truth / truth.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_read_as_what_it_is(dtype: torch.dtype, kind: str) -> None:
    answer = torch.from_numpy(KINDS[kind](SHARES)).to(dtype)
    near = 5e-6 if dtype in (torch.float64, torch.float32) else 0.03
    np.testing.assert_allclose(shares_of(answer), SHARES, atol=near)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("head", [nn.Identity(), nn.Softmax(1), nn.LogSoftmax(1)], ids=["logits", "softmax", "log"])
def test_nets_with_weights_of_any_precision_answer_as_themselves_in_float32(
    dtype: torch.dtype, head: nn.Module
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), head).to(dtype)
    x = torch.randn(40, 4)
    with torch.no_grad():
        truth = net[0].float()(x).softmax(1)
        net[0].to(dtype)
    teacher = ModuleTeacher(net, CLASSIFICATION, named(PETS), layers=["0"])
    found = teacher.outputs(batch(x))
    torch.testing.assert_close(found.logits.softmax(1), truth, atol=1e-5, rtol=0)
    assert net[0].weight.dtype == dtype  # the user's own net stays as it is
    assert found.features["0"].dtype == torch.float32


def batch(x: torch.Tensor) -> Batch:
    rows = torch.arange(len(x))
    return Batch(x, torch.full_like(rows, -1), rows, torch.zeros_like(rows))


class OneNumber(nn.Module):
    """A binary net of one number a row."""

    def __init__(self, head: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x[:, :1] * 3)


@pytest.mark.parametrize(
    "head",
    [
        lambda z: z,
        lambda z: z.flatten(),
        torch.sigmoid,
        lambda z: torch.sigmoid(z).flatten(),
        lambda z: torch.cat([torch.zeros_like(z), z], 1),
        lambda z: torch.cat([torch.sigmoid(-z), torch.sigmoid(z)], 1),
        lambda z: {"yes": torch.sigmoid(z).flatten(), "no": torch.sigmoid(-z).flatten()},
        lambda z: {"logits": z},
    ],
    ids=["logit", "flat logit", "share", "flat share", "two logits", "two shares", "by name", "in a mapping"],
)
def test_binary_nets_of_every_form_answer_alike(head: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    found = ModuleTeacher(OneNumber(head), CLASSIFICATION, named(("no", "yes"))).outputs(batch(x)).logits
    torch.testing.assert_close(found.softmax(1)[:, 1], torch.sigmoid(3 * x[:, 0]), atol=1e-5, rtol=0)


def test_one_named_column_is_the_class_of_its_name() -> None:
    share = SHARES[:, 0]
    for name, place in (("no", 0), ("yes", 1)):
        for answer in (pd.DataFrame({name: share}), {name: share}):
            np.testing.assert_allclose(shares_of(answer, ("no", "yes"))[:, place], share, atol=2e-6)


def test_the_decision_holds_for_later_rows_that_look_otherwise() -> None:
    """The first answers are logits; a later batch would pass for probabilities."""
    read = classification.read(named(PETS))
    read(LOGITS, ROWS)
    assert read.form["kind"] == "logits"  # type: ignore[attr-defined]
    alike = np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]])
    np.testing.assert_allclose(read(alike, ROWS[:2]).values.numpy(), alike, atol=1e-6)
    shares = classification.read(named(PETS))
    shares(SHARES, ROWS)
    with pytest.raises(RejectedError, match=r"not probabilities for 1 training row \(number 0\).*outputs = \"logits\""):
        shares(LOGITS[:1], ROWS[:1])


def test_what_was_decided_can_be_shown() -> None:
    read: Any = classification.read(named(PETS))
    read(torch.from_numpy(SHARES).half(), ROWS)
    assert read.form == {
        "kind": "probabilities", "decided": "by the first 40 answers", "columns": "in the order of the data",
        "dtype": "float16", "tolerance": 0.01,
    }  # fmt: skip


def test_what_was_stated_is_not_guessed() -> None:
    answer = np.random.default_rng(2).uniform(0, 1, (40, 3))
    with pytest.raises(RejectedError, match=r"do not add up to 1.*\[teacher\] outputs"):
        shares_of(answer)
    truth = np.exp(answer) / np.exp(answer).sum(1, keepdims=True)
    np.testing.assert_allclose(shares_of(answer, kind="logits"), truth, atol=1e-6)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (pd.DataFrame(SHARES, columns=pd.Index(["cat", "dog", "eel"])), "do not have: 'eel'"),
        ({"cat": SHARES[:, 0], "dog": SHARES[:, 1], "bird": SHARES[:, 2]}, "do not have: 'bird'"),
        ({"cat": SHARES[:, 0], "dog": SHARES[:20, 1], "emu": SHARES[:, 2]}, r"shapes \(40,\), \(20,\), \(40,\)"),
        ([{"Cat": 1.0}] * 40, "do not have: 'Cat'.*Did you mean 'cat'"),
        ([[0.1, 0.9]] * 39 + [[1.0]], "are no array"),
        (pd.DataFrame({"cat": ["x"] * 40, "dog": 0.5, "emu": 0.5}), "are not numbers"),
        (np.where(LOGITS > 2, np.nan, LOGITS), "not finite"),
        (np.where(LOGITS > 2, np.inf, LOGITS), "not finite"),
    ],
)
def test_names_that_do_not_match_and_broken_answers_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        shares_of(answer)


def test_a_class_that_a_net_rules_out_by_minus_infinity_gets_no_probability() -> None:
    masked = np.where(np.arange(3) == 2, -np.inf, LOGITS)
    found = shares_of(masked)
    assert found[:, 2].max() < 2e-6
    truth = np.exp(LOGITS[:, :2]) / np.exp(LOGITS[:, :2]).sum(1, keepdims=True)
    np.testing.assert_allclose(found[:, :2], truth, atol=2e-6)


SAME = [
    (["10", "20"], [10, 20], [10.0, 20.0], np.array([10, 20], np.int8), ["10.0", "20.0"], [b"10", b"20"]),
    (["False", "True"], [False, True], np.array([False, True]), ["false", "TRUE"], [0, 1], [0.0, 1.0]),
    (["-1", "1"], [-1, 1], [-1.0, 1.0], ["-1", "+1"]),
    (["0.5", "1.5"], [0.5, 1.5], ["0.50", "1.5"]),
    (["01", "1"], ["01", "1"]),
    (["94110", "10001"], [94110, 10001], [94110.0, 10001.0], np.array(["94110", "10001"])),
    (["no ", "yes"], ["no", "yes "]),
]


@pytest.mark.parametrize("group", SAME, ids=lambda group: str(group[0]))
@given(data=st.data())
def test_names_that_differ_in_type_meet_in_any_order(group: tuple[Any, ...], data: st.DataObject) -> None:
    mine, theirs = data.draw(st.sampled_from(group)), data.draw(st.sampled_from(group))
    order = data.draw(st.permutations(range(len(mine))))
    classes = [str(np.asarray(mine)[i]) if not isinstance(mine[0], bytes) else mine[i].decode() for i in (0, 1)]
    shuffled = [list(theirs)[place] for place in order]
    assert class_order(shuffled, classes).tolist() == list(order)


@pytest.mark.parametrize(
    ("given_names", "classes"),
    [([0, 2], ["1", "2", "3"]), (["a", "b"], ["A", "B"]), ([1.5], ["1"]), ([True, False], ["no", "yes"])],
)
def test_names_that_could_only_be_guessed_are_refused(given_names: list[Any], classes: list[str]) -> None:
    with pytest.raises(RejectedError, match="classes that the data do not have"):
        class_order(given_names, classes)


@given(st.permutations(["low", "mid", "high"]))
def test_named_columns_of_other_tasks_are_put_into_order_too(order: list[str]) -> None:
    spec = named(("low", "mid", "high"))
    table = pd.DataFrame(SHARES, columns=pd.Index(spec.names))
    for answer in (table[order], {name: table[name] for name in order}, table[order].to_dict("records")):
        found = regression.read(spec)(answer, ROWS).values
        np.testing.assert_allclose(found.numpy(), SHARES, atol=1e-6)
        odds = multilabel.read(spec)(answer, ROWS).values
        np.testing.assert_allclose(odds.double().sigmoid().numpy(), SHARES, atol=1e-5)
    for task in (REGRESSION, MULTILABEL):
        teacher = from_object(lambda rows: table.rename(columns={"low": "lo"}), task, spec, decode=no_decoding)
        with pytest.raises(RejectedError, match="has the columns 'lo', 'mid', 'high'; the outputs are 'low'"):
            teacher.outputs(rows_of(ROWS))


def test_a_frame_with_numbered_columns_stays_in_order() -> None:
    np.testing.assert_allclose(shares_of(pd.DataFrame(SHARES)), SHARES, atol=2e-6)
    np.testing.assert_allclose(shares_of(pd.DataFrame(SHARES), ("3", "5", "7")), SHARES, atol=2e-6)
    spec = named(("a", "b", "c"))
    np.testing.assert_allclose(regression.read(spec)(pd.DataFrame(LOGITS), ROWS).values.numpy(), LOGITS, atol=1e-6)
