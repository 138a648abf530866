"""The tables of a recipe, as typed fields: each class is one table, each field one key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from stillhouse.errors import UsageError
from stillhouse.folders import check_name, lines
from stillhouse.recipe.base import Address, Fraction, Positive, Section
from stillhouse.recipe.training import Training

AUTO = "auto"  # in place of a student's name: a tournament chooses it
VIEWS = 8  # of each row, by default, where there is a policy
Labels = Annotated[int, Field(ge=1)] | Literal["all"]
ColumnType = Literal[
    "numeric", "decimal_point", "decimal_comma", "categorical", "date", "day_first", "month_first", "duration"
]


def _as_name(value: Any) -> Any:
    """A label as text: 3 and 3.0 are "3", true is "True"."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, bool | int | float) else value


def _as_list(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


Name = Annotated[str, BeforeValidator(_as_name)]
Setting = bool | int | float | str | list[int] | list[float] | list[str]


def _known_view(name: str) -> str:
    if name.startswith("python:"):
        return name
    try:
        return check_name("data/views", name, "[views] policy", extra=("none",))
    except UsageError as error:
        raise ValueError(str(error)) from None


class TaskSection(Section):
    """[task]: what the nets answer."""

    name: str = Field(
        "classification", description="classification, multilabel, regression, embedding or language_modelling."
    )


class Data(Section):
    """[data]: the rows, their labels, and which rows are for what. Give one of name, path, arrays, images and text."""

    name: str | None = Field(None, description="A named set: mnist5k, digits, breast_cancer, diabetes.")
    path: Path | None = Field(None, description="A table: .csv, .tsv, .jsonl, .parquet, or a folder of `datasets`.")
    arrays: Path | None = Field(None, description="An .npz file with x (N, ...) and y, or a folder of x.npy and y.npy.")
    images: Path | None = Field(
        None, description="A folder of images with a subfolder for each class; `unlabelled` has rows without label."
    )
    text: Path | None = Field(None, description="Texts: .csv, .tsv, .jsonl or .parquet with a column of text.")
    corpus: Path | None = Field(
        None,
        description="Texts for language models: .txt, .jsonl, .parquet, a folder of them, or one saved by `datasets`; "
        "a folder or file called test is the test.",
    )
    chat: Path | None = Field(None, description="Dialogues for language models: .jsonl with `messages` in each line.")
    context: int | None = Field(None, ge=8, description="Tokens of a window of a language model; default: 512.")
    packing: Literal["documents", "stream"] = Field(
        "documents", description="Whether documents in one window are blind to each other, or one stream of tokens."
    )
    loss_on: Literal["assistant", "all"] = Field(
        "assistant", description="Of dialogues, what is learned: the assistant's turns with their end, or everything."
    )
    column: str | None = Field(None, description="The column of the text; default: found by its content.")
    target: str | list[str] | None = Field(
        None, description="Column of the label, by name or number, or a list; an empty cell is a row without label."
    )
    header: bool | None = Field(None, description="Whether a CSV's first line has the names; default: by its content.")
    drop: list[str] = Field([], description="Columns of a table that are not inputs (identifiers).")
    types: dict[str, ColumnType] = Field(
        {},
        description="Column types, where those that were found are wrong: numeric (decimal_point, decimal_comma), "
        "categorical, date (day_first, month_first) or duration.",
    )
    classes: Annotated[list[Name] | None, BeforeValidator(_as_list)] = Field(
        None, description="All class names in order; default: the sorted labels found."
    )
    no_label: Name | None = Field(None, description="A label that means none, such as -1; an empty cell always does.")
    tokens: int = Field(
        128, ge=4, description="Tokens of a text that the teacher reads; the rest is cut. See [student] tokens."
    )
    vocabulary: int = Field(8192, ge=64, description="Size of the vocabulary of a tokenizer trained on the texts.")
    tokenizer: Path | None = Field(
        None, description="A tokenizer.json; default: a hub teacher's, else one trained; needed by a served model."
    )
    on_disk: bool = Field(False, description="Keep rows in files of the run folder: for data larger than memory.")
    labels: Labels = Field("all", description='Training rows that keep their label for the student, or "all".')
    rows: int | None = Field(None, ge=0, description="Real training rows for the student; default: all; 0: none.")
    valid: Fraction = Field(0.1, description="Share of the training rows used for validation; 0: none.")
    test: Fraction = Field(0.2, description="Share of the rows for the final test; named sets have their own.")
    group: str | None = Field(None, description="Column whose rows stay in one part of the split: a patient, a site.")
    order: str | None = Field(None, description="Column of time: the last rows are the test, those before validation.")
    weight: str | None = Field(None, description="Column of numbers: how much each row counts in training.")
    seed: int = Field(0, description="Seed of the splits and of the choice of labelled rows.")


class Views(Section):
    """[views]: augmented views of each row, drawn from (row, view, seed), so that both nets see the same."""

    policy: Annotated[str, AfterValidator(_known_view)] = Field(
        "none",
        description=f"none, or {'; '.join(f'{name}: {line}' for name, line in lines('data/views').items())}; or "
        "`python:package.module:function`, your own, called as function(row, generator).",
    )
    model: Path | None = Field(
        None,
        description="masked: folder of a masked language model that proposes other words; default: the nearest words "
        "by a hub teacher's embeddings.",
    )
    count: Positive | None = Field(
        None, description=f"Views a row, including the row itself; default: {VIEWS} with a policy, 1 without."
    )
    strength: float | None = Field(
        None, ge=0.0, description="Size of the change; its unit and default depend on the policy."
    )
    keeps_label: bool | None = Field(
        None, description="Whether a view of your own function keeps the label of its row; default: it does."
    )


class Net(Section):
    """The settings shared by [teacher] and [student]: a name from the zoo and its sizes."""

    name: str | None = Field(None, description="A name from the zoo.")
    settings: dict[str, Setting] = Field({}, description="Sizes and options of the named model; see nets.md.")


class Endpoint(Section):
    """[teacher.endpoint]: a service with OpenAI's interface, which classifies texts or scores their tokens."""

    url: str | None = Field(None, description="Its address up to /v1; without it no service is asked.")
    model: str = Field("", description="The model's name there.")
    prompt: Path | None = Field(
        None,
        description="A text file, in any language, with {labels} where the classes go and {text} where the text goes; "
        "{ids} and {examples} are for the ids of the classes and for examples.",
    )
    descriptions: dict[str, str] = Field({}, description="What belongs to a class, by its name, for the prompt.")
    examples: dict[str, list[str]] = Field({}, description="Texts of a class, by its name, for the prompt.")
    constraint: Literal["json", "none"] = Field(
        "json", description="How answers are limited to the classes: by a JSON schema, or by the prompt alone."
    )
    answer_tokens: Positive = Field(
        16, description="Tokens of an answer; a model that writes its reasoning needs more."
    )
    extra: dict[str, Setting] = Field(
        {}, description='Further fields of the request; an empty text removes one, such as `max_tokens = ""`.'
    )
    allow_http: bool = Field(False, description="Send texts and key over plain http to another machine.")
    api_key_env: str = Field("OPENAI_API_KEY", description="Environment variable of the key; never written to a file.")
    concurrency: Positive = Field(4, description="Questions at once.")
    samples: Positive = Field(5, description="Answers a text if the service gives no log-probabilities.")
    max_calls: Positive | None = Field(
        None, description="Most answers, with those of earlier calls of this command; then it stops and can be resumed."
    )
    max_cost: float | None = Field(None, gt=0.0, description="Highest price; then it stops and can be resumed.")
    price_in: float = Field(0.0, ge=0.0, description="Price of a million input tokens.")
    price_out: float = Field(0.0, ge=0.0, description="Price of a million output tokens.")


class Member(Net):
    """[[teacher.member]]: one of several teachers whose answers are combined."""

    name: str | None = Field(
        None, description="A name from the zoo, a scikit-learn teacher, or tfidf_linear: of whole texts."
    )
    file: Path | None = Field(None, description="A ready teacher, as [teacher] file.")
    hub: str | None = Field(None, description="As [teacher] hub.")
    tune: Literal["none", "probe", "full", "lora"] = Field("none", description="As [teacher] tune.")
    outputs: Literal["probabilities", "log_probabilities", "logits"] | None = Field(
        None, description="What a teacher that comes trained answers; default: its first answers decide."
    )
    folds: int | None = Field(
        None,
        ge=2,
        description="Models, each trained without one fold, for which it answers; default: 5 of scikit-learn, no nets.",
    )
    training: Training = Field(Training(), description="Its own budget.")


class TeacherSection(Member):
    """[teacher]: the model whose outputs the student matches."""

    name: str | None = Field(
        None,
        description="A net of the zoo, a scikit-learn model, tfidf_linear (it reads whole texts), `timm:NAME` or "
        "`python:package.module:function`.",
    )
    file: Path | None = Field(
        None,
        description="A ready teacher: .safetensors (weights of the named net), .onnx, .skops, LightGBM's .txt, "
        "XGBoost's .json or .ubj, CatBoost's .cbm.",
    )
    hub: str | None = Field(None, description="A Hugging Face model: a local folder, or a name in the local cache.")
    revision: str | None = Field(None, description="Commit of the hub model.")
    gguf: Path | None = Field(
        None, description="A language model in a .gguf file; beside `hub`, the name of such a file in its folder."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Numbers in which a language model computes; bfloat16 is refused if answers change."
    )
    tune: Literal["none", "probe", "full", "lora"] = Field(
        "none", description="How a hub model is trained on these classes; none: it has them already."
    )
    endpoint: Endpoint = Endpoint()
    member: list[Member] = Field([], description="Several teachers, whose answers are combined.")
    combine: Literal["mean", "log_mean", "confidence"] = Field(
        "mean", description="Mean of the members' probabilities, of their logarithms, or by confidence (CA-MKD)."
    )
    calls: Positive | None = Field(None, description="Most answers, rows times views; default: every row and view.")
    ask: Literal["random", "uncertainty", "entropy", "coreset"] = Field(
        "random", description="How rows are chosen if calls do not reach all; labelled rows are always chosen."
    )
    labels: Labels | Literal["same"] = Field("same", description='Labels it sees: "same" as the student, "all", or N.')
    accept_drift: bool = Field(
        False,
        description="Use the answers of a service also where it changes its model or fingerprint while it is asked; "
        "such rows are marked.",
    )
    calibrate: Literal["temperature", "none"] = Field(
        "temperature",
        description="Before its answers teach, its confidence is fitted by one temperature to labelled rows that it "
        "has not seen: validation rows, and training rows that are answered out of fold.",
    )
    generations: Positive = Field(
        1, description="Number of students in sequence, each the teacher of the next (born again); the last one counts."
    )


class Assistant(Net):
    """[[assistant]]: a net between teacher and student: the student of the net before, the teacher of the next."""

    name: str = Field(description="A name from the zoo.")
    training: Training | None = Field(None, description="Its own budget; default: the student's.")


class Derive(Section):
    """[student.derive]: a student that is a part of its teacher, with the teacher's weights."""

    layers: Positive | list[int] | None = Field(None, description="Layers kept: how many, or which.")
    choose: Literal["alternate", "first", "last", "importance"] = Field("alternate", description="Which are kept.")
    width: float | None = Field(None, gt=0.0, le=1.0, description="Share of the hidden units kept.")
    heads: Positive | None = Field(None, description="Attention heads kept in each layer.")
    feedforward: float | None = Field(None, gt=0.0, le=1.0, description="Share of the feed-forward units kept.")
    embedding_rank: Positive | None = Field(None, description="Rank of a factorised token embedding.")
    vocabulary: Positive | None = Field(
        None, description="Of a language model, the most frequent tokens kept; one more class stands for the others."
    )

    @property
    def wanted(self) -> bool:
        """Whether anything is to be derived."""
        return any((self.layers, self.width, self.heads, self.feedforward, self.embedding_rank, self.vocabulary))


class Limits(Section):
    """[student.budget]: limits of the student, measured here: the largest of a family, or what auto and tune choose."""

    parameters: Positive | None = Field(None, description="Most parameters.")
    bytes: Positive | None = Field(None, description="Most bytes of its weights.")
    latency_ms: float | None = Field(None, gt=0.0, description="Most milliseconds for one row, on one core here.")

    @property
    def wanted(self) -> bool:
        """Whether there is a limit."""
        return any((self.parameters, self.bytes, self.latency_ms))


class StudentSection(Net):
    """[student]: the small model that is trained."""

    name: str | None = Field(
        None,
        description="A net, a fitted student, `python:package.module:function`, or auto: a tournament chooses one "
        "within [student.budget]; default: a small net for the data.",
    )
    tokens: int | None = Field(
        None,
        ge=4,
        description="Tokens of a text that students read; default: the whole text, up to 512, for those that add words "
        "up (static_embedding, bag_hashed, tfidf_linear), else as many as the teacher.",
    )
    family: str | None = Field(None, description="For [student.budget]: the largest that fits is used: cnn, mlp ...")
    start: Path | None = Field(None, description="Weights (.safetensors) with which every student starts.")
    calibrate: Literal["temperature", "none"] = Field(
        "temperature",
        description="Every student and rival ships with its confidence fitted by one temperature to the validation "
        "rows with a label, where there are 30 of them; the temperature is part of the weights.",
    )
    derive: Derive = Derive()
    budget: Limits = Limits()


class MethodEntry(BaseModel):
    """[[method]]: what the student matches; further keys are the method's own settings."""

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
        "dense",
        description='Of the logits: "dense", "topk:32" (32 classes and the tail), "sampled:50" (50 drawn); of tokens '
        'also "shaped:31" (31 classes, and where the tails of a window lie) and "hidden" (the last hidden states).',
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float16", description="Precision of what is stored.")
    block_rows: Positive = Field(1024, description="Rows of a block, which is written at once.")
    part_bytes: Positive | None = Field(
        None, description="Bytes of a part of a store in parts, about; such a store is labelled by several processes."
    )
    dir: Address | None = Field(
        None,
        description="A folder of answers, a service's too, or a bucket, s3://bucket/prefix, that several runs share; "
        "default: the run's own.",
    )
    cache: Path | None = Field(None, description="Where the local copy of a bucket lies; default: in the run folder.")
    teacher_precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="Arithmetic of a neural teacher; bf16-mixed is refused if it changes the gradient."
    )


