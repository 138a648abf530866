"""From [views] to the views of a run, with all that their policy needs to know of the data."""

from __future__ import annotations

from typing import Any

from stillhouse.data import Prepared, Views
from stillhouse.data.views.base import FOLDER, NONE, get
from stillhouse.errors import UsageError
from stillhouse.folders import lines
from stillhouse.pipeline.masked_lm_views import Guesses, check_model
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.teacher.build import token_embedding
from stillhouse.recipe import VIEWS, Recipe
from stillhouse.recipe import Views as ViewsTable

NEIGHBOURS = 8  # of each word or place, among which the view "masked" draws


def check_views(wanted: ViewsTable) -> None:
    """Refuse a policy that makes no views, and settings of views that no policy makes.

    Raises:
        UsageError: names the line and the cure.
    """
    given = wanted.model_fields_set
    if "policy" not in given:  # one of "none" that is written switches views off, whatever else is there
        idle = [key for key in ("count", "strength", "model") if key in given and getattr(wanted, key) not in (None, 1)]
        if idle:
            known = ", ".join(lines(FOLDER))
            raise UsageError(
                f"[views] {idle[0]} changes no row without a policy. Name one (`policy = ...`: {known}) or remove it."
            )
    if wanted.policy != NONE and wanted.count == 1:
        raise UsageError(
            f'[views] count = 1 is the row itself, so policy = "{wanted.policy}" would change no row. Write `count = '
            f'{VIEWS}`, remove that line, or write `policy = "none"`.'
        )


def make_views(recipe: Recipe, prepared: Prepared) -> Views:
    """The views of a run; what the recipe leaves open is fitted to the rows, with a line."""
    wanted, encoder = recipe.views, prepared.encoder
    check_model(wanted.policy, wanted.model, encoder)
    if wanted.policy == NONE:
        return Views(NONE, 1, 0.0, recipe.data.seed)
    policy, row = get(wanted.policy), prepared.train.inputs[:1]
    policy.check_inputs(row)
    strength = policy.strength(row.shape[1:]) if wanted.strength is None else wanted.strength
    made = Views(
        wanted.policy,
        wanted.count or VIEWS,
        strength,
        recipe.data.seed,
        fill=encoder.fill,
        columns=encoder.noise_columns,
        pool=prepared.train.inputs,
        column_groups=encoder.column_groups,
        mask_id=encoder.mask_id,
        special_ids=encoder.special_ids,
        **words_of(recipe, prepared),
    )
    if None in (wanted.count, wanted.strength):
        say(
            f"Views: {made.count} a row, the row itself and {made.count - 1} by {made.policy!r} of strength "
            f"{made.strength:g}; the teacher answers each. [views] count and strength change that."
        )
    return made


def words_of(recipe: Recipe, prepared: Prepared) -> dict[str, Any]:
    """What the policy "masked" draws its words from; empty for others."""
    wanted, encoder = recipe.views, prepared.encoder
    if wanted.policy != "masked":
        return {}
    if wanted.model is not None:
        return {"guesser": Guesses(wanted.model, encoder, NEIGHBOURS, recipe.output.dir)}
    from stillhouse.data.views.masked import token_neighbours

    tokens = token_embedding(recipe.teacher)  # the words near each word, by those of a hub teacher
    return {"neighbours": token_neighbours(tokens, NEIGHBOURS, special_ids=encoder.special_ids)}
