"""Image folders: classes by subfolder, one mode and size, and a clear word about files that are no images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stillhouse.data import split
from stillhouse.errors import RejectedError
from tests.data.reading import read_image_folder

RNG = np.random.default_rng(0)


def save(path: Path, size: tuple[int, int] = (6, 5), channels: int = 1, **settings: Any) -> np.ndarray:
    """Write random pixels (height, width) or (height, width, 3) and return them."""
    pixels = RNG.integers(0, 256, (*size, channels) if channels > 1 else size, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return pixels


def folder_of(root: Path, **settings: Any) -> Path:
    for name in ("cat", "dog"):
        for i in range(3):
            save(root / name / f"{i}.png", **settings)
    return root


def test_classes_are_the_subfolders_and_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    cats = [save(tmp_path / "cat" / f"{i}.png") for i in range(2)]
    dog = save(tmp_path / "dog" / "deeper" / "x.bmp")
    loose, pool = save(tmp_path / "z.png"), save(tmp_path / "unlabelled" / "a.webp", lossless=True)
    source = read_image_folder(tmp_path)
    assert (source.kind, source.names, source.shape) == ("image", ("cat", "dog"), (6, 5))
    assert source.targets.tolist() == [0, 0, 1, -1, -1]
    np.testing.assert_array_equal(source.raw, [*cats, dog, pool, loose])
    assert source.kept["file"].tolist() == ["cat/0.png", "cat/1.png", "dog/deeper/x.bmp", "unlabelled/a.webp", "z.png"]
    assert source.test is None


def test_one_image_in_colour_makes_all_of_three_channels(tmp_path: Path) -> None:
    folder_of(tmp_path)
    colour = save(tmp_path / "dog" / "9.png", channels=3)
    source = read_image_folder(tmp_path)
    assert source.shape == (6, 5, 3)
    np.testing.assert_array_equal(source.raw[-1], colour)
    first = np.asarray(source.raw)[0]
    assert (first == first[..., :1]).all()


def test_grey_images_stored_in_colour_are_grey(tmp_path: Path) -> None:
    grey = save(folder_of(tmp_path) / "cat" / "0.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "cat" / "0.png")
    source = read_image_folder(tmp_path)
    assert source.shape == (6, 5)
    np.testing.assert_array_equal(source.raw[0], grey)


def test_sixteen_bits_are_scaled_from_the_range_that_they_use(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (6, 5)).astype(np.uint16)
    folder_of(tmp_path)
    shallow = save(tmp_path / "cat" / "1.png")
    Image.fromarray(deep).save(tmp_path / "cat" / "0.png")
    found = np.asarray(read_image_folder(tmp_path).raw).astype(float)
    np.testing.assert_allclose(found[0], 65535 * ((deep - deep.min()) / np.ptp(deep)), atol=0.51)
    np.testing.assert_array_equal(found[1], shallow * 257.0)


def test_odd_sizes_are_brought_to_the_most_frequent_one_and_said(tmp_path: Path) -> None:
    save(folder_of(tmp_path) / "dog" / "9.png", size=(12, 10))
    big = Image.open(tmp_path / "dog" / "9.png").resize((5, 6), Image.Resampling.BILINEAR)
    with pytest.warns(UserWarning, match="1 of 7 images are not 6 x 5 pixels"):
        source = read_image_folder(tmp_path)
    np.testing.assert_array_equal(source.raw[-1], np.asarray(big))
    with pytest.warns(UserWarning, match="7 of 7"):
        assert read_image_folder(tmp_path, size=(4, 8)).shape == (4, 8)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    folder_of(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held turned: shown right, the image is turned by 90 degrees clockwise
    lying = save(tmp_path / "cat" / "0.png", size=(5, 6), exif=exif)
    np.testing.assert_array_equal(read_image_folder(tmp_path).raw[0], np.rot90(lying, -1))


def test_folders_of_parts_fix_the_test(tmp_path: Path) -> None:
    for part in ("train", "test", "valid"):
        folder_of(tmp_path / part)
    save(tmp_path / "unlabelled" / "1.png")
    source = read_image_folder(tmp_path)
    files = source.kept["file"]
    assert source.names == ("cat", "dog")
    assert source.test is not None
    assert all(name.startswith("test/") for name in files[source.test])
    assert len(source.test) == sum(name.startswith("test/") for name in files) == 6
    assert (source.targets[[name.startswith("unlabelled/") for name in files]] == -1).all()
    parts = split(source, labels="all", valid=0.2, test=0.5, seed=0)
    np.testing.assert_array_equal(parts.test, source.test)


def test_files_that_do_not_decode_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "cat" / "text.png").write_text("no image")
    whole = (tmp_path / "dog" / "0.png").read_bytes()
    (tmp_path / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "dog" / "notes.txt").write_text("passed over")
    with pytest.raises(RejectedError, match=r"cat/text\.png"):
        read_image_folder(tmp_path)
    (tmp_path / "cat" / "text.png").unlink()
    with pytest.raises(RejectedError, match=r"1 of 7 files cannot be read as images: dog/cut\.png"):
        read_image_folder(tmp_path)


@pytest.mark.fault("E27", "an image that unpacks to far more than it is", exit=4)
def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder_of(tmp_path) / "cat" / "big.png", size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(RejectedError, match=r"cat/big\.png"):
        read_image_folder(tmp_path)


def test_other_formats_under_a_known_name_are_not_decoded(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(folder_of(tmp_path) / "cat" / "x.png", format="TIFF")
    with pytest.raises(RejectedError, match=r"cat/x\.png"):
        read_image_folder(tmp_path)


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="is not a folder"):
        read_image_folder(tmp_path / "nowhere")
    with pytest.raises(RejectedError, match="holds no images"):
        read_image_folder(tmp_path)
    (folder_of(tmp_path) / "bird").mkdir()
    with pytest.raises(RejectedError, match="subfolders 'bird' hold no images"):
        read_image_folder(tmp_path)


def test_declared_classes_give_the_order(tmp_path: Path) -> None:
    assert read_image_folder(folder_of(tmp_path), classes=["dog", "cat"]).targets.tolist() == [1, 1, 1, 0, 0, 0]
    with pytest.raises(RejectedError, match="outside the declared classes, such as 'dog'"):
        read_image_folder(tmp_path, classes=["cat", "cow"])
