"""The tables of a recipe, as typed fields: each class is one table, each field one key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from stillhouse.errors import UsageError
from stillhouse.folders import check_name, lines

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
Labels = Annotated[int, Field(ge=1)] | Literal["all"]
Setting = bool | int | float | str | list[int] | list[float] | list[str]


def _known_view(name: str) -> str:
    try:
        return check_name("data/views", name, "[views] policy", extra=("none",))
    except UsageError as error:
        raise ValueError(str(error)) from None


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, values are frozen, defaults are checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class TaskSection(Section):
    """[task]: what the nets answer."""

    name: str = Field("classification", description="classification, multilabel, regression or embedding.")


class Data(Section):
    """[data]: the rows, their labels, and which rows are for what. Give one of name, path, arrays, images and text."""

    name: str | None = Field(None, description="A named set: mnist5k, digits, breast_cancer, diabetes.")
    path: Path | None = Field(
        None, description="A table: .csv, .tsv, .jsonl or .parquet, or a folder that `datasets` saved."
    )
    arrays: Path | None = Field(
        None, description="An .npz file with x (rows first) and y, or a folder with x.npy and y.npy."
    )
    images: Path | None = Field(
        None, description="A folder of images, a subfolder for each class; `unlabelled` is the pool."
    )
    text: Path | None = Field(None, description="Texts: .csv, .tsv, .jsonl or .parquet with a column of text.")
    column: str | None = Field(None, description="The column that holds the text; found by looking.")
    target: str | list[str] | None = Field(
        None, description="Column of the label, by name or number, or a list of them; empty: the row has no label."
    )
    header: bool | None = Field(None, description="Whether a CSV's first line names the columns; found by looking.")
    drop: list[str] = Field([], description="Columns of a table that are not inputs (identifiers).")
    types: dict[str, Literal["numeric", "categorical"]] = Field(
        {}, description="Column types, where those that were found are wrong."
    )
    classes: list[str] | None = Field(None, description="All class names in order; default: the sorted labels found.")
    tokens: int = Field(128, ge=4, description="Tokens of a text that are read; what is longer is cut.")
    vocabulary: int = Field(8192, ge=64, description="Pieces of words of the tokenizer that is trained on the texts.")
    tokenizer: Path | None = Field(
        None, description="A tokenizer.json to use; default: a hub teacher's own, else one trained on the texts."
    )
    on_disk: bool = Field(
        False, description="Rows lie in mapped files of the run folder, not in memory: for data larger than memory."
    )
    labels: Labels = Field("all", description='Training rows that keep their label for the student, or "all".')
    valid: Fraction = Field(0.1, description="Share of the training rows split off for choosing; 0: none.")
    test: Fraction = Field(0.2, description="Share of the rows kept for the one final test (named sets fix their own).")
    group: str | None = Field(None, description="Column whose rows stay on one side of the split: a patient, a site.")
    order: str | None = Field(None, description="Column of time: the latest rows are the test, those before validate.")
    seed: int = Field(0, description="Seed of the splits and of the choice of labelled rows.")


class Views(Section):
    """[views]: augmented views of each row, replayed from (row, view, seed), so that both nets see the same."""

    policy: Annotated[str, AfterValidator(_known_view)] = Field(
        "none", description=f"none, or {'; '.join(f'{name}: {line}' for name, line in lines('data/views').items())}."
    )
    model: Path | None = Field(
        None,
        description="masked: folder of a masked language model that guesses the words in their place; default: those "
        "that a hub teacher's embeddings have near them.",
    )
    count: Positive = Field(1, description="Views a row, the row as it is included.")
    strength: float = Field(2.0, ge=0.0, description="How far a view is from its row, as the policy says.")


class Training(Section):
    """[training] and [teacher.training]: the budget and the optimiser."""

    steps: Positive | None = Field(None, description="Optimiser steps.")
    epochs: Positive | None = Field(None, description="Passes over the training rows, instead of steps.")
    batch_size: Positive = Field(128, description="Rows a step.")
    lr: float = Field(3e-3, gt=0.0, description="Peak learning rate of AdamW; one-cycle cosine.")
    weight_decay: float = Field(1e-4, ge=0.0, description="AdamW's decoupled weight decay.")
    label_smoothing: Fraction = Field(0.0, description="Smoothing of the labels: the teacher-free control.")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="Arithmetic of the nets.")
    checkpoint_every: Positive = Field(200, description="Steps between checkpoints.")
    log_every: Positive = Field(50, description="Steps between lines of metrics.jsonl.")
    compile: bool = Field(False, description="Run the net through torch.compile, where the machine can.")
    keep: Literal["last", "best"] = Field(
        "last", description="Weights that count: the last, or those of the line with the lowest validation loss."
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Training:
        if (self.steps is not None) and (self.epochs is not None):
            raise ValueError("give steps or epochs, not both")
        return self


class StudentTraining(Training):
    """[training]: the student's, with the seeds of the comparison."""

    label_weight: float = Field(0.1, ge=0.0, description="Weight of the cross-entropy on labelled rows beside methods.")
    disagreement: float = Field(
        0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="What is matched of a row counts exp(-d * disagreement of its teachers in nats); 0: in full.",
    )
    balance: Literal["none", "gradient"] = Field(
        "none", description="gradient: the first steps set the weights, so that each is a share of the gradient."
    )
    workers: Positive | None = Field(None, description="Fits side by side, one thread each; default: one a core.")
    seeds: list[int] = Field([0, 1, 2, 3, 4], min_length=1, description="One student of each arm a seed, paired.")


