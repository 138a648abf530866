"""The policies of views as a folder: each is known by its file alone, and replays to the bit."""

import pytest
import torch
import xxhash

from stillhouse.data import Views
from stillhouse.data.views.base import get
from stillhouse.errors import UsageError
from stillhouse.folders import lines
from stillhouse.recipe import Views as ViewsTable
from stillhouse.recipe import parse

_DRAW = torch.Generator().manual_seed(0)
IMAGES = torch.randn(12, 2, 6, 7, generator=_DRAW)
TABLE = torch.randn(12, 6, generator=_DRAW)
TABLE[:, 3:] = (TABLE[:, 3:] > 0).float()
IDS = torch.randint(0, 30, (12, 9), generator=_DRAW)
NEAR = torch.randint(0, 30, (30, 4), generator=_DRAW)
SPECIALS = (0, 1, 2)
# Views of seed 3 as they were when stores were first written: how they are described, and a hash of three views a row.
REPLAYED = {
    "shift": (
        (Views("shift", 8, 2.0, 3, fill=(-1.0, 2.0)), IMAGES),
        "shift count=8 strength=2 seed=3 fill=(-1.0, 2.0) columns=None splitmix64-1",
        "7b3233288b8816cd",
    ),
    "cutout": (
        (Views("cutout", 8, 3.0, 3, fill=-9.0), IMAGES),
        "cutout count=8 strength=3 seed=3 fill=-9.0 splitmix64-1",
        "f36c7752a9016d92",
    ),
    "noise": (
        (Views("noise", 8, 0.5, 3, columns=(0, 2)), TABLE),
        "noise count=8 strength=0.5 seed=3 fill=0.0 columns=(0, 2) splitmix64-1",
        "aefb2681ca39dadb",
    ),
    "mixup": (
        (Views("mixup", 8, 2.0, 3, pool=IMAGES), IMAGES),
        "mixup count=8 seed=3 pool=ea36af1e02225c3f245ac3c674f43ca3 splitmix64-1",
        "e6119dfb5b4c75ba",
    ),
    "munge": (
        (Views("munge", 8, 2.0, 3, columns=(0, 1, 2), column_groups=((3, 4, 5),), pool=TABLE), TABLE),
        "munge count=8 strength=2 seed=3 columns=(0, 1, 2) groups=((3, 4, 5),) probability=0.5 "
        "pool=04fb42a6165d6c5603f68417daa5fe5c splitmix64-1",
        "ec9025b0b13e1ff1",
    ),
    "words": (
        (Views("words", 8, 0.5, 3, mask_id=4, special_ids=SPECIALS), IDS),
        "words count=8 strength=0.5 seed=3 mask=4 specials=[0, 1, 2] splitmix64-1",
        "9f1b92d115c77c01",
    ),
    "masked": (
        (Views("masked", 8, 0.5, 3, special_ids=SPECIALS, neighbours=NEAR), IDS),
        "masked count=8 strength=0.5 seed=3 specials=[0, 1, 2] neighbours=a6b0dc3f35eae5f5f4318e7397884b0a "
        "splitmix64-1",
        "a37b997cfdbbd146",
    ),
}


@pytest.mark.parametrize("name", REPLAYED)
def test_views_replay_to_the_bit_as_when_stores_were_first_written(name: str) -> None:
    (views, inputs), described, expected = REPLAYED[name]
    rows = torch.arange(len(inputs))
    seen = torch.cat([views.apply(inputs, rows, torch.full_like(rows, view)) for view in range(3)])
    assert xxhash.xxh3_64_hexdigest(seen.contiguous().numpy().tobytes()) == expected
    assert views.describe() == described


def test_a_policy_is_known_by_its_file_alone() -> None:
    names = list(lines("data/views"))
    # Bilinear weights and sums may round differently on other processors; test_more_image_views.py is about these.
    assert sorted([*REPLAYED, "affine", "color", "crop", "cutmix", "flip", "randaugment"]) == names
    streams = [get(name).stream for name in names]
    assert len(set(streams)) == len(streams)
    told = str(ViewsTable.model_fields["policy"].description)
    for name, line in lines("data/views").items():
        assert f"{name}: {line}" in told
        assert parse({"views": {"policy": name}}).views.policy == name


def test_an_unknown_policy_is_refused_with_the_nearest_that_there_is() -> None:
    with pytest.raises(UsageError, match=r"views\.policy = 'shfit': \[views\].*Did you mean 'shift'\? Fix that line"):
        parse({"views": {"policy": "shfit"}})
