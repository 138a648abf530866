"""A teacher that comes ready: from Python, a file, a hub folder or a service."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import xxhash
from torch import Tensor, nn

from stillhouse.data import TextOptions
from stillhouse.errors import UsageError
from stillhouse.recipe import Data, Endpoint, Member, TeacherSection
from stillhouse.taps import EMBEDDING
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers import SKLEARN_NAMES, ModuleTeacher
from stillhouse.types import Teacher

NET_FILE = ".safetensors"
JOURNAL = "journal.jsonl"  # what a service has answered, in the run folder
Kind = Literal["object", "members", "service", "hub", "file", "fitted here", "net"]


def kind_of(section: Member, given: Any = None) -> Kind:
    """How this teacher comes about.

    Raises:
        UsageError: two ways at once.
    """
    if isinstance(given, list | tuple) and not given:
        raise UsageError("teacher = [] holds no teacher. Give at least one.")
    if given is not None:
        return "members" if isinstance(given, list | tuple) else "object"
    ways: dict[Kind, bool] = {"hub": section.hub is not None}
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
    return "fitted here" if section.name in SKLEARN_NAMES else "net"


def ready(section: Member, given: Any) -> bool:
    """Whether it comes with what it knows, so that nothing of it is trained here."""
    return kind_of(section, given) in ("object", "service", "hub", "file")


def check_folds(section: TeacherSection, given: Any, *, same_teacher: bool) -> None:
    """Refuse folds where no teacher is trained here that could leave rows out.

    Args:
        section: [teacher].
        given: from Python, or None.
        same_teacher: whether [teacher] also says how a second one is trained.

    Raises:
        UsageError: says where the folds stand, and what to do.
    """
    if section.folds is not None and kind_of(section, given) == "members":
        raise UsageError(
            f"[teacher] folds = {section.folds} is set beside several teachers, and each has its own. Move it "
            "into the [[teacher.member]] that are trained here."
        )
    told: list[tuple[str, Member, Any]] = [("[[teacher.member]]", member, None) for member in section.member]
    told += [] if same_teacher else [("[teacher]", section, given)]
    for where, one, its in told:
        if one.folds is not None and ready(one, its):
            raise UsageError(
                f"{where} folds = {one.folds} leaves rows out of the training, and this teacher comes ready: nobody "
                "here knows which rows it has seen. Remove folds, or name a teacher that is trained here."
            )


def build_teacher(
    section: Member,
    given: Any,
    *,
    task: Task,
    spec: OutputSpec,
    decode: Callable[[Any], Any],
    probe: Any,
    layers: Sequence[str],
    precision: Literal["32-true", "bf16-mixed"],
    folder: Path,
) -> Teacher:
    """A ready teacher.

    Args:
        section: of the recipe.
        given: from Python, or None.
        task: of the run.
        spec: of its output.
        decode: from encoded inputs to raw rows.
        probe: a few raw rows, whose answers tell one function from another.
        layers: tap paths, of nets.
        precision: of nets.
        folder: of the run, for the answers of a service.

    Raises:
        UsageError, RejectedError: as the teachers themselves.
    """
    kind = kind_of(section, given)
    if kind == "object":
        return from_python(given, task, spec, decode, probe, layers, precision)
    if kind == "hub":
        net = whole_length(hub_net(section, task, spec.names), layers)
        return ModuleTeacher(net, task, spec, layers, precision)
    if kind == "service":
        return service(cast(TeacherSection, section).endpoint, spec.names, decode, folder)
    from stillhouse.teachers.fitted.files import load_fitted

    return load_fitted(cast(Path, section.file), task, spec, decode=decode)


def from_python(
    given: Any,
    task: Task,
    spec: OutputSpec,
    decode: Callable[[Any], Any],
    probe: Any,
    layers: Sequence[str],
    precision: Literal["32-true", "bf16-mixed"],
) -> Teacher:
    """A module, a teacher of the protocol, a fitted model or a function."""
    if isinstance(given, nn.Module):
        return ModuleTeacher(given, task, spec, layers, precision)
    if callable(getattr(given, "outputs", None)) and callable(getattr(given, "fingerprint", None)):
        return cast(Teacher, given)
    from stillhouse.teachers.crossfit import FittedFolds
    from stillhouse.teachers.fitted.objects import from_object

    if isinstance(given, FittedFolds):
        return given.teacher(lambda model: from_object(model, task, spec, decode=decode))
    return from_object(given, task, spec, decode=decode, probe=probe)


def whole_length(net: nn.Module, layers: Sequence[str]) -> nn.Module:
    """The net itself; where layers are tapped, made to keep padding: the shape of what is stored follows no batch."""
    if set(layers) - {EMBEDDING} and hasattr(net, "trim"):
        cast(Any, net).trim = False
    return net


def hub_net(section: Member, task: Task, names: Sequence[str], seed: int = 0) -> nn.Module:
    """A hub model as a net from token ids to outputs; with a fresh head where it is to be tuned."""
    from stillhouse.teachers.hub.models import open_hub

    found = open_hub(str(section.hub), revision=getattr(section, "revision", None))
    net: nn.Module = task.teachers.hub_net(found, names, section.tune, seed)
    return net


def service(section: Endpoint, classes: Sequence[str], decode: Callable[[Any], Any], folder: Path) -> Teacher:
    """A service that classifies texts; its answers are kept in the run folder."""
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

    return EndpointTeacher(
        str(section.url),
        section.model,
        classes,
        journal=folder / JOURNAL,
        api_key_env=section.api_key_env or None,
        concurrency=section.concurrency,
        samples=section.samples,
        max_calls=section.max_calls,
        max_cost=section.max_cost,
        price_in=section.price_in or None,
        price_out=section.price_out or None,
        decode=decode,
    )


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
    """The token embeddings (V, D) of a hub teacher.

    Raises:
        UsageError: it is none, or counts padding in another way than the encoder does.
    """
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


def identity(given: Any, task: Task, spec: OutputSpec) -> str:
    """Fingerprint of what came from Python as a teacher, for the identity of the run."""
    if isinstance(given, list | tuple):
        return xxhash.xxh3_64_hexdigest(" ".join(identity(one, task, spec) for one in given).encode())
    if isinstance(given, nn.Module):
        return ModuleTeacher(copy.deepcopy(given), task, spec).fingerprint()
    if callable(getattr(given, "fingerprint", None)):
        return str(given.fingerprint())
    from stillhouse.teachers.identity import identity_of

    return identity_of(given)