class Net(Section):
    """The settings shared by [teacher] and [student]: a name from the zoo and its sizes."""

    name: str | None = Field(None, description="A name from the zoo.")
    settings: dict[str, Setting] = Field({}, description="Sizes and options of the named model; see nets.md.")


class Endpoint(Section):
    """[teacher.endpoint]: a service that classifies texts, spoken to as OpenAI's chat completions are."""

    url: str | None = Field(None, description="Its address up to /v1; asked only where this is given.")
    model: str = Field("", description="The model's name there.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable of the key; never written to a file.")
    concurrency: Positive = Field(4, description="Questions at once.")
    samples: Positive = Field(5, description="Answers a text where the service gives no log-probabilities.")
    max_calls: Positive | None = Field(
        None, description="Answers in all, earlier calls of this command included; then it stops, to be resumed."
    )
    max_cost: float | None = Field(None, gt=0.0, description="Price in all at which it stops, to be resumed.")
    price_in: float = Field(0.0, ge=0.0, description="Price of a million tokens read.")
    price_out: float = Field(0.0, ge=0.0, description="Price of a million tokens written.")


class Member(Net):
    """[[teacher.member]]: one of several teachers whose answers are joined."""

    name: str | None = Field(None, description="A name from the zoo, or a scikit-learn teacher.")
    file: Path | None = Field(None, description="A ready teacher, as [teacher] file.")
    hub: str | None = Field(None, description="As [teacher] hub.")
    tune: Literal["none", "probe", "full", "lora"] = Field("none", description="As [teacher] tune.")
    folds: int | None = Field(
        None,
        ge=2,
        description="Models trained each without one fold, which it answers; default: 5 of scikit-learn, of nets none.",
    )
    training: Training = Field(Training(), description="Its own budget.")


class TeacherSection(Member):
    """[teacher]: the model whose outputs the student matches."""

    name: str | None = Field(
        None, description="A net of the zoo, a scikit-learn model, `timm:NAME` or `python:package.module:function`."
    )
    file: Path | None = Field(
        None,
        description="A ready teacher: .safetensors (weights of the named net), .onnx, .skops, LightGBM's .txt, "
        "XGBoost's .json or .ubj, CatBoost's .cbm.",
    )
    hub: str | None = Field(None, description="A Hugging Face model: a local folder, or a name in the local cache.")
    revision: str | None = Field(None, description="Commit of the hub model.")
    tune: Literal["none", "probe", "full", "lora"] = Field(
        "none", description="How a hub model learns these classes here; none: it knows them already."
    )
    endpoint: Endpoint = Endpoint()
    member: list[Member] = Field([], description="Several teachers, whose answers are joined.")
    combine: Literal["mean", "log_mean", "confidence"] = Field(
        "mean", description="How members are joined: mean of probabilities, of logarithms, or by confidence (CA-MKD)."
    )
    calls: Positive | None = Field(
        None, description="Answers it may be asked for, rows times views; default: every row and view."
    )
    ask: Literal["random", "uncertainty", "entropy", "coreset"] = Field(
        "random", description="Which rows, where calls do not reach all; the labelled ones are among them."
    )
    labels: Labels | Literal["same"] = Field("same", description='What it may see: "same" as the student, "all", or N.')
    generations: Positive = Field(
        1, description="Students in a row, each the teacher of the next; the last is the run's (born again)."
    )


class Assistant(Net):
    """[[assistant]]: a net between teacher and student; it matches the one before, and the one after matches it."""

    name: str = Field(description="A name from the zoo.")
    training: Training | None = Field(None, description="Its own budget; default: the student's.")


