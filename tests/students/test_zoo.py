"""The zoo's promises: sizes, shapes, settings, seeds, and errors that help."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.types import count_parameters


def make(name: str, shape: tuple[int, ...] = (1, 28, 28), outputs: int = 10, **given_settings: Any) -> torch.nn.Module:
    return students.make(name, shape=shape, outputs=outputs, settings=given_settings)


def test_cnn_tiny_has_at_most_5000_parameters() -> None:
    assert count_parameters(make("cnn_tiny")) <= 5_000


def test_cnn_large_has_between_380000_and_500000_parameters() -> None:
    assert 380_000 <= count_parameters(make("cnn_large")) <= 500_000


def test_mlp_parameters_are_those_of_its_matrices() -> None:
    net = make("mlp_tiny", (16,), 26, hidden=[32, 8])
    assert count_parameters(net) == (16 * 32 + 32) + (32 * 8 + 8) + (8 * 26 + 26)


@pytest.mark.parametrize("name", ["cnn_tiny", "cnn_large", "resnet_tiny", "resnet_small", "vit_tiny"])
@given(channels=st.integers(1, 5), height=st.integers(8, 40), width=st.integers(8, 40), outputs=st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_nets_of_images_read_every_image_from_8x8_up(
    name: str, channels: int, height: int, width: int, outputs: int
) -> None:
    net = make(name, (channels, height, width), outputs)
    output = net(torch.randn(1, channels, height, width))  # one row in training mode: batch normalisation must not fail
    assert output.shape == (1, outputs)
    assert torch.isfinite(output).all()


@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), outputs=st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_nets_of_tables_read_any_shape(shape: list[int], outputs: int) -> None:
    for name in ("mlp_tiny", "mlp_large", "linear", "soft_tree"):
        assert make(name, tuple(shape), outputs)(torch.randn(3, *shape)).shape == (3, outputs)


@pytest.mark.parametrize("name", ["cnn_tiny", "resnet_tiny", "vit_tiny", "mlp_tiny", "soft_tree"])
def test_the_blocks_and_the_head_have_paths(name: str) -> None:
    assert {"blocks.0", "head"} <= {path for path, _ in make(name).named_modules()}


def test_an_unknown_net_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'cnn_tiny'"):
        make("cnn_tinny")


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'hidden'"):
        make("mlp_tiny", hiden=[3])


@pytest.mark.parametrize("name", ["cnn_tiny", "resnet_small", "vit_tiny"])
@pytest.mark.parametrize("shape", [(16,), (1, 7, 28), (28, 28)])
def test_a_net_of_images_given_something_else_names_the_nets_that_read_it(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="mlp_tiny"):
        make(name, shape)


@pytest.mark.parametrize("hidden", [[], [0], [-1], "32", [1.5], [True], 32])
def test_sizes_that_are_no_sizes_are_refused(hidden: Any) -> None:
    with pytest.raises(UsageError, match="hidden"):
        make("mlp_tiny", hidden=hidden)


def test_dropout_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match="dropout"):
        make("mlp_large", dropout=1.0)


def test_no_output_is_refused() -> None:
    with pytest.raises(UsageError, match="1 output"):
        make("mlp_tiny", outputs=0)
