"""From trained embedders to the vectors of the held-out texts, and from these to the judgement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from torch import nn

from stillhouse.data import TextEncoder
from stillhouse.evaluation import measure_costs
from stillhouse.files import write_json
from stillhouse.pipeline.run.folder import TASKS, RunFolder, read_json
from stillhouse.pipeline.run.progress import stage
from stillhouse.pipeline.student.train import Arm
from stillhouse.recipe import Recipe, read
from stillhouse.tasks.classification.predictor import FOLDER, WEIGHTS
from stillhouse.tasks.embedding.contrast import EmbeddingTrainer
from stillhouse.tasks.embedding.predictor import DeployedEmbedder, embed_all
from stillhouse.tasks.embedding.scores import Embedded, score_embeddings
from stillhouse.tasks.embedding.setup import Gathered

VECTORS, SCORES = "embeddings.npz", TASKS["embedding"].scores
SECONDS = 3.0  # of timing, for both nets together


class EmbeddingJudge:
    """Asks every net about the held-out texts, once, and ships the student of the first seed."""

    def __init__(
        self, run: RunFolder, recipe: Recipe, found: Gathered, trainer: EmbeddingTrainer, arms: Sequence[Arm]
    ) -> None:
        self.run, self.recipe, self.found, self.trainer, self.arms = run, recipe, found, trainer, arms
        self.data = found.have.data

    def judge(self) -> dict[str, Any]:
        """Vectors, costs and the shipped student; then the scores."""
        self.note_what_each_saw()
        if not (self.run.folder / "costs.json").exists():  # written last
            nets = (len(self.arms) + 1) * len(self.recipe.training.seeds)
            with self.run.timed("evaluate"), stage("evaluation on the held-out texts", nets, "students") as advance:
                self.vectors(advance).save(self.run.folder / VECTORS)
                self.ship()
        with self.run.timed("score"):
            return judge_vectors(self.run.folder)

    def vectors(self, advance: Any) -> Embedded:
        """What every net makes of the held-out texts."""
        inputs, seeds = self.data.test.inputs, self.recipe.training.seeds
        found: dict[str, dict[str, np.ndarray]] = {"teacher": {"-": embed_all(self.found.teacher, inputs)}}
        for arm in self.arms:
            found[arm.name] = {}
            for seed in seeds:
                found[arm.name][str(seed)] = embed_all(self.trainer.trained(arm, seed), inputs)
                advance(1)
        found["start"] = {}
        for seed in seeds:
            found["start"][str(seed)] = embed_all(self.trainer.begun(self.arms[0], seed).eval(), inputs)
            advance(1)
        rows = np.asarray(self.data.split.test, np.int64)
        return Embedded(rows, self.found.labels.numpy(), found)

    def ship(self) -> None:
        """The distilled student of the first seed (no held-out text chooses), and what both nets cost."""
        arm = next(a for a in self.arms if a.name == "distilled")
        student = self.trainer.trained(arm, self.recipe.training.seeds[0])
        card = self.found.have.students.built_card()
        encoder, column = self.data.encoder, self.data.source.column
        assert isinstance(encoder, TextEncoder)
        DeployedEmbedder(student, encoder, self.found.width, card, column).save(self.run.folder / FOLDER)
        digest = xxhash.xxh3_64_hexdigest((self.run.folder / FOLDER / WEIGHTS).read_bytes())
        teacher = self.trainer.teachings["teacher"].teacher.fingerprint()
        self.run.note(hashes={"data": self.run.record["parts"]["data"], "student": digest, "teacher": teacher})
        write_json(self.run.folder / "costs.json", self.costs(student))

    def costs(self, student: nn.Module) -> dict[str, Any]:
        """Size and speed from token ids to vectors, both nets in turns; what asking and training took."""
        nets = {"teacher": self.found.teacher, "student": student}
        costs: dict[str, Any] = dict(measure_costs(nets, self.data.test.inputs[:64], budget_seconds=SECONDS))
        answers = len(self.data.train.targets) * self.found.have.views.count
        return costs | {"teacher_calls": answers, "seconds": self.run.record["seconds"]}

    def note_what_each_saw(self) -> None:
        """Facts of the texts, and what each learner was allowed to see, into run.json."""
        texts = len(self.data.train.targets)
        saw = {a.name: {"texts": texts, "labels": 0, "teacher": a.teacher} for a in self.arms}
        facts = {
            "name": self.data.source.name,
            "kind": "text",
            "classes": list(self.data.source.names) if self.recipe.data.target is not None else [],
            "tokens": int(self.data.train.inputs.shape[1]),
            "train": texts,
            "test": len(self.data.test.targets),
        }
        budget = self.trainer.budget
        spent = {"steps": budget.steps, "batch_size": budget.batch_size, "views": self.found.have.views.count}
        self.run.note(data=facts, saw=saw, budget=spent, found=self.found.warnings)


def judge_vectors(folder: Path) -> dict[str, Any]:
    """Judge a run from its vectors; needs neither texts nor nets. Writes and returns ``embedding_scores.json``."""
    run, recipe, costs = RunFolder(folder), read(folder / "recipe.toml"), read_json(folder / "costs.json")
    scores = score_embeddings(
        Embedded.load(folder / VECTORS),
        confidence=recipe.evaluation.confidence,
        margin=recipe.evaluation.margin,
        resamples=recipe.evaluation.resamples,
        seeds=recipe.training.seeds,
    )
    record = run.record
    scores |= {"saw": record["saw"], "budget": record["budget"], "costs": costs, "warnings": record["found"]}
    scores |= {"versions": record["versions"], "hashes": record["hashes"]}
    write_json(folder / SCORES, scores)
    return scores
