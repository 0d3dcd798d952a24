"""Draw what WGD removes from a gradient.

Trains a small network on digits for one epoch. For each of the three means, draws the
gradient of the second convolution, its mean, and the difference that the optimizer
gets. Prints the share of the norm that is left, ||h|| / ||g||.

    KERAS_BACKEND=torch python examples/what_wgd_removes.py [PICTURE]

PICTURE is an SVG or PNG file, by default what_wgd_removes.svg. Runs for seconds on any
backend. Needs scikit-learn, altair and vl-convert-python.
"""

import sys

import altair as alt
import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam, conv_kernels, whiten

keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.Conv2D(16, 3, activation="relu", name="second"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(WGD(RAdam(3e-3)), loss=loss)
model.fit(images[:1440], labels[:1440], verbose=0)

# A step of SGD at rate 1 gives the gradient on every backend.
kernel = conv_kernels(model)[1]
before = keras.ops.convert_to_numpy(kernel.variable).copy()
model.compile(keras.optimizers.SGD(1.0), loss=loss)
model.train_on_batch(images[1440:], labels[1440:])
gradient = before - keras.ops.convert_to_numpy(kernel.variable)

PARTS = ["the gradient g", "its mean", "what is left, h"]
rows = []
for mean_over in ("filters", "fan_in", "kernels"):
    left = whiten(gradient, kernel.axes(mean_over), kernel.mean_groups(mean_over))
    left = keras.ops.convert_to_numpy(left)
    share = np.linalg.norm(left) / np.linalg.norm(gradient)
    print(f"{mean_over:>8}: ||h|| / ||g|| = {share:.3f}")
    for part, values in zip(PARTS, (gradient, gradient - left, left), strict=True):
        # A row for each input channel and kernel position, a column for each filter.
        matrix = values.transpose(2, 0, 1, 3).reshape(-1, values.shape[-1])
        rows += [
            {"mean": f'"{mean_over}": {share:.0%} left', "part": part}
            | {"row": row, "filter": column, "value": float(matrix[row, column])}
            for row, column in np.ndindex(*matrix.shape)
        ]

largest = float(np.abs(gradient).max())
chart = (
    alt.Chart(alt.Data(values=rows))
    .mark_rect()
    .encode(
        alt.X("filter:O", title="filters"),
        alt.Y("row:O", title="channels and positions"),
        alt.Color(
            "value:Q",
            title="loss per weight",
            scale=alt.Scale(scheme="blueorange", domain=[-largest, largest]),
        ),
        alt.Column("part:N", title=None, sort=PARTS),
        alt.Row(
            "mean:N", title=None, sort=list(dict.fromkeys(r["mean"] for r in rows))
        ),
    )
    .properties(width=180, height=200)
    .configure_axis(labels=False, ticks=False, domain=False, titleFontWeight="normal")
    .configure_header(labelFontSize=13)
    .configure_legend(titleFontWeight="normal", gradientLength=120)
    .configure_view(stroke="#ccc")
)
path = sys.argv[1] if len(sys.argv) > 1 else "what_wgd_removes.svg"
chart.save(path)
print(f"drawn in {path}")
