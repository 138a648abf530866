"""The tables [training] and [teacher.training] of a recipe."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from stillhouse.recipe.base import Fraction, Positive, Section

BATCH = 128  # rows a step, by default


class Training(Section):
    """[training] and [teacher.training]: the budget and the optimiser."""

    steps: Positive | None = Field(None, description="Optimiser steps.")
    epochs: Positive | None = Field(None, description="Passes over the training rows, instead of steps.")
    batch_size: Positive | None = Field(
        None, description=f"Rows a step; default: {BATCH}, or all training rows if there are fewer."
    )
    lr: float = Field(3e-3, gt=0.0, description="Peak learning rate of AdamW; one-cycle cosine.")
    weight_decay: float = Field(1e-4, ge=0.0, description="AdamW's decoupled weight decay.")
    label_smoothing: Fraction = Field(0.0, description="Smoothing of the labels: the teacher-free control.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where nets are trained and asked; auto: on an accelerator, if there is one."
    )
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "32-true", description="Arithmetic of the nets; 16-mixed scales the loss."
    )
    checkpoint_every: Positive = Field(200, description="Steps between checkpoints.")
    keep_every: Positive | None = Field(
        None, description="Steps between weights that are kept for good, in `step-<n>.safetensors` of the fit."
    )
    log_every: Positive = Field(50, description="Steps between lines of metrics.jsonl.")
    compile: bool = Field(False, description="Run the net through torch.compile, where the machine can.")
    keep: Literal["last", "best"] | None = Field(
        None,
        description="Which weights are kept: the last, or those with the lowest validation loss; default: best for a "
        "student of a table with labelled validation rows, else last.",
    )
    patience: Positive | None = Field(
        None,
        description="Steps without a lower validation loss after which a fit ends, with the best weights; default: "
        "half of all steps where the best are kept.",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Training:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        if self.patience is not None and self.keep == "last":
            raise ValueError('patience ends a fit with its best weights: remove keep = "last", or patience')
        return self


class OnPolicy(Section):
    """[on_policy]: the last steps of a language model's student, on text that it, or its teacher, writes."""

    steps: Positive | None = Field(None, description="Steps of the phase, the last of [training] steps; default: none.")
    share: float = Field(
        1.0, gt=0.0, le=1.0, description="Share of these steps that read such text; the others read yours."
    )
    writer: Literal["student", "teacher"] = Field(
        "student",
        description="Who continues your texts: the student, anew at each step; or the teacher, once for each window.",
    )
    labels: bool = Field(
        False, description="Whether the next-token loss learns the teacher's text; a student's own is never a label."
    )
    divergence: Literal["reverse_kl", "jensen_shannon", "forward_kl", "skew_kl", "skew_reverse_kl", "none"] = Field(
        "reverse_kl",
        description="What is lowered between student and teacher, at each token; none: with labels, the next-token "
        "loss alone (sequence-level distillation).",
    )
    beta: float = Field(0.5, gt=0.0, lt=1.0, description="Of jensen_shannon, the weight of the teacher in the mixture.")
    sampling_temperature: float = Field(
        1.0, ge=0.0, description="Of the writer's draws, 0: the likeliest token; answers are not softened."
    )
    new_tokens: Positive = Field(96, description="Tokens of each continuation, at most one less than [data] context.")
    lr: float | None = Field(
        None, gt=0.0, description="Peak learning rate of the phase; default: a tenth of [training] lr."
    )


class StudentTraining(Training):
    """[training]: the student's, with the seeds of the comparison."""

    label_weight: float = Field(0.1, ge=0.0, description="Weight of the label loss beside the methods.")
    text_weight: float | None = Field(
        None,
        ge=0.0,
        description="Of language models, weight of the next-token loss beside the methods; default: 0.5.",
    )
    class_weight: Literal["none", "balanced"] = Field(
        "none", description="balanced: every class counts alike, in each arm and in a teacher that is trained here."
    )
    disagreement: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="d: the methods weigh a row by exp(-d * disagreement of its teachers in nats); 0: all rows alike.",
    )
    balance: Literal["none", "gradient", "guard"] = Field(
        "none",
        description="gradient: weights become shares of the gradient, measured in the first steps; guard: the weight "
        "of a method is lowered where validation rows show that it harms.",
    )
    order: Literal["rows", "parts"] = Field(
        "rows",
        description="rows: all rows are mixed in each epoch; parts: an eighth of them at a time, for answers that do "
        "not fit into memory.",
    )
    devices: Positive = Field(
        1, description="Devices of each machine that train one net together; on CPUs processes of one thread."
    )
    nodes: Positive = Field(1, description="Machines that train one net together, each started by `torchrun`.")
    timeout: float = Field(
        600.0, gt=0.0, le=86_400.0, description="Seconds that a process waits for another one of these devices."
    )
    slices: Positive | None = Field(
        None,
        description="Parts of a batch whose gradients are added in a fixed order, a power of two: the weights are then "
        "the same bits on any number of devices that divides it; default: one for each device.",
    )
    workers: Positive | None = Field(None, description="Fits side by side, one thread each; default: one a core.")
    seeds: list[int] = Field([0, 1, 2, 3, 4], min_length=1, description="Each arm has one student for each seed.")

    @property
    def processes(self) -> int:
        """How many processes train one net."""
        return self.devices * self.nodes

    @property
    def parts(self) -> int | None:
        """Into how many slices a step is cut; None: one process sees whole batches."""
        return self.slices or (self.processes if self.processes > 1 else None)

    @model_validator(mode="before")
    @classmethod
    def _each_has_all(cls, table: Any) -> Any:
        """Accept the one way in which devices share a net, without a key of its own."""
        strategy = table.get("strategy", "ddp") if isinstance(table, dict) else "ddp"
        if strategy == "ddp":
            return (
                {key: value for key, value in table.items() if key != "strategy"} if isinstance(table, dict) else table
            )
        raise ValueError(
            f'strategy = {strategy!r} is not there: every device has all of the net, as with strategy = "ddp"; remove '
            'it. Where memory is short, `slices` takes a batch in parts, and `precision = "bf16-mixed"` halves what a '
            "forward pass keeps"
        )

    @model_validator(mode="after")
    def _slices_fit(self) -> StudentTraining:
        if self.slices is None:
            return self
        if self.slices & (self.slices - 1):
            raise ValueError(f"slices = {self.slices} is no power of two: set 2, 4, 8 ...")
        if self.slices % self.processes:
            raise ValueError(
                f"slices = {self.slices} cannot be shared evenly by {self.processes} processes (devices x nodes): set "
                "a multiple of them"
            )
        return self
