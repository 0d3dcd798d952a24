"""The handwritten digits that come with scikit-learn."""

import numpy as np

from keras_wgd.tasks.datasets.dataset import Dataset


def load(data_dir: str | None = None, image_size: int | None = None) -> Dataset:
    """1,797 gray images of 8 by 8 pixels in ten classes; nothing is downloaded.

    A fixed fifth of each class is the test set. Pixels from 0 to 16 are divided by 16.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.images[..., np.newaxis].astype("uint8"),
        digits.target.astype("int64"),
        test_size=360,
        random_state=0,
        stratify=digits.target,
    )
    return Dataset(
        "digits",
        x_train,
        y_train,
        x_test,
        y_test,
        class_names=tuple(map(str, digits.target_names)),
        mean=(0.0,),
        std=(16.0,),
        image_size=image_size,
    )
