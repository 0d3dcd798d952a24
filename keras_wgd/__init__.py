"""Whitened gradient descent for every Keras 3 optimizer."""

from keras_wgd.optimizers.kernels import ConvKernel, conv_kernels
from keras_wgd.optimizers.radam import RAdam
from keras_wgd.optimizers.wgd import WGD, WGDWrapper
from keras_wgd.optimizers.whitening import whiten

__all__ = ["WGD", "ConvKernel", "RAdam", "WGDWrapper", "conv_kernels", "whiten"]
__version__ = "0.1.0"
