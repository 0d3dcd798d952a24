"""Images in files, decoded when they are indexed, and the resizing of arrays."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# More threads wait for each other more than they decode.
_MAX_THREADS = 8

# What Pillow may read. Some of its other formats start programs.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")

# The EXIF tag, and its values that mean a rotation or a reflection.
_ORIENTATION = 0x0112
_ROTATED = range(2, 9)


class FileImages:
    """Images in files. Indexing with an array of positions decodes them.

    `size` is the height and width in pixels that each image is resized to.
    """

    def __init__(self, paths: Sequence[str], size: int):
        self.paths = tuple(paths)
        self.size = size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, height, width, channels)`."""
        return (len(self.paths), self.size, self.size, 3)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        images = np.empty((len(positions), *self.shape[1:]), "uint8")

        def fill(place, position):
            images[place] = decode(self.paths[position], self.size)

        # Pillow releases the GIL while it decodes and resizes.
        with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
            list(pool.map(fill, range(len(positions)), positions))
        return images

    def take(self, positions: np.ndarray) -> "FileImages":
        """The files at `positions` alone."""
        return FileImages([self.paths[i] for i in positions], self.size)


def resize(images: np.ndarray, size: int | None) -> np.ndarray:
    """Resize `(n, height, width, channels)`, uint8, to squares, bilinear.

    There are 1 or 3 channels. `images` itself is returned if it has that size already,
    or if `size` is `None`.
    """
    if size is None or images.shape[1:3] == (size, size):
        return images
    from PIL import Image

    count, _, _, channels = images.shape
    resized = np.empty((count, size, size, channels), "uint8")
    for pixels, result in zip(images, resized, strict=True):
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        result[...] = _resized(image, size).reshape(result.shape)
    return resized


def decode(path: str, size: int) -> np.ndarray:
    """Read an image as torchvision's `Resize((size, size))` does, in RGB, uint8.

    A large JPEG file is decoded to a half, a quarter or an eighth of its size first,
    which is faster and changes pixels by a few values. The first frame is read. 16-bit
    grayscale is scaled to 8 bits, transparency is dropped, and a rotation in the EXIF
    data is not applied. On a damaged file Pillow may raise any error.
    """
    with _open(path) as image:
        return _decoded(image, size)


def check(path: str, size: int | None) -> tuple[str, tuple[int, int]]:
    """Decode as `decode` does, and return a warning or `""`, and width and height.

    The warning says what a user may not expect of the pixels. The size is that of the
    image in the file; where `size` is `None`, it is decoded without a reduction.
    """
    with _open(path) as image:
        stored = image.size
        _decoded(image, size or min(stored))
        warning = ""
        if _is_16_bit(image):
            warning = "16-bit grayscale, scaled to 8 bits"
        elif _orientation(image) in _ROTATED:
            warning = "EXIF rotation is not applied; a viewer applies it"
        return warning, stored


def _open(path):
    from PIL import Image

    return Image.open(path, formats=_FORMATS)


def _decoded(image, size):
    from PIL import Image

    drafted = image.draft(None, (size, size))
    box = None if drafted is None else drafted[1]
    if _is_16_bit(image):
        # Pillow's own conversion clips values at 255.
        values = np.asarray(image).astype("uint32")
        image = Image.fromarray(((values + 128) // 257).astype("uint8"))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns of a direct conversion
    return _resized(image.convert("RGB"), size, box)


def _is_16_bit(image):
    # The modes of 16-bit grayscale PNG. Pillow itself reduces 16-bit color.
    return image.mode.startswith("I")


def _orientation(image):
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # hostile EXIF data may raise anything
        return None


def _resized(image, size, box=None):
    from PIL import Image

    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))
