"""Images in files and arrays: decoding, resizing, and warnings."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from support import small_study
from support.images import photo, resized, write_animals

from keras_wgd import cli
from keras_wgd.tasks import datasets, models
from keras_wgd.tasks.datasets.images import FileImages, check, decode, resize

pytestmark = pytest.mark.any_backend

SIXTEEN = "16-bit grayscale, scaled to 8 bits"
ROTATED = "EXIF rotation is not applied; a viewer applies it"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(8, 8), (40, 24)])
def test_resized_arrays_equal_pillow(channels, shape):
    images = np.stack([photo(*shape, channels, seed) for seed in range(5)])
    result = resize(images, 16)
    assert (result.dtype, result.shape) == (np.uint8, (5, 16, 16, channels))
    for image, pixels in zip(images, result, strict=True):
        expected = resized(Image.fromarray(np.squeeze(image)), 16)
        np.testing.assert_array_equal(pixels, expected[..., :channels])


def modes():
    image = Image.fromarray(photo(30, 20))
    yield "rgb.png", image
    yield "gray.PNG", image.convert("L")
    yield "alpha.png", image.convert("RGBA")
    yield "palette.gif", image.convert("P", palette=Image.Palette.ADAPTIVE)
    yield "bits.bmp", image.convert("1")
    yield "lossy.webp", image
    yield "ink.jpg", image.convert("CMYK")
    yield "photo.JPEG", image


def test_decoded_files_equal_pillow(tmp_path):
    paths = []
    for name, image in modes():
        paths.append(str(tmp_path / name))
        image.save(paths[-1])
    paths.append(str(tmp_path / "transparent.png"))
    indexed = Image.fromarray(photo(30, 20)).convert(
        "P", palette=Image.Palette.ADAPTIVE
    )
    indexed.save(paths[-1], transparency=bytes([0, 128, 255]))
    images = FileImages(paths, 16)
    assert (len(images), images.shape) == (9, (9, 16, 16, 3))
    order = np.array([8, 3, 0, 3, 1, 2, 4, 5, 6, 7])
    decoded = images[order]
    assert decoded.dtype == np.uint8
    for pixels, position in zip(decoded, order, strict=True):
        with Image.open(paths[position]) as image:
            if position == 8:
                image = image.convert("RGBA")
            np.testing.assert_array_equal(pixels, resized(image, 16))
    np.testing.assert_array_equal(images.take(order)[np.arange(10)], decoded)
    assert images[np.array([], int)].shape == (0, 16, 16, 3)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((512, 512), 64), ((387, 515), 64), ((1001, 130), 64), ((257, 257), 16)],
)
def test_large_jpegs_are_close_to_pillow(tmp_path, shape, size):
    path = tmp_path / "large.jpeg"
    Image.fromarray(photo(*shape)).save(path, quality=95)
    decoded = decode(str(path), size)
    with Image.open(path) as image:
        difference = decoded - resized(image, size).astype(float)
    assert np.abs(difference).max() <= 4
    assert np.abs(difference.mean()) < 0.5


def chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(pixels, color_type):
    """The bytes of a PNG file, by its specification: Pillow writes no 16-bit color."""
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


def test_16_bit_grayscale_is_divided_by_257(tmp_path):
    values = np.arange(2**16, dtype="uint16").reshape(256, 256)
    path = tmp_path / "scan.png"
    path.write_bytes(png(values, 0))
    expected = np.round(values / 257)  # never halfway, as 257 is odd
    assert check(str(path), 256) == (SIXTEEN, (256, 256))
    for channel in np.moveaxis(decode(str(path), 256), -1, 0):
        np.testing.assert_array_equal(channel, expected)


@pytest.mark.parametrize(("color_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_color_is_reduced_to_8_bits(tmp_path, color_type, channels):
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2**16, (32, 32, channels), dtype="uint16")
    path = tmp_path / "color.png"
    path.write_bytes(png(values, color_type))
    assert check(str(path), 32)[0] == ""
    colors = values[..., : 3 if channels > 2 else 1] / 257
    # Pillow takes the high byte, which is less by up to 1.
    difference = colors - decode(str(path), 32)
    assert np.abs(difference).max() <= 1


def corner():
    """Dark, and bright in a part that every rotation and reflection moves."""
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
def test_exif_rotation(tmp_path, suffix, orientation):
    path = rotated(tmp_path / f"phone.{suffix}", orientation)
    with Image.open(path) as image:
        stored = np.asarray(image.convert("RGB"))
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(decode(path, 16), stored)
    assert check(path, 16)[0] == (ROTATED if (shown != stored).any() else "")
    assert (shown != stored).any() == (2 <= orientation <= 8)


@pytest.fixture
def animals(tmp_path):
    write_animals(tmp_path / "raw-img", lambda label, number: corner(), count=4)
    return tmp_path


def add_unusual_images(animals):
    """Returns the warnings that a data set has of them."""
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


def test_dataset_warns_once_for_each_kind(animals):
    assert datasets.load("animals10", str(animals)).warnings == ()
    lines = add_unusual_images(animals)
    data = datasets.load("animals10", str(animals), train_size=10, test_size=10)
    assert data.warnings == lines
    assert data.problems == ("raw-img/ragno/bad.png is skipped: empty",)


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_damaged_exif(animals, suffix):
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


def test_hostile_name_in_warning(animals):
    rotated(animals / "raw-img" / "cane" / "\x1b[31mred\n.jpeg", 6)
    (line,) = datasets.load("animals10", str(animals)).warnings
    assert line.isprintable()


@pytest.mark.parametrize("command", ["run", "study"])
def test_commands_print_each_warning_once(
    animals, tmp_path_factory, monkeypatch, capfd, command
):
    lines = add_unusual_images(animals)
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
