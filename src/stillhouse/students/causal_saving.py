"""Causal students as folders that transformers opens: config.json, model.safetensors and the tokenizer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import DamagedError, UsageError
from stillhouse.files import write_atomic
from stillhouse.students.causal import CausalStudent, forget_file
from stillhouse.students.causal_tokens import renumbered
from stillhouse.windows import CausalWindows

TABLE = "teacher_ids.safetensors"  # the student's id of each of the teacher's ids, where they differ


def save_causal(student: CausalWindows, folder: Path, tokenizer: Any = None) -> list[Path]:
    """Write a student as ``save_pretrained`` does; ``AutoModelForCausalLM`` opens it, with the same logits.

    Where the vocabulary was cut, the tokenizer in the folder gives the student's own ids (see
    ``causal_tokens.renumbered``), and ``teacher_ids.safetensors`` translates those of the teacher.

    Args:
        student: with a model of transformers.
        folder: is made; files in it that have the same names are replaced, whole or not at all.
        tokenizer: the teacher's fast tokenizer of transformers; None writes none.

    Returns:
        The files.

    Raises:
        UsageError: the tokenizer is not a fast one.
    """
    from safetensors.torch import save

    model: Any = student.model
    table: Tensor | None = getattr(student, "table", None)
    forget_file(model)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        if tokenizer is not None:
            student_tokenizer(tokenizer, table).save_pretrained(scratch)
        files = {path.name: path for path in sorted(Path(scratch).iterdir())}
        for name, path in files.items():
            write_atomic(folder / name, path.read_bytes())
    written = [folder / name for name in files]
    if table is not None:
        write_atomic(folder / TABLE, save({"table": table.cpu().contiguous()}))
        written.append(folder / TABLE)
    return written


def load_causal(folder: Path, *, dtype: torch.dtype = torch.float32) -> CausalStudent:
    """Read a student that ``save_causal`` wrote, or any causal model that transformers saved; in eval mode.

    Raises:
        DamagedError: the folder's files do not make a model.
    """
    from safetensors.torch import load
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    try:
        model, found = auto.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        table = load((folder / TABLE).read_bytes())["table"] if (folder / TABLE).exists() else None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DamagedError(
            f"{folder} cannot be read as a causal model: {str(error).splitlines()[0]} Run the recipe again."
        ) from error
    if found["missing_keys"] or found["mismatched_keys"]:
        first = next(iter([*found["missing_keys"], *found["mismatched_keys"]]))
        raise DamagedError(f"{folder}: the weights lack {first}, so it would be random. Run the recipe again.")
    made: nn.Module = model.eval()
    return CausalStudent(made, table)


def student_tokenizer(tokenizer: Any, table: Tensor | None) -> Any:
    """The teacher's tokenizer in a student's ids; itself where they are the same.

    Args:
        tokenizer: a fast tokenizer of transformers.
        table: int64 (V,), or None.

    Raises:
        UsageError: not a fast one.
    """
    if table is None:
        return tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(
            f"{type(tokenizer).__name__} is no fast tokenizer, so its ids cannot be changed. Save the teacher's "
            "tokenizer as tokenizer.json: `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`."
        )
    return with_backend(tokenizer, renumbered(backend.to_str(), table.cpu()))


def with_backend(tokenizer: Any, tokenizer_json: str) -> Any:
    """A fast tokenizer of transformers with another tokenizer.json; special tokens and chat template stay."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    fast: Any = PreTrainedTokenizerFast
    named = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    made = fast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json),
        padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=False,
        **named,
    )
    made.chat_template = tokenizer.chat_template
    return made