class Controls(Section):
    """[controls]: students trained for comparison; `NAME = false` removes any that the verdict does not need."""

    model_config = ConfigDict(extra="allow", frozen=True, validate_default=True)

    self_trained: bool = Field(
        True, description="The same student trained without a teacher on labels and its own answers to the other rows."
    )
    simple: bool = Field(
        True, description="The best of a few cheap models on the labels, and again on the teacher's answers."
    )
    all_labels: bool = Field(True, description="The same student trained on every training label that exists.")
    from_scratch: bool = Field(
        False, description="Also start a student with given or derived weights from random ones."
    )
    same_teacher: bool = Field(False, description="Also distil from a teacher trained on the student's own labels.")
    label_smoothing: Fraction = Field(0.0, description="Smoothing of a second labels-only student; 0: none.")

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
    """[evaluation]: how the run is judged."""

    confidence: float = Field(0.95, gt=0.5, lt=1.0, description="Confidence of every interval.")
    margin: float = Field(0.01, gt=0.0, lt=1.0, description='m of the verdict non_inferior ("no worse within m").')
    resamples: Positive = Field(4000, description="Bootstrap resamples.")
    measure: str | None = Field(
        None,
        description="Measure of the headline, such as macro_f1 or sensitivity:CLASS@0.95; default: the task's.",
    )
    groups: list[str] = Field([], description="Columns whose groups are judged one by one; may be in drop.")
    max_duplicates: float | None = Field(
        None, ge=0.0, le=1.0, description="Share of test rows that may have the same inputs as a training row."
    )


class Output(Section):
    """[output]: the place of the run folder."""

    dir: Path = Field(Path("runs/run"), description="The run folder; the same command again resumes it.")
