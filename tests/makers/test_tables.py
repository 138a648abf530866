"""Makers of tables: cells are of their columns, and what each maker says it keeps is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import ks_2samp, norm, rankdata, spearmanr

from stillhouse.data.encoders.table import TableEncoder
from stillhouse.data.encoders.tensors import ArrayEncoder, ImageEncoder
from stillhouse.data.encoders.text import TextEncoder
from stillhouse.data.summaries import summaries
from stillhouse.errors import RejectedError, UsageError
from stillhouse.makers import base as makers

TABLE_MAKERS = ["copula", "marginals", "mixture"]
DRAW = np.random.default_rng(0)
ROWS = 400
X = DRAW.normal(size=ROWS)
REAL = pd.DataFrame(
    {
        "x": X,
        "twice": 2 * X + 0.1 * DRAW.normal(size=ROWS),
        "count": DRAW.integers(0, 9, ROWS).astype(np.float64),
        "gaps": np.where(DRAW.random(ROWS) < 0.3, np.nan, DRAW.normal(5, 2, ROWS)),
        "kind": pd.Series(DRAW.choice(["a", "b", "rare"], ROWS, p=[0.6, 0.37, 0.03]), dtype=object),
        "day": np.datetime64("2020-01-01", "us") + DRAW.integers(0, 300, ROWS) * np.timedelta64(86_400_000_000, "us"),
    }
)


def form_of(real: pd.DataFrame | np.ndarray) -> makers.Form:
    encoder = TableEncoder.fit(real) if isinstance(real, pd.DataFrame) else ArrayEncoder.fit(real)
    kind = "table" if isinstance(real, pd.DataFrame) else "array"
    return makers.Form(kind, encoder, real=real, columns=summaries(real))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TABLE_MAKERS)
def test_a_row_follows_from_its_number_and_has_cells_of_its_columns(name: str) -> None:
    form, ids = form_of(REAL), np.arange(500)
    made = makers.make(name).make(form, ids, 7)
    some = np.array([499, 0, 13])
    assert isinstance(made, pd.DataFrame)
    again = pd.DataFrame(makers.make(name).make(form, some, 7))
    pd.testing.assert_frame_equal(again, made.iloc[some].reset_index(drop=True))
    assert list(made.columns) == list(REAL.columns)
    assert (made.dtypes == REAL.dtypes).all()
    assert set(made["kind"]) <= {"a", "b", "rare"}
    assert (made["count"] == made["count"].round()).all()
    assert abs(made["gaps"].isna().mean() - 0.3) < 0.1
    assert abs((made["kind"] == "a").mean() - 0.6) < 0.1
    assert REAL["day"].min() - pd.Timedelta(days=60) <= made["day"].min()
    assert form.encoder.encode(made).isfinite().all()


@pytest.mark.parametrize(("name", "least", "most"), [("copula", 0.9, 1), ("mixture", 0.9, 1), ("marginals", -0.2, 0.2)])
def test_how_columns_go_together_is_kept_where_the_card_says_so(name: str, least: float, most: float) -> None:
    made = makers.make(name).make(form_of(REAL), np.arange(1000), 1)
    assert isinstance(made, pd.DataFrame)
    assert least <= float(made["x"].corr(made["twice"])) <= most


def test_the_copula_has_the_correlations_and_the_values_of_one_by_scipy_also_where_columns_have_ties() -> None:
    draw = np.random.default_rng(1)
    base = draw.multivariate_normal(np.zeros(4), 0.3 + 0.7 * np.eye(4), 800)
    real = np.stack([base[:, 0], np.exp(base[:, 1]), np.rint(2 * base[:, 2]), np.rint(-3 * base[:, 3] + base[:, 0])], 1)
    found = np.corrcoef(norm.ppf(rankdata(real, axis=0) / 801).T)
    shares = norm.cdf(draw.multivariate_normal(np.zeros(4), found, 20_000)).T
    wanted = [np.quantile(own, one, method="inverted_cdf") for own, one in zip(real.T, shares, strict=True)]
    made = np.asarray(makers.make("copula", shrink=1e-6).make(form_of(real), np.arange(20_000), 0))
    for (k, column), other in zip(enumerate(made.T), wanted, strict=True):
        assert ks_2samp(column, other).statistic < 0.02
        for before in range(k):
            ours, theirs = (spearmanr(own[before], own[k]).statistic for own in (made.T, wanted))
            assert ours == pytest.approx(theirs, abs=0.03)


@pytest.mark.parametrize("name", TABLE_MAKERS)
def test_arrays_stay_arrays(name: str) -> None:
    made = makers.make(name).make(form_of(REAL[["x", "twice", "count"]].to_numpy()), np.arange(20), 1)
    assert isinstance(made, np.ndarray)
    assert made.shape == (20, 3)
    assert (made[:, 2] == np.rint(made[:, 2])).all()


def test_marginals_need_no_row_and_a_mixture_does() -> None:
    form = makers.Form("table", TableEncoder.fit(REAL), columns=summaries(REAL))
    assert makers.free(form) == ["marginals"]
    assert makers.free(form_of(REAL)) == ["mixture", "copula", "marginals"]


def test_a_column_that_is_empty_or_constant_stays_so() -> None:
    real = pd.DataFrame({"empty": np.full(30, np.nan), "one": np.full(30, 4.0), "x": np.arange(30.0)})
    for name in TABLE_MAKERS:
        made = makers.make(name).make(form_of(real), np.arange(9), 1)
        assert isinstance(made, pd.DataFrame)
        assert (made["one"] == 4.0).all(), name


def test_crops_are_parts_of_the_users_pictures(tmp_path: Path) -> None:
    pixels = np.full((60, 80, 3), (200, 40, 90), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    rows = np.random.default_rng(0).integers(0, 256, (20, 12, 11, 3), np.uint8)
    encoder = ImageEncoder.fit(rows)
    form = makers.Form("image", encoder, encoder.fill, tuple(encoder.encode(rows).amax((0, 2, 3)).tolist()))
    made = np.asarray(makers.make("crops", folder=str(tmp_path)).make(form, np.arange(8), 0)).astype(int)
    assert made.shape == (8, 12, 11, 3)
    assert np.abs(made - [200, 40, 90]).max() <= 1
    key = makers.make("crops", folder=str(tmp_path)).key()
    Image.fromarray(pixels + 1).save(tmp_path / "one.png")
    assert makers.make("crops", folder=str(tmp_path)).key() != key
    with pytest.raises(UsageError, match="holds no picture"):
        makers.make("crops", folder=str(tmp_path / "none")).check(form)
    (tmp_path / "one.png").write_bytes(b"no picture")
    with pytest.raises(RejectedError, match=r"one\.png is no picture"):
        makers.make("crops", folder=str(tmp_path)).make(form, np.arange(2), 0)


def test_mixed_words_are_spans_of_the_users_texts(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("one two three four five six seven\nalpha beta gamma delta\nshort\n", encoding="utf-8")
    maker = makers.make("word_mixture", file=str(file))
    form = makers.Form("text", TextEncoder.fit(np.array(["one two"] * 9, object), vocabulary=64, length=8))
    made = np.asarray(maker.make(form, np.arange(300), 0))
    assert {len(text.split()) for text in made} == {4, 7}
    assert set(" ".join(made).split()) == set(file.read_text(encoding="utf-8").split()) - {"short"}
    assert np.array_equal(np.asarray(maker.make(form, np.array([299, 5]), 0)), made[[299, 5]])
    with pytest.raises(UsageError, match="cannot be read"):
        makers.make("word_mixture", file=str(tmp_path / "none")).check(form)