class Derive(Section):
    """[student.derive]: a student cut out of its teacher, with the teacher's weights."""

    layers: Positive | list[int] | None = Field(None, description="Layers kept: how many, or which.")
    choose: Literal["alternate", "first", "last", "importance"] = Field("alternate", description="Which layers stay.")
    width: float | None = Field(None, gt=0.0, le=1.0, description="Share of the hidden units kept.")
    heads: Positive | None = Field(None, description="Attention heads kept in each layer.")
    feedforward: float | None = Field(None, gt=0.0, le=1.0, description="Share of the feed-forward units kept.")
    embedding_rank: Positive | None = Field(None, description="Rank of a factorised token embedding.")

    @property
    def wanted(self) -> bool:
        """Whether anything is to be derived."""
        return any((self.layers, self.width, self.heads, self.feedforward, self.embedding_rank))


class Limits(Section):
    """[student.budget]: the largest student of a family that fits, measured here."""

    parameters: Positive | None = Field(None, description="Learned numbers at most.")
    bytes: Positive | None = Field(None, description="Bytes of its weights at most.")
    latency_ms: float | None = Field(None, gt=0.0, description="Milliseconds of one core here for one row at most.")

    @property
    def wanted(self) -> bool:
        """Whether there is a limit."""
        return any((self.parameters, self.bytes, self.latency_ms))


class StudentSection(Net):
    """[student]: the small model that is trained."""

    name: str | None = Field(
        None,
        description="A net of the zoo, a tree, or `python:package.module:function`; default: a small one for the data.",
    )
    family: str | None = Field(None, description="Of which [student.budget] takes the largest that fits: cnn, mlp ...")
    start: Path | None = Field(None, description="Weights (.safetensors) that every student begins with.")
    derive: Derive = Derive()
    budget: Limits = Limits()


class MethodEntry(BaseModel):
    """[[method]]: one thing that is matched; further keys are the method's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="A name that `stillhouse methods` lists.")
    weight: float = Field(0.9, ge=0.0, description="Factor of all its terms.")

    @property
    def settings(self) -> dict[str, Any]:
        """The method's own settings."""
        return dict(self.__pydantic_extra__ or {})


class Store(Section):
    """[store]: how the teacher's outputs are kept."""

    codec: str = Field(
        "dense", description='Of the logits: "dense", "topk:32" (32 classes and the tail), "sampled:50" (50 drawn).'
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float16", description="Precision of what is stored.")
    block_rows: Positive = Field(1024, description="Rows written and committed together.")
    dir: Path | None = Field(None, description="A folder of answers that several runs share; default: the run's own.")
    teacher_precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="Arithmetic of a neural teacher; bf16-mixed is refused where it would move the gradient."
    )


class Controls(Section):
    """[controls]: further students trained for comparison; `NAME = false` leaves out any the verdict does not need."""

    model_config = ConfigDict(extra="allow", frozen=True, validate_default=True)

    all_labels: bool = Field(True, description="The same student trained on every training label that exists.")
    from_scratch: bool = Field(
        False,
        description="Where the student has given or derived weights: also from random ones, with and without teacher.",
    )
    same_teacher: bool = Field(False, description="Also distil from a teacher trained on the student's own labels.")
    label_smoothing: Fraction = Field(
        0.0, description="Smoothing of a second labels-only student, the teacher-free control; 0: none."
    )

    @model_validator(mode="after")
    def _only_switches(self) -> Controls:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if value is not False and value is not True:
                raise ValueError(f"{name} = {value!r}: a control is switched off by `{name} = false`")
        return self

    @property
    def switches(self) -> dict[str, bool]:
        """The controls that are switched on or off by their names."""
        return dict(self.__pydantic_extra__ or {})


class Evaluation(Section):
    """[evaluation]: how it is judged."""

    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="Of every interval.")
    margin: float = Field(0.01, gt=0.0, lt=1.0, description='m of the verdict non_inferior ("no worse within m").')
    resamples: Positive = Field(4000, description="Bootstrap resamples.")
    measure: str | None = Field(
        None,
        description="What the headline is about, such as balanced_accuracy or sensitivity:CLASS@0.95; default: the "
        "task's.",
    )
    groups: list[str] = Field([], description="Columns of a table whose groups are judged one by one; may be in drop.")


class Output(Section):
    """[output]: where the run folder goes."""

    dir: Path = Field(Path("runs/run"), description="The run folder; the same command again resumes it.")
