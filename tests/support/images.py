"""Images, and the folders and data sets that tests make of them."""

import io

import numpy as np
from PIL import Image

from keras_wgd.tasks.datasets import animals10
from keras_wgd.tasks.datasets.dataset import Dataset


def photo(height, width, channels=3, seed=0):
    """Smooth colors, as photos have."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = np.random.default_rng(seed).uniform(1, 6, (channels, 2))
    pixels = [128 + 120 * np.sin(a * rows + b * columns) for a, b in waves]
    return np.stack(pixels, axis=-1).astype("uint8")


def resized(image, size):
    """An image of Pillow as three channels, resized by Pillow."""
    return np.asarray(
        image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    )


def encoded(image, form="JPEG"):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def write_animals(folder, image_of, count=12):
    """The class folders of Animals-10 with JPEG files 00.jpeg, 01.jpeg and so on."""
    for label, name in enumerate(animals10.CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image_of(label, number).save(folder / name / f"{number:02}.jpeg")


def labeled(labels, images=None, **fields):
    """A data set of `images`, or of images whose only pixel is their label."""
    labels = np.asarray(labels)
    if images is None:
        images = labels.astype("uint8")[:, None, None, None]
    names = tuple(str(label) for label in range(labels.max() + 1))
    fields = {"mean": (0.0,), "std": (1.0,), **fields}
    return Dataset("made", images, labels, images, labels, names, **fields)


def write_classes(root, counts, size=(8, 8)):
    """Class folders of PNG files 0.png, 1.png and so on, each of noise.

    The most red of any pixel of a class is 20 times its number in `counts`.
    """
    generator = np.random.default_rng(0)
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (*size[::-1], 3), "uint8")
            pixels[..., 0] = 20 * label
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root
