"""Nets of texts: padding changes nothing, an empty text has an answer, and each computes what its paper says."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor, nn

from stillhouse import students, taps
from stillhouse.errors import UsageError
from stillhouse.students.recurrent import Bidirectional
from stillhouse.students.text import HashedGrams
from stillhouse.students.transformer_block import Attention

VOCABULARY, LENGTH = 40, 16
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("bag_hashed", {}),
    ("bag_hashed", {"ngrams": 3}),
    ("bag_hashed", {"ngrams": 1}),
    ("static_embedding", {"hidden": [6]}),
    ("static_embedding", {"pooling": "attention"}),
    ("gru_tiny", {"layers": 2}),
    ("gru_tiny", {"pooling": "mean"}),
    ("transformer_tiny", {}),
    ("transformer_tiny", {"norm": "post"}),
    ("transformer_tiny", {"norm": "post", "pooling": "first"}),
]
each_variant = pytest.mark.parametrize(("name", "settings"), VARIANTS)


def make(name: str, settings: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    given_settings = {"vocabulary": VOCABULARY, **settings}
    net = students.make(name, shape=(LENGTH,), outputs=3, settings=given_settings)
    for p in net.parameters():  # every part speaks, the averaged vectors too, which begin small
        p.data.add_(torch.randn_like(p) * 0.1)
    for module in net.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight.data[module.padding_idx] = 0.0
    return net.eval()


def padded(ids: Tensor, length: int) -> Tensor:
    return nn.functional.pad(ids, (0, length - ids.shape[1]))


@each_variant
@given(ids=st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=LENGTH))
@examples(max_examples=6, deadline=None)
def test_padding_never_changes_the_logits(name: str, settings: dict[str, Any], ids: list[int]) -> None:
    net, row = make(name, settings), torch.tensor([ids])
    bare = net(row)
    for length in (len(ids) + 1, LENGTH):
        torch.testing.assert_close(net(padded(row, max(length, len(ids)))[:, :LENGTH]), bare, rtol=0, atol=1e-5)


@each_variant
def test_a_text_without_words_has_finite_logits_in_any_company(name: str, settings: dict[str, Any]) -> None:
    net = make(name, settings)
    ids = torch.randint(1, VOCABULARY, (3, LENGTH))
    ids[1] = 0
    logits = net(ids)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits[1:2], net(torch.zeros(1, 4, dtype=torch.int64)), rtol=0, atol=1e-5)
    net.train()(ids).square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@each_variant
def test_another_word_changes_the_logits(name: str, settings: dict[str, Any]) -> None:
    net = make(name, settings)
    one, other = torch.tensor([[3, 4, 5, 0]]), torch.tensor([[3, 4, 6, 0]])
    assert (net(one) - net(other)).abs().max() > 1e-4


def test_pooling_by_attention_starts_as_the_mean_and_weighs_tokens_by_their_scores() -> None:
    settings = {"vocabulary": VOCABULARY, "pooling": "attention"}
    net = students.make("static_embedding", shape=(LENGTH,), outputs=3, settings=settings)
    vectors, ids = net.get_submodule("embedding"), torch.tensor([[3, 4, 4, 0]])
    pooled = net.get_submodule("pool")(vectors(ids), ids)
    torch.testing.assert_close(pooled[0], vectors(ids)[0, :3].mean(0))
    net.get_parameter("pool.scores.weight").data[3] = np.log(6.0)
    weighted = (6 * vectors.weight[3] + 2 * vectors.weight[4]) / 8  # type: ignore[index]
    torch.testing.assert_close(net.get_submodule("pool")(vectors(ids), ids)[0], weighted)


@pytest.mark.parametrize(("name", "settings"), [("bag_hashed", {}), ("gru_tiny", {}), ("transformer_tiny", {})])
def test_the_order_of_words_counts(name: str, settings: dict[str, Any]) -> None:
    net = make(name, settings)
    assert (net(torch.tensor([[3, 4, 5]])) - net(torch.tensor([[5, 3, 4]]))).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["bag_hashed", "static_embedding", "gru_tiny", "transformer_tiny"])
def test_taps_find_the_embedding_of_the_text_before_the_head(name: str) -> None:
    net = make(name, {})
    pooled: list[Tensor] = []
    net.get_submodule("pool").register_forward_hook(lambda _module, _args, output: pooled.append(output))
    logits = net(torch.randint(1, VOCABULARY, (2, LENGTH)))
    assert pooled[0].dim() == 2
    torch.testing.assert_close(net.get_submodule("head")(pooled[0]), logits)
    assert "embedding" in dict(net.named_children())


@given(
    ids=st.lists(st.integers(0, 2**30 - 1), min_size=1, max_size=6),
    buckets=st.integers(2, 2**20),
    ngrams=st.integers(1, 3),
)
@examples(max_examples=60, deadline=None)
def test_buckets_are_those_of_exact_integer_arithmetic(ids: list[int], buckets: int, ngrams: int) -> None:
    multipliers, offsets = (1_540_483_477, 668_265_261, 374_761_393), (97_531, 1_299_709, 15_485_863)
    expected = []
    for n in range(1, min(ngrams, len(ids)) + 1):
        for i in range(len(ids) - n + 1):
            run = ids[i : i + n]
            mixed = (sum(a * m for a, m in zip(run, multipliers, strict=False)) + offsets[n - 1]) % (2**31 - 1)
            expected.append(1 + mixed**2 % (2**31 - 1) % (buckets - 1) if all(run) else 0)
    assert HashedGrams(2**30, buckets, ngrams)(torch.tensor([ids])).tolist() == [expected]


def test_the_hash_spreads_pairs_evenly() -> None:
    grams = HashedGrams(300, 1001, 2)
    pairs = torch.cartesian_prod(torch.arange(1, 300), torch.arange(1, 300))
    counts = torch.bincount(grams(pairs)[:, 2], minlength=1001)[1:]
    expected = len(pairs) / 1000
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square < 1000 + 4 * np.sqrt(2 * 1000)  # four standard deviations of chi-square with 999 degrees


def test_the_recurrent_layer_is_a_bidirectional_gru_of_packed_sequences() -> None:
    torch.manual_seed(0)
    layer = Bidirectional(4, 6)
    reference = nn.GRU(4, 3, batch_first=True, bidirectional=True)
    reference.load_state_dict(
        dict(layer.ahead.state_dict().items()) | {f"{k}_reverse": v for k, v in layer.back.state_dict().items()}
    )
    states, lengths = torch.randn(3, 5, 4), torch.tensor([5, 3, 1])
    packed = nn.utils.rnn.pack_padded_sequence(states, lengths, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    counted = torch.arange(5) < lengths[:, None]
    mirrored = torch.tensor([[4, 3, 2, 1, 0], [2, 1, 0, 3, 4], [0, 1, 2, 3, 4]])
    torch.testing.assert_close(layer(states, mirrored)[counted], expected[counted])


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    own, reference = Attention(8, 2, 0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    key_bias = torch.zeros(8)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        reference.in_proj_bias.copy_(torch.cat([own.query.bias, key_bias, own.value.bias]))
        reference.out_proj.load_state_dict(own.output.state_dict())
    states, attended = torch.randn(2, 5, 8), torch.arange(5) < torch.tensor([5, 2])[:, None]
    expected, _ = reference(states, states, states, key_padding_mask=~attended)
    torch.testing.assert_close(own(states, attended), expected)


def test_taps_find_the_projections_and_the_scores_of_attention() -> None:
    net = make("transformer_tiny", {"heads": 2, "width": 8})
    found = {path for path, _ in net.named_modules()}
    assert {f"blocks.1.attention.{part}" for part in ("query", "key", "value")} <= found
    scores = taps.attention.scores(net.get_submodule("blocks.1.attention"), "blocks.1.attention")
    scores.attach()
    net(torch.randint(1, VOCABULARY, (3, LENGTH)))
    taken = scores.take()
    assert taken is not None
    assert taken.shape == (3, 2, LENGTH, LENGTH)


@pytest.mark.parametrize("name", ["bag_hashed", "static_embedding", "gru_tiny", "transformer_tiny"])
def test_an_image_given_to_a_net_of_texts_names_the_nets_that_read_it(name: str) -> None:
    with pytest.raises(UsageError, match="mlp_tiny"):
        students.make(name, shape=(1, 8, 8), outputs=2, settings={})


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="multiple of heads = 3"):
        make("transformer_tiny", {"heads": 3})
