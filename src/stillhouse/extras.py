"""Libraries that only some runs need. An extra of this package installs each of them."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from stillhouse.errors import UsageError

EXTRAS = {  # by package, the extra that installs it
    "accelerate": "language",
    "captum": "explain",
    "catboost": "trees",
    "gguf": "language",
    "httpx": "endpoint",
    "huggingface_hub": "hub",
    "lightgbm": "trees",
    "mlxtend": "demo",
    "obstore": "s3",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "optuna": "tune",
    "peft": "lora",
    "ray": "ray",
    "skops": "trees",
    "timm": "timm",
    "transformers": "hub",
    "xgboost": "trees",
}


def is_installed(package: str) -> bool:
    """Whether a library is here; it is not imported."""
    return find_spec(package) is not None


def library(module: str, user: str) -> Any:
    """A module of such a library, imported.

    Args:
        module: its name, such as "captum.attr".
        user: what needs it, as the beginning of a sentence: "A tournament".

    Raises:
        UsageError: the library cannot be imported; the error names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(module.partition(".")[0], user, error) from error


def missing(package: str, user: str, error: ImportError | None = None) -> UsageError:
    """The error for a library that is not installed, or cannot be imported.

    >>> str(missing("optuna", "A tournament"))
    "A tournament needs the package optuna, which is not installed. Run `pip install 'stillhouse[tune]'`."
    """
    installed = error is not None and is_installed(package)
    state = f"which cannot be imported ({error})" if installed else "which is not installed"
    return UsageError(
        f"{user} needs the package {package}, {state}. Run `pip install 'stillhouse[{EXTRAS[package]}]'`."
    )
