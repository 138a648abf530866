"""One contract for all nets of the zoo: what every one promises, whatever it reads."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable, export

CLASSES, VOCABULARY = 5, 50
MANY = 60  # numbers from which a standard deviation is known to a third
NETS = sorted(students.NETS)
IMAGES = ("cnn", "resnet", "vit")


def reads(name: str) -> str:
    if "vocabulary" in students.defaults(name):
        return "text"
    return "image" if name.startswith(IMAGES) else "table"


SHAPES = {"text": (12,), "image": (2, 9, 11), "table": (7,)}


def make(name: str, **settings: Any) -> nn.Module:
    given = {"vocabulary": VOCABULARY} if reads(name) == "text" else {}
    return students.make(name, shape=SHAPES[reads(name)], outputs=CLASSES, settings={**given, **settings})


def rows(name: str, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *SHAPES[reads(name)])
    if reads(name) != "text":
        return torch.randn(shape, generator=generator)
    ids = torch.randint(1, VOCABULARY, shape, generator=generator)
    ids[1:3, 5:] = 0
    return ids


@pytest.mark.parametrize("name", NETS)
def test_a_step_lowers_the_loss(name: str) -> None:
    torch.manual_seed(0)
    net = make(name)
    inputs, targets = rows(name, 16), torch.arange(16) % CLASSES
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    torch.manual_seed(1)  # the same dropout before and after
    before = F.cross_entropy(net(inputs), targets)
    torch.autograd.backward(before)
    optimiser.step()
    torch.manual_seed(1)
    assert F.cross_entropy(net(inputs), targets) < before


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    net = make(name)
    net(rows(name, 8)).square().sum().backward()
    silent = [path for path, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


@pytest.mark.parametrize("name", NETS)
def test_one_row_in_training_mode_gives_finite_logits(name: str) -> None:
    logits = make(name).train()(rows(name, 1))
    assert logits.shape == (1, CLASSES)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NETS)
def test_bfloat16_agrees_with_float32_within_its_rounding(name: str) -> None:
    net, inputs = make(name).eval(), rows(name, 4)
    exact = net(inputs)
    half = net.bfloat16()(inputs.bfloat16() if inputs.is_floating_point() else inputs)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", NETS)
def test_a_row_is_answered_alike_in_any_company(name: str) -> None:
    net, inputs = make(name).eval(), rows(name, 7)
    alone = torch.cat([net(row[None]) for row in inputs])
    torch.testing.assert_close(net(inputs), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_the_global_seed_decides_the_weights(name: str) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in make(name).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("name", NETS)
def test_drawing_weights_anew_leaves_none_of_the_old_and_keeps_their_size(name: str) -> None:
    torch.manual_seed(0)
    net = make(name)
    before = {path: p.detach().clone() for path, p in net.named_parameters()}
    for module in net.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    for path, p in net.named_parameters():
        if p.numel() > 1 and before[path].std() > 0:  # norms and their like begin with one value
            assert not torch.equal(before[path], p), path
        if p.numel() >= MANY and before[path].std() > 0:
            assert p.std().item() == pytest.approx(before[path].std().item(), rel=0.3), path


@pytest.mark.parametrize("name", NETS)
def test_weights_survive_a_safetensors_file(name: str) -> None:
    torch.manual_seed(0)
    net = make(name)
    net(rows(name, 8))  # moves the running statistics
    torch.manual_seed(1)
    copy = make(name)
    copy.load_state_dict(safetensors.torch.load(safetensors.torch.save(net.state_dict())))
    inputs = rows(name, 4, seed=1)
    assert torch.equal(net.eval()(inputs), copy.eval()(inputs))


@pytest.mark.parametrize("name", NETS)
def test_defaults_written_out_give_the_same_net(name: str) -> None:
    assert str(make(name, **{k: v for k, v in students.defaults(name).items() if k != "vocabulary"})) == str(make(name))


@pytest.mark.parametrize("name", NETS)
def test_the_last_linear_is_the_head(name: str) -> None:
    linear = [path for path, module in make(name).named_modules() if isinstance(module, nn.Linear)]
    assert linear[-1] == "head"


@pytest.mark.parametrize("name", NETS)
def test_every_size_of_nonsense_is_refused_with_its_name(name: str) -> None:
    for key, default in students.defaults(name).items():
        wrong = {int: 0, float: 1.0, str: "sideways"}.get(type(default), [-1])
        with pytest.raises(UsageError, match=f"{key} = "):
            make(name, **{key: wrong})


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_onnx_file_answers_as_torch_at_any_batch(name: str, tmp_path: Path) -> None:
    import onnxruntime

    net, inputs = make(name).eval(), rows(name, 5)
    with torch.no_grad():
        shipped = Exportable(net, inputs[:3], net, inputs[:3], {"answer": lambda answer: answer.softmax(-1)})
        export(shipped, tmp_path / "net.onnx", format="onnx", metadata={})
        session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
        for batch in (1, 2, 5):
            (answer,) = session.run(["answer"], {"inputs": inputs[:batch].numpy()})
            torch.testing.assert_close(torch.from_numpy(answer), net(inputs[:batch]), rtol=1e-4, atol=1e-4)
