"""Standard units: targets and teachers enter a run with mean 0 and deviation 1, and come back in the user's units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import StandardScaler
from torch import nn

from stillhouse.errors import RejectedError
from stillhouse.tasks.regression.scaling import Scaler, StandardizedTeacher
from stillhouse.teachers import ModuleTeacher
from stillhouse.teachers.crossfit import whole_of
from stillhouse.teachers.ensemble import SPREAD
from stillhouse.teachers.fitted.objects import from_object
from tests.teachers.asking import no_decoding, rows_of
from tests.teachers.tasks import REGRESSION, named

TWO = named(["price", "area"])
TARGETS = np.random.default_rng(0).normal(size=(40, 2)) * [40_000, 3] + [250_000, 80]


def test_units_are_those_of_scikit_learn_over_the_rows_that_are_known() -> None:
    gaps = TARGETS.astype(np.float32)
    gaps[::3, 1] = np.nan
    scaler, truth = Scaler.fit(gaps, TWO.names), StandardScaler().fit(gaps.astype(np.float64))
    np.testing.assert_allclose(scaler.mean, truth.mean_)
    np.testing.assert_allclose(scaler.scale, truth.scale_)
    np.testing.assert_allclose(scaler.standardize(gaps), truth.transform(gaps.astype(np.float64)), rtol=1e-9)


@given(arrays(np.float64, (5, 2), elements=st.floats(-1e6, 1e6)))
def test_values_come_back_as_they_were(values: np.ndarray) -> None:
    scaler = Scaler.fit(TARGETS, TWO.names)
    np.testing.assert_allclose(scaler.restore(scaler.standardize(values)), values, rtol=1e-9, atol=1e-6)
    tensor = torch.from_numpy(values)
    torch.testing.assert_close(scaler.restore(scaler.standardize(tensor)), tensor, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(("fill", "message"), [(np.nan, "missing in all of them"), (0.1, "is 0.1 in all of them")])
def test_a_target_with_nothing_to_learn_is_refused_by_name(fill: float, message: str) -> None:
    targets = TARGETS.copy()
    targets[:, 1] = fill
    with pytest.raises(RejectedError, match=rf"target 'area' cannot be learned: of 40 labelled .* {message}"):
        Scaler.fit(targets, TWO.names)


def test_a_teacher_of_the_users_units_answers_in_standard_units_with_its_spread() -> None:
    scaler = Scaler.fit(TARGETS, TWO.names)
    spread = np.full((40, 2), 12.0)
    inner = from_object(lambda raw: (raw, spread[: len(raw)]), REGRESSION, TWO, decode=no_decoding)
    teacher = StandardizedTeacher(inner, scaler)
    found = teacher.outputs(rows_of(TARGETS))
    np.testing.assert_allclose(found.values.numpy(), StandardScaler().fit_transform(TARGETS), atol=1e-5)
    np.testing.assert_allclose(found.features[SPREAD].numpy(), spread / TARGETS.std(0), rtol=1e-6)
    assert found.values.dtype == torch.float32
    other = StandardizedTeacher(inner, scaler._replace(mean=(0.0, 0.0)))
    assert len({inner.fingerprint(), teacher.fingerprint(), other.fingerprint()}) == 3


def test_a_net_is_still_found_inside() -> None:
    net = ModuleTeacher(nn.Linear(3, 2), REGRESSION, TWO)
    wrapped = StandardizedTeacher(net, Scaler.fit(TARGETS, TWO.names))
    assert whole_of(wrapped) is net
    assert (wrapped.parameters, wrapped.nbytes, wrapped.shape) == (8, 32, (2,))
