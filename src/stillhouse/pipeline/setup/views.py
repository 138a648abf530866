"""From [views] to the views of a run, with all that their policy needs to know of the data."""

from __future__ import annotations

from typing import Any, NamedTuple

from stillhouse.data import Encoder, Prepared, Views
from stillhouse.data.views.base import FOLDER, NONE, Policy, get
from stillhouse.errors import UsageError
from stillhouse.folders import lines
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.run.user_code import CODE, own_code
from stillhouse.pipeline.setup.masked_lm_views import Guesses, check_model
from stillhouse.pipeline.setup.own_views import Change, own_policy, try_views
from stillhouse.pipeline.teacher.build import token_embedding
from stillhouse.recipe import VIEWS, Recipe
from stillhouse.recipe import Views as ViewsTable
from stillhouse.teachers.identity import given_identity, identity_of

NEIGHBOURS = 8  # of each word or place, among which the view "masked" draws


class Own(NamedTuple):
    """A function of the user's that makes views."""

    change: Change
    identity: str


def own_view(recipe: Recipe, given: Given) -> Own | None:
    """The user's function, from Python or named in the recipe; None where the policy is one of ours.

    Raises:
        UsageError: the user did not allow code, or it cannot be imported.
    """
    if given.views is not None:
        return Own(given.views, given_identity(given.views))
    if not recipe.views.policy.startswith(CODE):
        return None
    found = own_code(recipe.views.policy, given.allow_code)
    return Own(found, identity_of(found))


def check_views(wanted: ViewsTable) -> None:
    """Refuse a policy that makes no views, and settings that the policy does not have.

    Raises:
        UsageError: names the line and the cure.
    """
    given, own = wanted.model_fields_set, wanted.policy.startswith(CODE)
    if own and wanted.strength is not None:
        raise UsageError(f"[views] strength is not passed to {wanted.policy}: write it into the function. Remove it.")
    if not own and wanted.keeps_label is not None:
        raise UsageError("[views] keeps_label is for a function of your own; the policies know it. Remove that line.")
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


def make_views(recipe: Recipe, given: Given, prepared: Prepared) -> Views:
    """The views of a run; what the recipe leaves open is fitted to the rows, with a line."""
    wanted, encoder = recipe.views, prepared.encoder
    check_model(wanted.policy, wanted.model, encoder)
    if wanted.policy == NONE:
        return Views(NONE, 1, 0.0, recipe.data.seed)
    own, row = own_view(recipe, given), prepared.train.inputs[:1]
    policy = get(wanted.policy) if own is None else policy_of(own, wanted, encoder)
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
        own=None if own is None else policy,
        **words_of(recipe, prepared),
    )
    if own is not None:
        try_views(made, prepared.train.inputs)
    if wanted.count is None or (own is None and wanted.strength is None):
        size, keys = ("", "") if own is not None else (f" of strength {strength:g}", " and strength")
        say(
            f"Views: {made.count} a row, the row itself and {made.count - 1} by {made.policy!r}{size}; the teacher "
            f"answers each. [views] count{keys} change that."
        )
    return made


def policy_of(own: Own, wanted: ViewsTable, encoder: Encoder) -> Policy:
    """The policy of a user's function."""
    vocabulary = None if encoder.text is None else encoder.text.vocabulary
    return own_policy(
        own.change, wanted.policy, own.identity, keeps_label=wanted.keeps_label is not False, vocabulary=vocabulary
    )


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
