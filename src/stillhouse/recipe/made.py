"""The table of rows that are made: ``[[made]]``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from stillhouse.errors import UsageError
from stillhouse.folders import check_name
from stillhouse.recipe.base import Positive


def _known_maker(name: str) -> str:
    try:
        return check_name("makers", name, "[[made]] name")
    except UsageError as error:
        raise ValueError(str(error)) from None


class MadeEntry(BaseModel):
    """[[made]]: training rows that are made, not read; further keys are the maker's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, AfterValidator(_known_maker)] = Field(description="A name that `stillhouse makers` lists.")
    count: Positive = Field(description="Rows that are made.")
    share: float | None = Field(
        None, gt=0.0, le=1.0, description="Share of each batch; default: as many as these are among all rows."
    )
    rounds: Positive = Field(1, description="Of a trained maker: rounds against a student that is trained anew.")
    drop_alarmed: bool = Field(False, description="Leave out the rows of a round with an alarm, in place of a warning.")

    @property
    def settings(self) -> dict[str, Any]:
        """The maker's own settings."""
        return dict(self.__pydantic_extra__ or {})
