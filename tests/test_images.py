"""Images that a user may expect to be read in another way, and the warnings of them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from support import small_study

from keras_wgd import cli
from keras_wgd.tasks import datasets, models
from keras_wgd.tasks.datasets import animals10
from keras_wgd.tasks.datasets.images import check, decode

pytestmark = pytest.mark.any_backend

SIXTEEN = "16-bit greyscale, scaled to 8 bits"
ROTATED = "EXIF rotation is not applied; a viewer applies it"


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(pixels, color_type):
    """The bytes of a PNG file, by its specification: Pillow writes no 16-bit colour."""
    height, width = pixels.shape[:2]
    header = struct.pack(
        ">IIBBBBB", width, height, pixels.itemsize * 8, color_type, 0, 0, 0
    )
    rows = pixels.astype(pixels.dtype.newbyteorder(">"))
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(content))
        + chunk(b"IEND", b"")
    )


def test_16_bit_greyscale_is_scaled_by_257(tmp_path):
    values = np.arange(2**16, dtype="uint16").reshape(256, 256)
    path = tmp_path / "scan.png"
    path.write_bytes(png(values, 0))
    wanted = np.round(values / 257)  # never halfway, as 257 is odd
    assert check(str(path), 256) == SIXTEEN
    for channel in np.moveaxis(decode(str(path), 256), -1, 0):
        np.testing.assert_array_equal(channel, wanted)


@pytest.mark.parametrize(("color_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_is_reduced_by_pillow(tmp_path, color_type, channels):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2**16, (32, 32, channels), dtype="uint16")
    path = tmp_path / "colour.png"
    path.write_bytes(png(values, color_type))
    assert check(str(path), 32) == ""
    colors = values[..., : 3 if channels > 2 else 1] / 257
    # Pillow takes the high byte, which is less by up to 1.
    difference = colors - decode(str(path), 32)
    assert np.abs(difference).max() <= 1


def corner():
    """Dark, and bright in a part that no rotation or reflection leaves in its place."""
    pixels = np.zeros((16, 16, 3), "uint8")
    pixels[:4, :12] = 255
    return Image.fromarray(pixels)


def rotated(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if path.suffix == ".webp" else {}
    corner().save(path, exif=exif, **lossless)
    return str(path)


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_rotation_is_warned_of_and_not_applied(tmp_path, suffix, orientation):
    path = rotated(tmp_path / f"phone.{suffix}", orientation)
    with Image.open(path) as image:
        stored = np.asarray(image.convert("RGB"))
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(decode(path, 16), stored)
    assert check(path, 16) == (ROTATED if (shown != stored).any() else "")
    assert (shown != stored).any() == (2 <= orientation <= 8)


@pytest.fixture
def animals(tmp_path):
    for name in animals10.CLASSES:
        folder = tmp_path / "raw-img" / name
        folder.mkdir(parents=True)
        for i in range(4):
            corner().save(folder / f"{i}.jpeg")
    return tmp_path


def plant(animals):
    for name in ("gatto/phone.jpeg", "cane/phone.jpeg", "cane/z.jpeg"):
        rotated(animals / "raw-img" / name, 6)
    (animals / "raw-img/ragno/scan.png").write_bytes(
        png(np.full((16, 16), 1000, "uint16"), 0)
    )
    (animals / "raw-img/ragno/bad.png").write_bytes(b"")
    return (
        f"raw-img/ragno/scan.png: {SIXTEEN}",
        f"raw-img/cane/phone.jpeg and 2 more: {ROTATED}",
    )


def test_a_data_set_warns_once_of_each_kind(animals):
    assert datasets.load("animals10", str(animals)).warnings == ()
    lines = plant(animals)
    data = datasets.load("animals10", str(animals), train_size=10, test_size=10)
    assert data.warnings == lines
    assert data.problems == ("raw-img/ragno/bad.png is skipped: empty",)


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_damaged_exif_is_no_problem(animals, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = exif.tobytes()
    folder = animals / "raw-img" / "cane"
    entry = len(b"Exif\0\0") + 8 + 2  # after TIFF's header and the number of entries
    for length in range(6, entry + 12):
        corner().save(folder / f"{length}.{suffix}", exif=whole[:length])
    corner().save(folder / f"junk.{suffix}", exif=b"Exif\0\0junkjunk")
    data = datasets.load("animals10", str(animals))
    assert (data.problems, data.warnings) == ((), ())


def test_a_name_in_a_warning_stays_on_its_line(animals):
    rotated(animals / "raw-img" / "cane" / "\x1b[31mred\n.jpeg", 6)
    (line,) = datasets.load("animals10", str(animals)).warnings
    assert line.isprintable()


@pytest.mark.parametrize("command", ["run", "study"])
def test_a_command_prints_each_warning_once(
    animals, tmp_path_factory, monkeypatch, capfd, command
):
    lines = plant(animals)
    monkeypatch.setattr(models, "build", small_study.build)
    arguments = ["--dataset", "animals10", "--data-dir", str(animals)]
    arguments += ["--image-size", "8", "--epochs", "1", "--batch-size", "16"]
    out = str(tmp_path_factory.mktemp("out"))
    if command == "study":
        # Two runs in two processes of their own, which load the data too.
        arguments += ["--preset", "paper", "--model", "resnet18", "--stem", "small"]
        arguments += ["--optimizer", "adam", "--seed", "0", "--jobs", "2"]
    assert cli.app([command, *arguments, "--out", out]) == 0
    printed = "".join(capfd.readouterr())
    for line in lines:
        assert printed.count(line) == 1
        assert f"warning: {line}" in printed
