"""What a store keeps of a teacher reaches the methods, and rows that still hold are not asked again."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillhouse.data import Views
from stillhouse.errors import RejectedError, UsageError
from stillhouse.methods import make
from stillhouse.store import Store, hash_rows, verify
from stillhouse.teachers import ModuleTeacher, StoredTeacher, label
from stillhouse.teachers.pace import SMALLEST, fastest_batch
from stillhouse.types import Batch, Outputs
from tests.teachers.tasks import CLASSIFICATION, wide

KEY = {"preprocessing": "none"}
ONE, TWO = Views("none", 1, 0.0, 0), Views("noise", 2, 0.2, 0)
CLASSES = 40


class Counted(ModuleTeacher):
    """A teacher that counts the rows it was asked about."""

    asked = 0

    def outputs(self, batch: Batch) -> Outputs:
        self.asked += len(batch.inputs)
        return super().outputs(batch)


def teacher() -> Counted:
    torch.manual_seed(0)
    return Counted(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, CLASSES)), CLASSIFICATION, wide(CLASSES))


def inputs(count: int = 50) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


def batch(rows: list[int], views: Views = TWO) -> Batch:
    chosen = torch.tensor(rows)
    view = chosen % views.count
    return Batch(views.apply(inputs()[chosen], chosen, view), torch.full_like(chosen, -1), chosen, view)


def fill(folder: Path, codec: str, *, temperature: float = 4.0, dtype: str = "float32") -> StoredTeacher:
    kept = {
        "key": KEY,
        "dtype": dtype,
        "block_rows": 8,
        "task": CLASSIFICATION,
        "codec": codec,
        "temperature": temperature,
    }
    return StoredTeacher(label(teacher(), inputs(), TWO, folder, **kept))


def student(count: int) -> Tensor:
    return torch.randn(count, CLASSES, generator=torch.Generator().manual_seed(2), requires_grad=True)


@pytest.mark.parametrize("name", ["hinton", "forward_kl"])
def test_a_top_k_store_gives_the_divergence_over_the_listed_classes_and_the_tail(name: str, tmp_path: Path) -> None:
    asked, method = batch([3, 10, 49]), make(name, temperature=4.0)
    told = fill(tmp_path, "topk:5").outputs(asked)
    logits = student(3)
    (ours,) = method(Outputs(logits), told, asked).values()
    p, q = ((z / 4).double().softmax(-1) for z in (teacher().outputs(asked).logits, logits))
    top = p.topk(5, -1).indices
    by_hand = []
    for side in (p, q):
        listed = side.gather(-1, top)
        by_hand.append(torch.cat([listed, 1 - listed.sum(-1, keepdim=True)], -1))
    expected = 16 * (by_hand[0] * (by_hand[0] / by_hand[1]).log()).sum(-1).mean()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_sampled_store_has_the_dense_gradient_on_average(tmp_path: Path) -> None:
    """Over all rows together the error of the mean gradient is far below its size."""
    asked, method = batch(list(range(50))), make("hinton", temperature=1.0)
    gradients = []
    for told in (fill(tmp_path, "sampled:8:64", temperature=1.0).outputs(asked), teacher().outputs(asked)):
        logits = student(50)
        (loss,) = method(Outputs(logits), told, asked).values()
        gradients.append(torch.autograd.grad(loss, logits)[0])
    assert (gradients[0] - gradients[1]).norm() < 0.1 * gradients[1].norm()


def test_an_answer_that_is_not_known_is_never_a_number(tmp_path: Path) -> None:
    told = fill(tmp_path, "topk:5").outputs(batch([0, 1]))
    assert told.logits.shape == (2, CLASSES)
    assert told.logits.isnan().all()


@pytest.mark.parametrize(("codec", "most"), [("dense", 1e-5), ("topk:39", 1e-5), ("topk:5", 0.05)])
def test_for_a_reader_the_teacher_is_whole_again_and_at_temperature_1(codec: str, most: float, tmp_path: Path) -> None:
    asked = batch([3, 10, 49])
    told = fill(tmp_path, codec).whole(asked).exp()
    true = teacher().outputs(asked).logits.double().softmax(-1)
    assert told.sum(-1).tolist() == pytest.approx([1.0] * 3)
    assert (told - true).abs().max() < most


def test_a_tail_is_not_softened_afterwards(tmp_path: Path) -> None:
    asked = batch([0, 1])
    told = fill(tmp_path, "topk:5", temperature=4.0).outputs(asked)
    with pytest.raises(UsageError, match="softened at temperature 4, this loss wants 2"):
        make("hinton", temperature=2.0)(Outputs(student(2)), told, asked)


@pytest.mark.parametrize(("codec", "most"), [("dense", 2e-3), ("topk:39", 2e-3), ("topk:40", 2e-3)])
def test_half_precision_of_every_codec_is_close_to_the_live_teacher(codec: str, most: float, tmp_path: Path) -> None:
    asked, method = batch([3, 10, 49]), make("hinton", temperature=4.0)
    told = fill(tmp_path, codec, dtype="float16").outputs(asked)
    losses = [next(iter(method(Outputs(student(3)), t, asked).values())) for t in (told, teacher().outputs(asked))]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=most)


def test_a_complete_store_is_opened_where_nothing_may_be_written(tmp_path: Path) -> None:
    fill(tmp_path / "store", "dense")
    writable = [tmp_path / "store", *(tmp_path / "store").iterdir()]
    modes = {path: path.stat().st_mode for path in writable}
    times = {path: path.stat().st_mtime_ns for path in writable}
    for path in writable:
        path.chmod(modes[path] & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        again = fill(tmp_path / "store", "dense")
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert again.store.complete
    assert {path: path.stat().st_mtime_ns for path in writable} == times


def keep(folder: Path, rows: Tensor, views: Views = ONE, *, library: bool = False) -> tuple[Store, int]:
    asker = teacher()
    hashes = hash_rows(rows.numpy())
    store = label(
        asker,
        rows,
        views,
        folder,
        task=CLASSIFICATION,
        key=KEY,
        dtype="float32",
        block_rows=8,
        row_hashes=hashes,
        library=library,
    )
    return store, asker.asked


def answers(store: Store) -> np.ndarray:
    rows = np.arange(store.rows)
    found: np.ndarray = store.read(rows, np.zeros_like(rows))["logits"]
    return found


@pytest.mark.parametrize("library", [False, True])
def test_changed_rows_alone_are_asked_again(library: bool, tmp_path: Path) -> None:
    _, first = keep(tmp_path / "s", inputs(), library=library)
    changed = inputs()
    changed[[4, 30]] += 1.0
    store, second = keep(tmp_path / "s", changed, library=library)
    probe = 6  # a sixteenth of the rows, twice: whether the teacher answers alike
    assert (first, second) == (50 + probe, 2 + probe)
    fresh, _ = keep(tmp_path / "fresh", changed)
    np.testing.assert_allclose(answers(store), answers(fresh), rtol=1e-6, atol=1e-6)
    assert verify(store.folder) == []


def test_runs_share_a_folder_of_stores_each_under_its_key(tmp_path: Path) -> None:
    one, _ = keep(tmp_path, inputs(), library=True)
    other, _ = keep(tmp_path, inputs(30), library=True)
    again, asked = keep(tmp_path, inputs(), library=True)
    assert one.folder == again.folder != other.folder
    assert asked == 0
    assert sorted(tmp_path.iterdir()) == sorted([one.folder, other.folder])


def test_half_precision_teachers_are_refused_where_they_move_the_gradient(tmp_path: Path) -> None:
    torch.manual_seed(0)
    kept = {"task": CLASSIFICATION, "key": KEY, "dtype": "float32", "block_rows": 8}
    mild = ModuleTeacher(nn.Linear(6, 3), CLASSIFICATION, wide(3), precision="bf16-mixed")
    store = label(mild, inputs(), ONE, tmp_path / "mild", **kept)
    assert store.key.parts["precision"] == "bf16-mixed"
    steep = nn.Linear(6, 3)
    with torch.no_grad():
        steep.weight.mul_(3000.0)
        steep.bias.copy_(torch.tensor([0.0, 1e4, 2e4]))
    with pytest.raises(RejectedError, match=r"move the students' gradient by .* teacher_precision"):
        label(
            ModuleTeacher(steep, CLASSIFICATION, wide(3), precision="bf16-mixed"),
            100 * inputs(),
            ONE,
            tmp_path / "steep",
            **kept,
        )


def test_the_batch_grows_only_while_the_answers_stay_the_same_bit_by_bit() -> None:
    """Whatever the clock says, a size that shows in the answers is not taken."""

    def size_shows(count: int) -> Tensor:
        return torch.full((count, 2), 1.0 if count <= 2 * SMALLEST else 2.0)

    assert fastest_batch(size_shows, 10_000) <= 2 * SMALLEST


@pytest.mark.parametrize(
    ("limit", "size"), [(0, 1), (5, 5), (SMALLEST, SMALLEST), (2 * SMALLEST - 1, 2 * SMALLEST - 1)]
)
def test_few_rows_are_asked_at_once(limit: int, size: int) -> None:
    def never(count: int) -> Tensor:
        raise AssertionError(count)

    assert fastest_batch(never, limit) == size
