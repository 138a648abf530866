"""Teachers of vectors: what they give is what is kept, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from stillhouse.data import Views
from stillhouse.errors import RejectedError, UsageError
from stillhouse.taps import EMBEDDING as VECTORS
from stillhouse.teachers import EnsembleTeacher, ModuleTeacher, StoredTeacher, label
from stillhouse.teachers.fitted.objects import from_object
from tests.teachers.asking import no_decoding, rows_of
from tests.teachers.tasks import EMBEDDING, wide

ROWS = np.random.default_rng(0).normal(size=(20, 6))


def test_the_vectors_of_a_net_are_its_outputs_and_are_kept_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Linear(6, 4)
    teacher = ModuleTeacher(net, EMBEDDING, wide(4), [VECTORS])
    inputs = torch.from_numpy(ROWS).float()
    store = label(
        teacher, inputs, Views("none", 1, 0.0, 0), tmp_path, task=EMBEDDING, key={}, dtype="float32", block_rows=8
    )
    assert [(field.name, field.shape) for field in store.fields] == [("feature:embedding", (4,))]
    told, truth = StoredTeacher(store), net(inputs).detach()
    found = told.outputs(rows_of(ROWS)._replace(inputs=inputs))
    assert told.shape == teacher.shape == (4,)
    torch.testing.assert_close(found.values, truth)
    assert torch.equal(found.features[VECTORS], found.values)


def test_a_fitted_transformer_and_a_function_give_vectors() -> None:
    model = PCA(4).fit(ROWS)
    for each in (model, model.transform):
        teacher = from_object(each, EMBEDDING, wide(4), decode=no_decoding, identity="pca")
        np.testing.assert_allclose(teacher.outputs(rows_of(ROWS)).values.numpy(), model.transform(ROWS), atol=1e-6)
    with pytest.raises(RejectedError, match=r"answered \(20, 4\) for 20 rows. It must answer one row of 3 numbers"):
        from_object(model, EMBEDDING, wide(3), decode=no_decoding).outputs(rows_of(ROWS))


def test_embedders_cannot_be_joined() -> None:
    net = ModuleTeacher(nn.Linear(6, 4), EMBEDDING, wide(4))
    joined = EnsembleTeacher([net, net], EMBEDDING)
    with pytest.raises(UsageError, match="coordinates have nothing in common"):
        joined.outputs(rows_of(ROWS)._replace(inputs=torch.zeros(20, 6)))
