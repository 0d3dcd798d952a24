"""Small comparisons: data, models and calls of `compare` that tests share."""

import keras
import numpy as np

from keras_wgd import compare

EPOCHS, BATCH = 3, 16


def samples(n=96, seed=0, size=8, classes=3):
    """Vectors around a center for each class, and their labels."""
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(classes, size))
    y = np.arange(n) % classes
    x = centers[y] + generator.normal(0, 1.5, (n, size))
    return x.astype("float32"), y


TRAIN, VALIDATION = samples(), samples(48, seed=1)


def dense():
    """A network without convolutions."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def adam():
    """A new optimizer."""
    return keras.optimizers.Adam(0.01)


def sgd():
    """Another one."""
    return keras.optimizers.SGD(0.01)


TWO = {"adam": adam, "sgd": sgd}


def compared(build_model=dense, optimizers=TWO, **changes):
    """`compare` with small data, two seeds and no bar."""
    arguments = {
        "train": TRAIN,
        "validation": VALIDATION,
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "seeds": 2,
        "progress": False,
    }
    return compare(build_model, optimizers, **arguments | changes)


class InOrder(keras.utils.PyDataset):
    """Samples in the order of each epoch that the documentation names."""

    def __init__(self, arrays, seed, steps=None):
        super().__init__()
        self.arrays, self.seed, self.batch_size = arrays, seed, BATCH
        self.steps = steps
        self.begin(0)

    def begin(self, epoch):
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(keras.tree.flatten(self.arrays)[0]))
        self.order = order[: self.steps and self.steps * BATCH]

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)


def fitted(
    build_model=dense,
    optimizer=adam,
    seed=0,
    train=TRAIN,
    validation=VALIDATION,
    epochs=EPOCHS,
    callbacks=(),
    compiling=None,
    steps=None,
    **fitting,
):
    """The history of a plain `fit`, as a user would write it."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build_model()
    usual = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(optimizer(), **(usual if compiling is None else compiling))
    data = InOrder(train, seed, steps)
    order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: data.begin(e))
    history = model.fit(
        data,
        validation_data=validation,
        validation_batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[order, *callbacks],
        **fitting,
    )
    return history.history


def curves(comparison, arm="adam", seed=0):
    """The curves of a trial, by name, as `fit` returns them."""
    import polars as pl

    rows = comparison.epochs.filter(
        (pl.col("arm").cast(pl.String) == arm) & (pl.col("seed") == seed)
    )
    rest = rows.drop("arm", "seed", "epoch", "seconds")
    return {name: column.to_list() for name, column in rest.to_dict().items()}


def same(comparison, other):
    """Whether two comparisons have the same curves in every trial."""
    return comparison.epochs.drop("seconds").equals(other.epochs.drop("seconds"))
