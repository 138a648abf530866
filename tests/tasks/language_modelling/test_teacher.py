"""Causal teachers and what is learned of them: windows, precision, families of vocabularies, and the store's key."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.data import Views
from stillhouse.engine import Step
from stillhouse.engine.group import ALONE
from stillhouse.engine.signals import StopRequest
from stillhouse.engine.slices import ALL, Sliced
from stillhouse.errors import RejectedError, UsageError
from stillhouse.functional.kept_classes import kept_listed, kept_logits, spread
from stillhouse.methods.forward_kl import ForwardKL
from stillhouse.store import Store
from stillhouse.task import OutputSpec
from stillhouse.tasks import get
from stillhouse.tasks.language_modelling.records import SUMS, stream
from stillhouse.teachers import StoredTeacher, label
from stillhouse.teachers.causal.loading import load_causal, open_causal, refuse_foreign
from stillhouse.teachers.causal.teacher import CausalTeacher, Tokens, check_half
from stillhouse.types import Batch, Outputs
from stillhouse.windows import CausalWindows
from tests.tasks.language_modelling.conftest import table
from tests.tasks.language_modelling.models import save_causal, tokenizer, write_chat, write_corpus

T = 12
TASK = get("language_modelling")


def windows(*documents: list[int]) -> Tensor:
    """A window of T positions with some documents side by side."""
    ids, numbers = torch.zeros(T, dtype=torch.int64), torch.zeros(T, dtype=torch.int64)
    begin = 0
    for number, document in enumerate(documents, 1):
        ids[begin : begin + len(document)] = torch.tensor(document)
        numbers[begin : begin + len(document)] = number
        begin += len(document)
    return torch.stack([ids, numbers])[None]


@pytest.fixture(scope="module")
def net(teacher: Path) -> Tokens:
    """The small teacher."""
    files = open_causal(str(teacher), None)
    return Tokens(load_causal(files), files.vocabulary.size)


def asked(net: Tokens, **more: Any) -> CausalTeacher:
    return CausalTeacher(net, TASK, OutputSpec((T, net.classes)), "a", device=None, **more)


def batch(inputs: Tensor, targets: Tensor | None = None) -> Batch:
    rows = torch.arange(len(inputs))
    found = torch.full((len(inputs), inputs.shape[-1]), -1) if targets is None else targets
    return Batch(inputs, found, rows, torch.zeros_like(rows), found >= 0)


@torch.no_grad()
def test_padding_changes_nothing(net: Tokens) -> None:
    document = [0, 7, 8, 9, 10]
    padded = net(windows(document))[0, : len(document)]
    alone = net(torch.stack([torch.tensor(document), torch.ones(5, dtype=torch.int64)])[None])[0]
    assert torch.allclose(padded, alone, atol=1e-5)
    other = windows(document)
    other[0, 0, len(document) :] = 99  # what stands in the padding is not read
    assert torch.equal(net(other)[0, : len(document)], padded)


@torch.no_grad()
def test_packed_documents_blind_to_each_other(net: Tokens) -> None:
    first, second = [0, 5, 6, 7], [0, 20, 21, 22, 23]
    together = net(windows(first, second))[0, 4:9]
    assert torch.allclose(together, net(windows(second))[0, :5], atol=1e-5)
    assert torch.equal(together, net(windows([0, 50, 60, 70], second))[0, 4:9])


class Table(nn.Module):
    """A student with a row of logits for each token."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(classes, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.rows(inputs[:, 0])
        return found


