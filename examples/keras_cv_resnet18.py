"""Train the ResNet-18 of KerasCV with WGD(RAdam).

WGD works with any Keras model. KerasCV's own ResNet18Backbone() needs a server, so
keras_wgd.tasks.models builds the same network, with a head. Prints which kernels are
centered and the loss of each epoch.

    KERAS_BACKEND=torch python examples/keras_cv_resnet18.py

Runs for one minute on any backend. Needs scikit-learn and keras-cv, which needs
TensorFlow beside any backend.
"""

import keras
from sklearn.datasets import load_digits

from keras_wgd import WGD, RAdam
from keras_wgd.tasks.models import build

keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images[:256].reshape(-1, 8, 8, 1).astype("float32") / 16
images = images.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)

model = build("keras_cv_resnet18", (32, 32, 3), classes=10)
model.compile(
    WGD(RAdam(3e-3), kernels=model),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
fitted = model.fit(images, labels[:256], batch_size=32, epochs=2, verbose=0)
model.optimizer.summary()
history = fitted.history
rows = zip(history["loss"], history["accuracy"], strict=True)
for epoch, (loss, accuracy) in enumerate(rows, 1):
    print(f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.1%}")
