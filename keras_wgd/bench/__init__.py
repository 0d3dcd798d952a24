"""The cost of an optimizer's step on this machine, compared with other libraries."""

# The networks whose weights are used. Importing this package loads no Keras.
NETWORKS = ("resnet18", "resnet50", "densenet121", "mobilenetv2", "many-small")