def lesson(rows: int = 4, classes: int = 30) -> tuple[Batch, Outputs]:
    """Windows of unequal lengths and a teacher's answers to them."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.stack([torch.randint(0, classes, (rows, T), generator=draw), torch.ones(rows, T).long()], 1)
    targets = torch.randint(0, classes, (rows, T), generator=draw)
    for row, length in enumerate((1, 11, 3, 6)):
        targets[row, length:] = -1
    return batch(inputs, targets), Outputs(torch.randn(rows, T, classes, generator=draw))


@pytest.mark.parametrize("slices", [2, 4])
def test_accumulation_equals_one_batch(slices: int) -> None:
    whole, answers = lesson()
    student = Table(30)
    step = Step(student, [("forward_kl", ForwardKL(), 1.0)], loss=TASK.loss, label_weight=0.5)
    torch.autograd.backward([torch.stack(list(step(whole, answers).values())).sum()])
    parameters = list(student.parameters())
    wanted = [p.grad.clone() for p in parameters if p.grad is not None]
    cut = Sliced(step, parameters, ALONE, slices, 0, torch.enable_grad)
    with StopRequest() as stop:
        taken = cut.measure(
            0, whole, lambda b: Outputs(answers.values[b.rows]), torch.tensor(1.0), apart=False, call=None, stop=stop
        )
    for found, right in zip(taken.each[ALL], wanted, strict=True):
        assert found is not None
        assert torch.allclose(found, right, atol=1e-7)


def test_empty_mask() -> None:
    whole, answers = lesson()
    nothing = whole._replace(targets=torch.full_like(whole.targets, -1), mask=torch.zeros(4, T, dtype=torch.bool))
    student = Table(30)
    step = Step(student, [("forward_kl", ForwardKL(), 1.0)], loss=TASK.loss, label_weight=0.5)
    total = torch.stack(list(step(nothing, answers).values())).sum()
    torch.autograd.backward([total])
    assert total.item() == 0
    assert student.rows.weight.grad is not None
    assert not student.rows.weight.grad.any()


def labelled(folder: Path, teacher: CausalTeacher, inputs: Tensor, **key: str) -> Store:
    temperature = float(key.pop("softened", "1"))
    return label(
        teacher, inputs, Views("none", 1, 0.0, 0), folder, task=TASK, key=key, dtype="float16", block_rows=4,
        codec="topk:16", temperature=temperature,
    )  # fmt: skip


def test_live_equals_stored(net: Tokens, tmp_path: Path) -> None:
    inputs = torch.cat([windows([0, 7, 8, 9], [0, 4, 5]), windows([0, *range(20, 30)])])
    whole = batch(inputs, torch.where(inputs[:, 1] > 0, 3, -1))
    stored = StoredTeacher(labelled(tmp_path / "s", asked(net), inputs)).outputs(whole)
    live = asked(net).listed(whole, 16)
    student = Table(net.classes)
    terms = [ForwardKL()(Outputs(student(inputs)), answers, whole)["forward_kl"] for answers in (live, stored)]
    gradients = [torch.autograd.grad(term, student.rows.weight, retain_graph=True)[0] for term in terms]
    assert torch.allclose(terms[0], terms[1], rtol=1e-3)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-3 * float(gradients[0].abs().max()))


@pytest.mark.parametrize("changed", [{"template": "another"}, {"softened": "2"}])
def test_store_refuses_other_template_or_temperature(net: Tokens, tmp_path: Path, changed: dict[str, str]) -> None:
    inputs = windows([0, 7, 8, 9])
    first = {"template": "one", "softened": "1"}
    labelled(tmp_path / "s", asked(net), inputs, **first)
    with pytest.raises(RejectedError, match="temperature" if "softened" in changed else "template"):
        labelled(tmp_path / "s", asked(net), inputs, **(first | changed))


def test_bf16_teacher_within_bound(net: Tokens) -> None:
    inputs = windows([0, *range(20, 30)])
    assert 0 < check_half(net, asked(net, half=True), inputs) < 0.01
    sharp = Tokens(net.model, net.classes)
    scaled: Any = lambda x: 300 * net(x)  # noqa: E731 - stands for a model that half precision changes
    with pytest.raises(RejectedError, match="float32"):
        check_half(scaled, asked(sharp, half=True), inputs)
    padded = inputs[:, 1] == 0
    assert padded.any()
    noise = torch.randn(net(inputs).shape) * padded.unsqueeze(-1)  # what is said behind the text is no prediction
    assert check_half(lambda x: net(x) + noise, asked(net, half=True), inputs) < 0.01


def test_padded_vocabulary_same_family(teacher: Path, tmp_path: Path) -> None:
    padded = save_causal(tmp_path / "padded", padded=20)
    ours, theirs = (open_causal(str(folder), None) for folder in (teacher, padded))
    assert ours.vocabulary.size == theirs.vocabulary.size == tokenizer().get_vocab_size()
    refuse_foreign(ours.vocabulary, theirs.vocabulary, "The student")
    net = Tokens(load_causal(theirs), theirs.vocabulary.size)
    assert net(windows([0, 5, 6])).shape == (1, T, ours.vocabulary.size)


def test_foreign_tokenizer_refused(teacher: Path, tmp_path: Path) -> None:
    other = save_causal(tmp_path / "other", words=tokenizer(seed=9))
    with pytest.raises(RejectedError, match="another tokenizer"):
        refuse_foreign(
            open_causal(str(teacher), None).vocabulary, open_causal(str(other), None).vocabulary, "The student"
        )


def test_eos_mismatch_refused(teacher: Path, tmp_path: Path) -> None:
    other = save_causal(tmp_path / "other", end="<s>")
    with pytest.raises(RejectedError, match="end token"):
        refuse_foreign(
            open_causal(str(teacher), None).vocabulary, open_causal(str(other), None).vocabulary, "The student"
        )


def test_mass_of_dropped_tokens_goes_to_the_tail_and_to_the_class_of_the_rest() -> None:
    logits = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    kept = torch.tensor([0, 3, 1, 3, 2, 3])  # tokens 1, 3 and 5 are dropped
    whole = kept_logits(logits, kept).exp()
    p = logits.softmax(-1)
    assert torch.allclose(whole, torch.stack([p[:, 0], p[:, 2], p[:, 4], p[:, 1] + p[:, 3] + p[:, 5]], 1), atol=1e-6)
    values, indices = p.topk(4)
    found, inside, tail = kept_listed(indices, values.log(), (1 - values.sum(-1)).log(), kept)
    assert torch.allclose(inside.exp().sum(-1) + tail.exp(), torch.ones(5), atol=1e-5)
    assert ((found == -1) == torch.isin(indices, torch.tensor([1, 3, 5]))).all()
    assert torch.allclose(spread(whole.log(), kept).exp().sum(-1), torch.ones(5), atol=1e-5)


def test_records_are_sums_over_documents_by_their_definitions() -> None:
    draw = torch.Generator().manual_seed(1)
    logits = {"teacher": torch.randn(1, T, 30, generator=draw), "student": torch.randn(1, T, 30, generator=draw)}
    targets = torch.randint(0, 30, (1, T), generator=draw)
    targets[0, -2:] = -1
    owners = np.array([[4] * 5 + [7] * 5 + [-1] * 2], np.int32)
    rows = SimpleNamespace(inputs=windows([0] * 5, [0] * 5), targets=targets)
    data: Any = SimpleNamespace(
        encoder=SimpleNamespace(bytes=np.arange(30)),
        split=SimpleNamespace(test=np.array([3])),
        source=SimpleNamespace(kept={"owner": np.repeat(owners, 4, 0)}),
        test=rows,
    )
    nets = {name: (lambda inputs, own=own: own) for name, own in logits.items()}
    found = stream(nets, data, "test", None, lambda rows: None)
    record = found.records["student"]
    p, q = (logits[name][0, 5:10].double().softmax(-1) for name in nets)
    y = targets[0, 5:10]
    wanted = {
        "tokens": 5.0,
        "bytes": float(y.sum()),
        "nll": float(-q.gather(1, y[:, None]).log().sum()),
        "kl": float((p * (p / q).log()).sum()),
        "reverse_kl": float((q * (q / p).log()).sum()),
        "accepted": float(5 - (p - q).abs().sum() / 2),
        "agreed": float((p.argmax(1) == q.argmax(1)).sum()),
    }
    assert list(record["tokens"]) == [5.0, 5.0]
    assert {name: pytest.approx(value, rel=1e-4) for name, value in wanted.items()} == {
        name: record[name][1] for name in wanted
    }
    assert all(len(record[name]) == 2 for name in SUMS)
    assert found.rows.tolist() == [3, 3]


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "context": ({"context": 100}, UsageError, "reads 64 tokens at most"),
    "no text": ({"corpus": None}, UsageError, "corpus"),
    "too many rows": ({"rows": 10_000}, UsageError, "training windows"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_recipe_that_cannot_be_is_refused_before_the_teacher_is_asked(
    name: str, teacher: Path, tmp_path: Path
) -> None:
    changes, kind, says = BAD[name]
    corpus = str(write_corpus(tmp_path / "c.jsonl"))
    data = {key: value for key, value in ({"corpus": corpus} | changes).items() if value is not None}
    with pytest.raises(kind, match=says):
        sh.distill(table(teacher, tmp_path / "run", **data))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_on_dialogues_judges_the_assistants_words(teacher: Path, tmp_path: Path) -> None:
    talks = write_chat(tmp_path / "talks.jsonl")
    run = sh.distill(table(teacher, tmp_path / "run", chat=str(talks), context=48), accept_teacher=True)
    scores = json.loads((run.folder / "scores.json").read_text(encoding="utf-8"))
    assert scores["documents"] == 2
    assert scores["tokens"] < 48 * 2


@pytest.mark.slow
def test_a_student_cut_out_of_its_teacher_is_saved_and_loaded(teacher: Path, tmp_path: Path) -> None:
    recipe = table(teacher, tmp_path / "run", corpus=str(write_corpus(tmp_path / "c.jsonl")))
    recipe["student"] = {"derive": {"layers": 1, "vocabulary": 120}}
    run = sh.distill(recipe, accept_teacher=True)
    student = sh.load(run.folder)
    assert isinstance(student.net, CausalWindows)
    log_probs = student.log_probs(student.encoder.encode(["the cat sat"]))
    assert log_probs.shape == (1, 16, tokenizer().get_vocab_size())
    assert torch.allclose(log_probs.exp().sum(-1), torch.ones(1, 16), atol=1e-4)
