"""Every mode and depth of image files: shapes in the alpha channel, one range for all, and no pictures of a system."""

import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stillhouse.data import Source, encoder_from_state, fit_encoder, read_inputs
from stillhouse.errors import RejectedError, UsageError
from tests.data.reading import read, read_image_folder

RNG = np.random.default_rng(0)
SIZE = (6, 5)
SUFFIX = {"P": ".png"}  # where each file has a suffix of its own: TIFF forgets a transparent colour
SHAPES = RNG.random((6, *SIZE)) < 0.5


def write(folder: Path, images: list[Image.Image], suffix: str = ".png", **options: Any) -> Path:
    """A folder of two classes, the first half of the images "a", the others "b"."""
    for i, image in enumerate(images):
        path = folder / ("a" if i < len(images) / 2 else "b") / f"{i}{suffix or SUFFIX.get(image.mode, '.tif')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
    return folder


def rgba(shape: np.ndarray, level: int) -> Image.Image:
    """One colour everywhere; the shape is in the alpha channel alone."""
    grey = np.full(SIZE, level, np.uint8)
    return Image.fromarray(np.stack([grey, grey, grey, 255 * shape.astype(np.uint8)], 2))


def la(shape: np.ndarray, level: int) -> Image.Image:
    return rgba(shape, level).convert("LA")


def palette(shape: np.ndarray, level: int) -> Image.Image:
    """Palette colour 0 is transparent, and has the colour of the shape."""
    image = Image.fromarray(shape.astype(np.uint8))
    image = image.convert("P")
    image.putpalette([level] * 6)
    image.info["transparency"] = 0
    return image


ALPHA: dict[str, Callable[[np.ndarray, int], Image.Image]] = {"RGBA": rgba, "LA": la, "palette": palette}


@pytest.mark.parametrize("levels", [(0, 128, 255), (0, 255), (120, 0, 255, 60)])
def test_shapes_of_several_colours_all_stand_out_from_one_background(tmp_path: Path, levels: tuple[int, ...]) -> None:
    level = np.resize(levels, len(SHAPES))
    raw = np.asarray(read_image_folder(write(tmp_path, [rgba(s, v) for s, v in zip(SHAPES, level, strict=True)])).raw)
    (background,) = np.unique(raw[~SHAPES])
    np.testing.assert_array_equal(raw, np.where(SHAPES, level[:, None, None], background))
    assert min(abs(int(background) - value) for value in levels) > 25


