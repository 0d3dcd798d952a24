"""The handwritten digits that come with scikit-learn."""

import numpy as np

from keras_wgd.tasks.datasets.dataset import Dataset
from keras_wgd.tasks.datasets.images import ArrayImages


def load(data_dir: str | None = None, image_size: int | None = None) -> Dataset:
    """1,797 grey images of 8 by 8 pixels in ten classes; nothing is downloaded.

    A fifth of each class, drawn once for all, is the test set. Pixels, of 0 to
    16, are divided by 16.

    Args:
        data_dir: Not used; every loader takes it.
        image_size: Height and width in pixels; `None` is 8.

    Returns:
        A `Dataset` of 1,437 training and 360 test images.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images[..., np.newaxis].astype("uint8")
    x_train, x_test, y_train, y_test = train_test_split(
        images,
        digits.target.astype("int64"),
        test_size=360,
        random_state=0,
        stratify=digits.target,
    )
    return Dataset(
        "digits",
        ArrayImages(x_train, image_size),
        y_train,
        ArrayImages(x_test, image_size),
        y_test,
        tuple(str(name) for name in digits.target_names),
        mean=(0.0,),
        deviation=(16.0,),
    )
