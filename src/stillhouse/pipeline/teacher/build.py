"""A teacher that comes ready: from Python, a file, a hub folder or a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import Tensor, nn

from stillhouse.data import Source, TextOptions
from stillhouse.errors import UsageError
from stillhouse.files import read_small
from stillhouse.methods.base import Method
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.teacher.served import journal_of, served_model
from stillhouse.recipe import Data, Member, Recipe, TeacherSection
from stillhouse.taps import EMBEDDING
from stillhouse.task import Task
from stillhouse.teachers import SKLEARN_NAMES, ModuleTeacher, taking_float32
from stillhouse.teachers.identity import given_identity
from stillhouse.types import Teacher

if TYPE_CHECKING:
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

NET_FILE = ".safetensors"
SERVICE = "service"  # the key in run.json of what it told and cost
TEXT_MODELS = ("tfidf_linear",)  # students that are fitted at once, which may teach too: they read whole texts
Kind = Literal["object", "members", "service", "hub", "file", "fitted here", "net"]


def kind_of(section: Member, given: Any = None) -> Kind:
    """Where this teacher comes from; a section that names two sources is a UsageError."""
    if isinstance(given, list | tuple) and not given:
        raise UsageError("teacher = [] holds no teacher. Give at least one.")
    if given is not None:
        return "members" if isinstance(given, list | tuple) else "object"
    ways: dict[Kind, bool] = {"hub": section.hub is not None or getattr(section, "gguf", None) is not None}
    if isinstance(section, TeacherSection):
        ways |= {"members": bool(section.member), "service": section.endpoint.url is not None}
    ways["file"] = section.file is not None
    chosen = [way for way, taken in ways.items() if taken]
    if len(chosen) > 1:
        raise UsageError(f"[teacher] names {' and '.join(chosen)} at once. Keep one of them.")
    if chosen == ["hub"] and section.tune != "none":
        return "net"
    if chosen:
        return chosen[0]
    return "fitted here" if section.name in (*SKLEARN_NAMES, *TEXT_MODELS) else "net"


def ready(section: Member, given: Any) -> bool:
    """Whether it comes trained, so that nothing of it is trained here."""
    return kind_of(section, given) in ("object", "service", "hub", "file")


def reads_cells(section: TeacherSection, given: Any) -> bool:
    """Whether a teacher takes rows of a table as the user has them, not tensors."""
    if isinstance(given, list | tuple):
        return any(reads_cells(section, one) for one in given)
    if given is not None:
        return not isinstance(given, nn.Module)
    files = [one.file for one in (section, *section.member)]
    return any(file is not None and file.suffix != NET_FILE for file in files)


def check_teacher(section: TeacherSection, given: Any, task: Task, *, same_teacher: bool) -> None:
    """Refuse settings of [teacher] that this kind of teacher does not have; see ``check_folds``, ``check_outputs``."""
    check_folds(section, given, same_teacher=same_teacher)
    check_outputs(section, given, task)


def check_folds(section: TeacherSection, given: Any, *, same_teacher: bool) -> None:
    """Refuse folds of a teacher that is not trained here; ``same_teacher``: [teacher] also describes a second one.

    Raises:
        UsageError: says where the folds stand, and what to do.
    """
    if section.folds is not None and kind_of(section, given) == "members":
        raise UsageError(
            f"[teacher] folds = {section.folds} is set beside several teachers, and each has its own. Move it "
            "into each [[teacher.member]] that is trained here."
        )
    told: list[tuple[str, Member, Any]] = [("[[teacher.member]]", member, None) for member in section.member]
    told += [] if same_teacher else [("[teacher]", section, given)]
    for where, one, its in told:
        if one.folds is not None and ready(one, its):
            raise UsageError(
                f"{where} folds = {one.folds} leaves rows out of the training, but this teacher comes trained, and "
                "which rows it has seen is not known. Remove folds, or name a teacher that is trained here."
            )


def check_outputs(section: TeacherSection, given: Any, task: Task) -> None:
    """Refuse [teacher] outputs that the task does not have, or of a teacher that is trained here."""
    for one, its in [(section, given), *((member, None) for member in section.member)]:
        if one.outputs is None:
            continue
        if one.outputs not in task.teachers.kinds:
            known = f"Write one of {', '.join(task.teachers.kinds)}." if task.teachers.kinds else "Remove it."
            raise UsageError(f"[teacher] outputs = {one.outputs!r}: the task {task.name} has no such outputs. {known}")
        if not (ready(one, its) or isinstance(its, list | tuple)):
            why = "is trained here"
        elif kind_of(one, its) == "service":
            why = "is a service, which names classes"
        elif its is None and one.file is not None and one.file.suffix == NET_FILE:
            why = "is a net of this package, which is known"
        else:
            continue
        raise UsageError(
            f"[teacher] outputs = {one.outputs!r} says what your own model answers; this one {why}. Remove it."
        )


def check_unlabelled(
    recipe: Recipe, given: Any, methods: Sequence[tuple[str, Method, float]], source: Source, task: Task
) -> None:
    """Refuse what needs labels, where the data have none.

    Raises:
        UsageError: a teacher, a method, a control or a setting needs labels.
    """
    if source.known.any() or not task.supervised:
        return
    section, why = recipe.teacher, "the data have no labels"
    if kind_of(section, given) == "members":
        trained = [one for one in section.member if not ready(one, None)] if given is None else []
    else:
        trained = [] if ready(section, given) else [section]
    if trained:
        raise UsageError(
            f"[teacher] would be trained here, but {why}. Name a teacher that is ready (`[teacher.endpoint] url`, "
            "`[teacher] file` or `hub`, or one from Python); or name the column of the labels in [data] target."
        )
    taught = [name for name, method, _ in methods if "targets" in method.needs]
    if taught:
        raise UsageError(f'[[method]] {taught[0]!r} uses labels, but {why}. Write `[[method]] name = "hinton"`.')
    settings = {
        "[controls] same_teacher = true": recipe.controls.same_teacher,
        '[training] keep = "best"': recipe.training.keep == "best",
        '[teacher] combine = "confidence"': section.combine == "confidence" and kind_of(section, given) == "members",
        f'[teacher] ask = "{section.ask}"': section.calls is not None and section.ask in ("uncertainty", "entropy"),
    }
    if wrong := [line for line, stands in settings.items() if stands]:
        raise UsageError(f"{wrong[0]} needs labels, but {why}. Remove the line.")


def build_teacher(context: RunContext, section: Member, given: Any, layers: Sequence[str]) -> Teacher:
    """A ready teacher.

    Args:
        context: of the run.
        section: of the recipe.
        given: from Python, or None.
        layers: tap paths, of nets.
    """
    task, spec, decode = context.task, context.spec, context.decode
    kind, precision = kind_of(section, given), context.recipe.store.teacher_precision
    outputs: str | None = section.outputs
    if kind == "hub" and (own := task.ready_teacher(section, spec, context.data, context.device)) is not None:
        return cast(Teacher, own)
    if kind == "hub":
        net = whole_length(hub_net(section, task, spec.names), layers)
        return ModuleTeacher(net, task, spec, layers, precision, kind=outputs or own_kind(task), device=context.device)
    if isinstance(given, nn.Module):
        known = given_identity(given)
        net = taking_float32(given, context.data.train.inputs)
        return ModuleTeacher(net, task, spec, layers, precision, kind=outputs, identity=known, device=context.device)
    if kind == "service":
        return served_model(context) if task.streamed else service(context)
    if kind == "file":
        from stillhouse.teachers.fitted.files import load_fitted

        return load_fitted(cast(Path, section.file), task, spec, decode=decode, kind=outputs)
    if callable(getattr(given, "outputs", None)) and callable(getattr(given, "fingerprint", None)):
        return cast(Teacher, given)
    from stillhouse.teachers.crossfit import FittedFolds
    from stillhouse.teachers.fitted.objects import from_object

    if isinstance(given, FittedFolds):
        return given.teacher(lambda model: from_object(model, task, spec, decode=decode, kind=outputs))
    probe = context.data.source.shown(context.data.split.train[:4])  # its answers distinguish functions from each other
    return from_object(given, task, spec, decode=decode, kind=outputs, probe=probe)


def own_kind(task: Task) -> str | None:
    """What nets that are made here answer."""
    return "logits" if "logits" in task.teachers.kinds else None


def whole_length(net: nn.Module, layers: Sequence[str]) -> nn.Module:
    """The net; where layers are tapped, it keeps padding, so that the shape of what is stored follows no batch."""
    if set(layers) - {EMBEDDING} and hasattr(net, "trim"):
        cast(Any, net).trim = False
    return net


def hub_net(section: Member, task: Task, names: Sequence[str], seed: int = 0) -> nn.Module:
    """A hub model as a net from token ids to outputs; with a fresh head where it is to be tuned."""
    from stillhouse.teachers.hub.models import open_hub

    found = open_hub(str(section.hub), revision=getattr(section, "revision", None))
    net: nn.Module = task.teachers.hub_net(found, names, section.tune, seed)
    return net


def service(context: RunContext) -> EndpointTeacher:
    """The service of [teacher.endpoint], which classifies texts; its answers are kept in the run folder."""
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

    section = context.recipe.teacher.endpoint
    kept = context.run.record.get(SERVICE, {}) if context.run else {}  # a recipe is checked before there is a folder
    return EndpointTeacher(
        str(section.url),
        section.model,
        context.spec.names,
        journal=journal_of(context),
        prompt=None if section.prompt is None else read_prompt(section.prompt),
        descriptions=section.descriptions,
        examples=examples_of(section.examples),
        constraint=section.constraint,
        answer_tokens=section.answer_tokens,
        extra={key: None if value == "" else value for key, value in section.extra.items()},
        allow_http=section.allow_http,
        api_key_env=section.api_key_env or None,
        concurrency=section.concurrency,
        samples=section.samples,
        accept_drift=context.recipe.teacher.accept_drift or bool(kept.get("drifted")),
        max_calls=section.max_calls,
        max_cost=section.max_cost,
        price_in=section.price_in or None,
        price_out=section.price_out or None,
        decode=context.data.encoder.decode,
    )


def read_prompt(path: Path) -> str:
    """The text of [teacher.endpoint] prompt."""
    try:
        return read_small(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"[teacher.endpoint] prompt = {str(path)!r} cannot be read: {error}. Give a text file in UTF-8, with "
            "{labels} and {text} where these go."
        ) from None


def examples_of(by_class: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Examples as pairs of text and class, the classes in turn, so that no class is the last for long."""
    longest = max(map(len, by_class.values()), default=0)
    return [(texts[i], name) for i in range(longest) for name, texts in by_class.items() if i < len(texts)]


