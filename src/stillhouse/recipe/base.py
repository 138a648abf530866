"""What every table of a recipe is, and the numbers that several of them hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from stillhouse.locations import bucket_of, no_place

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
BUCKET = "s3://"


def _address(value: Any) -> Any:
    if isinstance(value, Path) and value.parts[:1] == ("s3:",):
        raise ValueError(f"a bucket is given as text, not as a path: {BUCKET}bucket/prefix")
    if not isinstance(value, str):
        return value
    if not value.startswith(BUCKET):
        return Path(value)
    bucket_of(value)
    return value


Address = Annotated[str | Path, BeforeValidator(_address)]  # a folder, or a bucket: s3://bucket/prefix


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, values are frozen, defaults are checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _is_place(cls, value: Any) -> Any:
        if isinstance(value, Path) and (why := no_place(value)):
            raise ValueError(why)
        return value
