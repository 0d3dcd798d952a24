"""Where images come from: an array, or files that are decoded when asked for."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

# More threads than this wait for one another more than they decode.
_MOST_THREADS = 8

# What Pillow may take a file for. Some of its other formats start programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")

# The tag of EXIF, and its values that are a rotation or a reflection.
_ORIENTATION = 0x0112
_TURNED = range(2, 9)


class Images(Protocol):
    """Images of one shape, by position."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""

    @property
    def ready(self) -> bool:
        """Whether all images lie in memory as they are given out."""

    def __len__(self) -> int: ...

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """The images at `positions`, `(n, height, width, channels)`, uint8."""

    def take(self, positions: np.ndarray) -> "Images":
        """A source of the images at `positions` alone."""


class ArrayImages:
    """Images in memory.

    Args:
        array: `(n, height, width, channels)`, uint8, of 1 or 3 channels.
        size: Height and width that each image is resized to when it is asked
            for, bilinear; `None` leaves them.
    """

    def __init__(self, array: np.ndarray, size: int | None = None):
        self.array = array
        self.size = size

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        height, width, channels = self.array.shape[1:]
        if self.size is None:
            return (height, width, channels)
        return (self.size, self.size, channels)

    @property
    def ready(self) -> bool:
        """Whether nothing has to be resized."""
        return self.size is None or self.array.shape[1:3] == (self.size, self.size)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        if self.ready:
            return self.array[positions]
        from PIL import Image

        grey = self.array.shape[-1] == 1
        images = np.empty((len(positions), *self.shape), "uint8")
        for image, position in zip(images, positions, strict=True):
            pixels = self.array[position]
            resized = _resized(
                Image.fromarray(pixels[..., 0] if grey else pixels), self.size
            )
            image[...] = resized[..., np.newaxis] if grey else resized
        return images

    def take(self, positions: np.ndarray) -> "ArrayImages":
        """A source of the images at `positions` alone.

        Where the size asked for needs no more memory they are resized now, once.
        """
        taken = ArrayImages(self.array[positions], self.size)
        if taken.ready or self.array[0].size < math.prod(self.shape):
            return taken
        return ArrayImages(taken[np.arange(len(taken))])


class FileImages:
    """Images in files, decoded each time they are asked for.

    Args:
        paths: JPEG, PNG, BMP, GIF or WebP files.
        size: Height and width in pixels that each image is squashed to.
        threads: Files decoded at a time; `None` is one for each core.
    """

    ready = False

    def __init__(self, paths: Sequence[str], size: int, threads: int | None = None):
        self.paths = tuple(paths)
        self.size = size
        self.threads = threads or min(_MOST_THREADS, os.cpu_count() or 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return (self.size, self.size, 3)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        images = np.empty((len(positions), *self.shape), "uint8")

        def fill(place, position):
            images[place] = decode(self.paths[position], self.size)

        # Pillow lets other threads run while it decodes and resizes.
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(fill, range(len(positions)), positions):
                pass
        return images

    def take(self, positions: np.ndarray) -> "FileImages":
        """A source of the images at `positions` alone."""
        return FileImages([self.paths[i] for i in positions], self.size, self.threads)


def decode(path: str, size: int) -> np.ndarray:
    """Read an image whole, as torchvision's `Resize((size, size))` would.

    A JPEG file at least twice as large is decoded to a half, a quarter or an
    eighth of its size first, which is faster and moves pixels by a few values.

    Args:
        path: A JPEG, PNG, BMP, GIF or WebP file; of several frames, the first.
            16-bit greyscale is scaled to 8 bits. Transparency is dropped, and a
            rotation in the EXIF data is not applied.
        size: Height and width in pixels that it is squashed to, bilinear.

    Returns:
        `(size, size, 3)`, uint8.

    Raises:
        OSError: If it is no image, or not a whole one. A damaged file may make
            Pillow raise other errors too.
    """
    with _open(path) as image:
        return _decoded(image, size)


def check(path: str, size: int) -> str:
    """Decode an image, and tell what its user may not expect of the pixels.

    Args:
        path: As for `decode`.
        size: As for `decode`.

    Returns:
        A warning in a few words, or `""`.

    Raises:
        OSError: As `decode` does.
    """
    with _open(path) as image:
        _decoded(image, size)
        if _is_16_bit(image):
            return "16-bit greyscale, scaled to 8 bits"
        if _orientation(image) in _TURNED:
            return "EXIF rotation is not applied; a viewer applies it"
        return ""


def _open(path):
    from PIL import Image

    return Image.open(path, formats=_FORMATS)


def _decoded(image, size):
    drafted = image.draft(None, (size, size))
    box = None if drafted is None else drafted[1]
    if _is_16_bit(image):
        # Pillow's own conversion takes all values from 255 on for white.
        return _resized(_scaled_to_8_bits(image).convert("RGB"), size, box)
    # Pillow warns of a palette with an alpha channel unless it goes by RGBA.
    if image.mode == "P" and "transparency" in image.info:
        return _resized(image.convert("RGBA").convert("RGB"), size, box)
    return _resized(image.convert("RGB"), size, box)


def _is_16_bit(image):
    # The modes of 16-bit greyscale PNG. 16-bit colour is reduced by Pillow.
    return image.mode.startswith("I")


def _scaled_to_8_bits(image):
    from PIL import Image

    values = np.asarray(image).astype("uint32")
    return Image.fromarray(((values + 128) // 257).astype("uint8"))


def _orientation(image):
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # what a stranger's EXIF data may raise
        return None


def _resized(image, size, box=None):
    from PIL import Image

    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))