def text_options(data: Data, teacher: TeacherSection) -> TextOptions | None:
    """How texts are cut: by a given tokenizer, by that of a hub teacher, or by one trained on them."""
    if data.text is None:
        return None
    if data.tokenizer is not None:
        try:
            return TextOptions(data.vocabulary, data.tokens, data.tokenizer.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"[data] tokenizer = {str(data.tokenizer)!r} cannot be read: {error}.") from None
    hubs = [member for member in (teacher, *teacher.member) if member.hub is not None]
    if not hubs:
        return TextOptions(data.vocabulary, data.tokens, None)
    from stillhouse.teachers.hub.models import open_hub

    found = open_hub(str(hubs[0].hub), revision=teacher.revision)
    return TextOptions(data.vocabulary, data.tokens, found.tokenizer_json)


def token_embedding(teacher: TeacherSection) -> Tensor:
    """The token embeddings (V, D) of a hub teacher; its padding must be id 0, as the encoder's is."""
    from stillhouse.teachers.hub.loading import hub_embedder
    from stillhouse.teachers.hub.models import open_hub

    found = open_hub(teacher.hub, revision=teacher.revision) if teacher.hub is not None else None
    if found is None or found.pad != 0:
        raise UsageError(
            '[views] policy = "masked" takes its words from the embeddings of a [teacher] hub whose padding is id 0. '
            'Write `policy = "words"`.'
        )
    encoder: Any = hub_embedder(found).encoder
    table: Tensor = encoder.get_input_embeddings().weight.detach()
    return table