def deep_colour(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel; Pillow writes none."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + np.repeat(row[:, None], 3, 1).astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_read_with_a_line_or_refused_where_they_would_be_black(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for greatest, folder in ((65535, tmp_path / "bright"), (4095, tmp_path / "dark")):
        for i, shape in enumerate(SHAPES):
            (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
            (folder / "ab"[i % 2] / f"{i}.png").write_bytes(deep_colour(shape * greatest))
    with caplog.at_level(logging.INFO, "stillhouse"):
        source = read_image_folder(tmp_path / "bright")
    assert "6 colour images have 16 bits a channel, of which the upper 8 are read" in caplog.text
    order = [0, 2, 4, 1, 3, 5]
    np.testing.assert_array_equal(source.raw, SHAPES[order] * 255)
    with pytest.raises(RejectedError, match=r"at most 4095 of 65535.*8 bits a channel"):
        read_image_folder(tmp_path / "dark")


@pytest.mark.parametrize("kind", ALPHA)
@pytest.mark.parametrize(("level", "background"), [(0, 255), (255, 0), (40, 255)])
def test_a_shape_in_the_alpha_channel_stands_out(tmp_path: Path, kind: str, level: int, background: int) -> None:
    source = read_image_folder(write(tmp_path, [ALPHA[kind](shape, level) for shape in SHAPES]))
    np.testing.assert_array_equal(source.raw, np.where(SHAPES, level, background))


def test_black_and_white_shapes_of_one_folder_both_stand_out(tmp_path: Path) -> None:
    images = [rgba(shape, 255 * (i % 2)) for i, shape in enumerate(SHAPES)]
    raw = np.asarray(read_image_folder(write(tmp_path, images)).raw)
    np.testing.assert_array_equal(raw, [np.where(s, 255 * (i % 2), 128) for i, s in enumerate(SHAPES)])


def test_an_opaque_alpha_channel_changes_nothing(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (4, *SIZE, 3), np.uint8)
    source = read_image_folder(write(tmp_path, [Image.fromarray(p).convert("RGBA") for p in pixels]))
    np.testing.assert_array_equal(source.raw, pixels)
    assert source.pixels == (None, None)


def predicted(source: Source, path: Path) -> np.ndarray:
    """Rows of files to predict on, as the encoder that was saved with the student takes them."""
    encoder = encoder_from_state(fit_encoder(source, np.arange(len(source))).state())
    rows = read_inputs(path, encoder).rows
    encoder.encode(rows)
    return np.asarray(rows)


@pytest.mark.parametrize("level", [0, 255])
def test_files_to_predict_on_get_the_background_of_training(tmp_path: Path, level: int) -> None:
    source = read_image_folder(write(tmp_path / "in", [rgba(shape, level) for shape in SHAPES]))
    other = np.roll(SHAPES[0], 1, 0)
    rgba(other, 255 - level).save(tmp_path / "one.png")  # its own contrast would ask for another background
    np.testing.assert_array_equal(predicted(source, tmp_path / "one.png")[0], 255 - level)
    rgba(other, level).save(tmp_path / "one.png")
    np.testing.assert_array_equal(predicted(source, tmp_path / "one.png")[0], np.where(other, level, 255 - level))


def test_transparent_pixels_that_training_never_saw_are_told(tmp_path: Path) -> None:
    source = read_image_folder(write(tmp_path / "in", [Image.fromarray(255 * s.astype(np.uint8)) for s in SHAPES]))
    rgba(SHAPES[0], 0).save(tmp_path / "one.png")
    with pytest.warns(UserWarning, match="1 of 1 images have transparent pixels.*laid over white"):
        np.testing.assert_array_equal(predicted(source, tmp_path / "one.png")[0], 255 * ~SHAPES[0])


DEEP = {
    "I;16 of 12 bits": (np.uint16, 0, 4095, ".png"),
    "I;16 with an offset": (np.uint16, 31000, 31400, ".png"),
    "I": (np.int32, -70000, 140000, ".tif"),
    "F from 0 to 1": (np.float32, 0.0, 1.0, ".tiff"),
    "F": (np.float32, -3.5, 900.0, ".tif"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_depths_are_scaled_from_the_range_of_all_pictures(tmp_path: Path, kind: str) -> None:
    dtype, low, high, suffix = DEEP[kind]
    values = (low + (high - low) * RNG.random((6, *SIZE))).astype(dtype)
    values[2] = low + (values[2] - low) / 8  # a dark picture stays dark
    values[0, 0, 0], values[1, 0, 0] = low, high
    source = read_image_folder(write(tmp_path / "in", [Image.fromarray(v) for v in values], suffix))
    wanted = 65535.0 * (values.astype(float) - low) / (high - low)
    np.testing.assert_allclose(np.asarray(source.raw, float), wanted, atol=0.51)
    write(tmp_path / "new", [Image.fromarray(values[2]), Image.fromarray(values[3])], suffix)
    np.testing.assert_array_equal(predicted(source, tmp_path / "new"), np.asarray(source.raw)[2:4])


def test_eight_bits_kept_in_deeper_files_keep_their_range(tmp_path: Path) -> None:
    pixels = RNG.integers(20, 200, (4, *SIZE), np.uint8)
    images = [Image.fromarray(p.astype(np.int32) if i % 2 else p) for i, p in enumerate(pixels)]
    source = read_image_folder(write(tmp_path, images, ".tif"))
    np.testing.assert_array_equal(source.raw, pixels.astype(np.uint16) * 257)


def test_a_deep_picture_for_a_student_of_eight_bits_is_refused(tmp_path: Path) -> None:
    source = read_image_folder(write(tmp_path / "in", [Image.fromarray(255 * s.astype(np.uint8)) for s in SHAPES]))
    Image.fromarray(np.full(SIZE, 300, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(RejectedError, match=r"deep\.png.*more than 8 bits.*save it with 8 bits"):
        predicted(source, tmp_path / "deep.png")
    Image.fromarray(np.full(SIZE, 200, np.uint8)).save(tmp_path / "deep.png")
    assert (predicted(source, tmp_path / "deep.png") == 200).all()


def test_arrays_of_a_small_range_are_no_picture_files(tmp_path: Path) -> None:
    digits = read(name="digits")  # 0 to 16
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(UsageError, match="not trained on images of bytes"):
        predicted(digits, tmp_path / "x.png")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    images = [Image.fromarray(s.astype(np.float32)) for s in SHAPES]
    images[4].putpixel((2, 2), value)
    with pytest.raises(RejectedError, match=r"b/4\.tif\..*a pixel is NaN or infinite"):
        read_image_folder(write(tmp_path, images, ".tif"))


MODES = ["1 .png", "L .tif", "P .png", "P .gif", "RGB .tiff", "CMYK .tif", "CMYK .jpg", "YCbCr .tif", "LA .png"]


@pytest.mark.parametrize("kind", MODES)
def test_every_mode_is_what_pillow_shows(tmp_path: Path, kind: str) -> None:
    mode, suffix = kind.split()
    pixels = np.repeat(np.repeat(RNG.integers(0, 256, (6, 2, 2, 3), np.uint8), 4, 1), 4, 2)
    write(tmp_path, [Image.fromarray(p).convert(mode) for p in pixels], suffix)
    source = read_image_folder(tmp_path)
    shown = [np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in source.kept["file"]]
    raw = np.asarray(source.raw)
    np.testing.assert_array_equal(raw if raw.ndim == 4 else raw[..., None].repeat(3, -1), shown)
    assert raw.std() > 10


def test_system_files_are_no_classes_and_no_pictures(tmp_path: Path) -> None:
    write(tmp_path, [Image.fromarray(255 * s.astype(np.uint8)) for s in SHAPES])
    names = read_image_folder(tmp_path).kept["file"].tolist()
    for litter in ("__MACOSX/a/._0.png", "__MACOSX/a/0.png", "a/._0.png", "a/.DS_Store", ".DS_Store", "b/Thumbs.db",
                   "a/__MACOSX/x.png", ".thumbnails/0.png"):  # fmt: skip
        (tmp_path / litter).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / litter).write_bytes(b"\0")
    source = read_image_folder(tmp_path)
    assert (source.names, source.kept["file"].tolist()) == (("a", "b"), names)
    assert len(predicted(source, tmp_path)) == len(names)


def test_what_is_done_to_the_pictures_is_told_in_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stillhouse")
    write(tmp_path, [rgba(s, 0) for s in SHAPES])
    Image.fromarray(np.arange(30, dtype=np.uint16).reshape(SIZE) * 100).save(tmp_path / "a" / "deep.png")
    frames = [Image.fromarray(255 * s.astype(np.uint8)) for s in SHAPES[:2]]
    frames[0].save(tmp_path / "a" / "two.tif", save_all=True, append_images=frames[1:])
    (tmp_path / "a" / "photo.heic").write_bytes(b"\0")
    read_image_folder(tmp_path)
    told = "\n".join(caplog.messages)
    assert "transparent pixels of 6 images are laid over white" in told
    assert "1 images have more than 8 bits a pixel: the range that they use, 0 to 2900," in told
    assert "0 to 255 in the other 7" in told
    assert "1 files hold several pictures; the first of each is read" in told
    assert ".heic (1)" in told


def test_pictures_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    images = [rgba(s, 255) for s in SHAPES[:3]] + [Image.fromarray(s.astype(np.uint16) * 999) for s in SHAPES[3:]]
    write(tmp_path / "in", images)
    memory = read(images=tmp_path / "in")
    for _ in range(2):  # made, then opened
        disk = read(images=tmp_path / "in", on_disk=tmp_path / "rows")
        np.testing.assert_array_equal(disk.raw, memory.raw)
        assert disk.pixels == memory.pixels == (0, (0.0, 999.0))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_the_mixture_pictures_that_differ_stay_different(data: st.DataObject) -> None:
    makers: list[Callable[[np.ndarray], Image.Image]] = [
        *(lambda s, kind=kind, level=level: ALPHA[kind](s, level) for kind in ALPHA for level in (0, 200, 255)),
        *(lambda s, dtype=dtype: Image.fromarray(s.astype(dtype)) for dtype in (np.uint16, np.int32, np.float32)),
        lambda s: Image.fromarray(s),
        lambda s: Image.fromarray(255 * s.astype(np.uint8)).convert("CMYK"),
    ]
    chosen = data.draw(st.lists(st.sampled_from(range(len(makers))), min_size=6, max_size=6))
    with TemporaryDirectory() as folder:
        write(Path(folder), [makers[i](s) for i, s in zip(chosen, SHAPES, strict=True)], "")
        raw = np.asarray(read_image_folder(Path(folder)).raw, float).reshape(6, *SIZE, -1).mean(-1)
    for one, shape in zip(raw, SHAPES, strict=True):
        inside, outside = one[shape], one[~shape]
        assert np.ptp(inside) == np.ptp(outside) == 0
        assert inside[0] != outside[0]
