"""What can be measured, for those who do without Keras."""

NETWORKS = ("resnet18", "resnet50", "densenet121", "mobilenetv2", "many-small")
