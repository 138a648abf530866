"""TF-IDF with a linear model: scikit-learn's answers, probabilities that mean something, whole files and graphs."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from torch import Tensor

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable, export
from stillhouse.students.tfidf import WeighedGrams

VOCABULARY, LENGTH, CLASSES = 60, 24, 3


def texts(rows: int, seed: int, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """Token ids with padding behind, and classes; each class likes tokens of its own."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, CLASSES, rows)
    ids = np.zeros((rows, length), np.int64)
    for row, label in enumerate(y):
        n = draw.integers(3, length + 1)
        liked = 2 + label * 8 + draw.integers(0, 8, n)
        ids[row, :n] = np.where(draw.random(n) < 0.3, liked, draw.integers(1, VOCABULARY, n))
    return torch.from_numpy(ids), torch.from_numpy(y)


def one_hot(y: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(y, CLASSES).double()


def fit(ids: Tensor, targets: Tensor, **given: Any) -> WeighedGrams:
    seed, link, weights = given.pop("seed", 0), given.pop("link", "softmax"), given.pop("weights", None)
    net = students.fit_soft(
        "tfidf_linear",
        inputs=ids,
        targets=targets,
        weights=weights,
        settings={"vocabulary": VOCABULARY} | given,
        seed=seed,
        link=link,
    )
    assert isinstance(net, WeighedGrams)
    return net


def vectors(train: Tensor, asked: Tensor) -> tuple[Any, Any]:
    """TF-IDF of scikit-learn, of tokens as words."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")
    words = [[" ".join(str(i) for i in row if i) for row in rows.tolist()] for rows in (train, asked)]
    return vectorizer.fit_transform(words[0]), vectorizer.transform(words[1])


@given(seed=st.integers(0, 10_000), rows=st.integers(10, 80), strength=st.sampled_from([1.0, 10.0]))
@settings(max_examples=20, deadline=None)
def test_it_answers_as_scikit_learns_tfidf_and_logistic_regression(seed: int, rows: int, strength: float) -> None:
    (ids, y), (fresh, _) = texts(rows, seed), texts(40, seed + 1)
    if int((y.bincount(minlength=CLASSES) > 0).sum()) < CLASSES:
        return
    x, asked = vectors(ids, fresh)
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(x, y.numpy())
    ours = fit(ids, one_hot(y), C=strength)
    np.testing.assert_allclose(ours(fresh).softmax(-1).numpy(), theirs.predict_proba(asked), atol=1e-3)


def test_the_module_computes_the_sparse_product_to_rounding() -> None:
    (ids, y), (fresh, _) = texts(80, 3), texts(300, 4)
    net, asked = fit(ids, one_hot(y)), vectors(ids, fresh)[1]
    table = net.weight.double().numpy()  # as stored, in float16
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")
    vectorizer.fit([" ".join(str(i) for i in row if i) for row in ids.tolist()])
    order = np.array([int(word) for word in vectorizer.get_feature_names_out()])
    np.testing.assert_allclose(net(fresh).numpy(), asked @ table[order] + net.bias.double().numpy(), atol=1e-4)


def test_soft_targets_and_weights_give_the_fit_of_repeated_rows() -> None:
    ids, _ = texts(60, 5)
    p = torch.rand(60, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p, w = p / p.sum(1, keepdim=True), torch.arange(60) % 3 + 1.0
    x, _ = vectors(ids, ids)
    again = np.repeat(np.arange(60), CLASSES)
    theirs = LogisticRegression(C=5.0, tol=1e-10, max_iter=10_000)
    theirs.fit(x[again], np.tile(np.arange(CLASSES), 60), (w[:, None] / w.mean() * p).numpy().ravel())
    ours = fit(ids, p, weights=w, C=5.0)
    np.testing.assert_allclose(ours(ids).softmax(-1).numpy(), theirs.predict_proba(x), atol=1e-3)


def test_complement_naive_bayes_is_scikit_learns_with_a_temperature() -> None:
    (ids, y), (fresh, truth) = texts(150, 6), texts(400, 7)
    x, asked = vectors(ids, fresh)
    theirs = ComplementNB(alpha=0.1).fit(x, y.numpy()).predict_joint_log_proba(asked)
    ours = fit(ids, one_hot(y), variant="naive_bayes")(fresh).double().numpy()
    centred = [scores - scores.mean(1, keepdims=True) for scores in (theirs, ours)]
    factor = (centred[0] * centred[1]).sum() / (centred[0] ** 2).sum()
    np.testing.assert_allclose(centred[1], factor * centred[0], atol=2e-3 * factor)
    loss = torch.nn.functional.cross_entropy
    fitted, raw = (float(loss(torch.from_numpy(scores), truth)) for scores in (ours, theirs))
    best = min(float(loss(torch.from_numpy(f * theirs), truth)) for f in np.geomspace(0.1, 100, 200))
    assert fitted < raw - 0.05  # rows of length 1 give scores too near to each other
    assert fitted < best + 0.02  # and the factor from left-out training rows is nearly the best for fresh ones


@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_weights_of_counts_follow_the_formula(ngrams: int) -> None:
    ids, y = texts(12, 8)
    net = fit(ids, one_hot(y), ngrams=ngrams, buckets=1_000_000)  # no two runs share a bucket here
    runs = [
        Counter(tuple(row[i : i + n]) for n in range(1, ngrams + 1) for i in range(len(row) - n + 1))
        for row in ([i for i in text if i] for text in ids.tolist())
    ]
    texts_with = Counter(run for text in runs for run in text)
    for text, row, outputs in zip(runs, ids, net(ids), strict=True):
        formula = [(1 + math.log(n)) * (math.log(13 / (1 + texts_with[run])) + 1) for run, n in text.items()]
        found = Counter(net.grams(row[None])[0].tolist())
        counts = {g: (1 + math.log(n)) * float(net.idf[g]) for g, n in found.items() if g}
        np.testing.assert_allclose(sorted(counts.values()), sorted(formula), rtol=1e-5)
        length = math.sqrt(sum(x * x for x in formula))
        expected = net.bias + sum(x / length * net.weight[g].float() for g, x in counts.items())
        torch.testing.assert_close(outputs, expected, atol=1e-5, rtol=1e-5)


def test_padding_and_unseen_tokens_change_nothing() -> None:
    ids, y = texts(40, 9)
    ids[ids == 7] = 8
    net = fit(ids, one_hot(y))
    longer = torch.cat([ids, torch.full((40, 1), 7), torch.zeros(40, 9, dtype=torch.int64)], 1)
    torch.testing.assert_close(net(longer), net(ids), atol=1e-6, rtol=0)
    assert torch.equal(net(torch.zeros(1, 5, dtype=torch.int64))[0], net.bias)


@pytest.mark.parametrize("variant", ["logistic", "naive_bayes"])
def test_a_fit_has_a_fixed_size_and_loads_from_a_file(variant: str, tmp_path: Path) -> None:
    ids, y = texts(60, 10)
    chosen: dict[str, Any] = {"vocabulary": VOCABULARY, "variant": variant, "ngrams": 2, "buckets": 100}
    net = fit(ids, one_hot(y), **chosen)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    empty = students.make("tfidf_linear", shape=(LENGTH,), outputs=CLASSES, settings=chosen)
    empty.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(empty(ids), net(ids))
    assert tuple(net.weight.shape) == (VOCABULARY + 99, CLASSES)
    assert net.weight.dtype == torch.float16
    again = fit(ids, one_hot(y), **chosen)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize("ngrams", [1, 2])
def test_the_exported_graph_takes_texts_of_any_length(ngrams: int, tmp_path: Path) -> None:
    ids, y = texts(60, 11)
    ids[0], ids[1:, LENGTH // 2 :] = ids[0].clamp(min=1), 0
    net = fit(ids, one_hot(y), ngrams=ngrams, buckets=64)
    shipped = Exportable(net, ids[:8], net, ids[:8], {"logits": lambda logits: logits}, tokens=True)
    file = export(shipped, tmp_path / "texts.onnx", format="onnx", metadata={})
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for rows in (ids, ids[1:2, :5]):
        (logits,) = session.run(["logits"], {"inputs": rows.numpy()})
        np.testing.assert_allclose(logits, net(rows).numpy(), atol=1e-5)


def test_values_of_texts_are_fitted_by_ridge() -> None:
    ids, y = texts(80, 12)
    x, _ = vectors(ids, ids)
    values = torch.stack([y.double(), -2.0 * y], 1)
    from sklearn.linear_model import Ridge

    theirs = Ridge(alpha=0.1).fit(x.toarray(), values.numpy()).predict(x.toarray())
    np.testing.assert_allclose(fit(ids, values, link="identity")(ids).numpy(), theirs, atol=5e-3)


def test_what_it_cannot_read_is_refused_with_the_cure() -> None:
    ids, y = texts(20, 13)
    with pytest.raises(UsageError, match=r"whole numbers from 0 to 59.*logistic"):
        fit(torch.rand(20, 5), one_hot(y))
    with pytest.raises(UsageError, match=r"from 0 to 9 .setting `vocabulary`"):
        fit(ids, one_hot(y), vocabulary=10)
    with pytest.raises(UsageError, match='Write `variant = "logistic"`'):
        fit(ids, one_hot(y), link="sigmoid", variant="naive_bayes")
    assert fit(ids, one_hot(y), link="sigmoid", variant="logistic")(ids).shape == (20, CLASSES)
    with pytest.raises(UsageError, match=r"expected: `.logistic.` or `.naive_bayes.`"):
        students.make(
            "tfidf_linear",
            shape=(5,),
            outputs=2,
            settings={"variant": "bayes"},
        )
