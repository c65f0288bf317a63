"""The layers, by Keras's names."""
from mrdl.layers.activations import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from mrdl.layers.augmentation import (
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)
from mrdl.layers.conv_lstm import ConvLSTM2D
from mrdl.layers.convolution import (
    Conv1D,
    Conv2D,
    DepthwiseConv2D,
    SeparableConv2D,
)
from mrdl.layers.convolution_transposed import Conv1DTranspose, Conv2DTranspose
from mrdl.layers.convolution_volumes import Conv3D
from mrdl.layers.core import Dense, Flatten, Input, Rescaling, Reshape
from mrdl.layers.functions import (
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from mrdl.layers.group_normalization import GroupNormalization
from mrdl.layers.layer import Symbol, freezable
from mrdl.layers.lightening import RandomBrightness, RandomContrast
from mrdl.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from mrdl.layers.noise import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
)
from mrdl.layers.normalization import BatchNormalization, LayerNormalization, Normalization
from mrdl.layers.operators import OPERATORS
from mrdl.layers.ops import operable
from mrdl.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from mrdl.layers.recurrent import GRU, LSTM, GravesLSTM, SimpleRNN
from mrdl.layers.registry import LAYERS
from mrdl.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Permute,
    RepeatVector,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from mrdl.layers.resizing import CenterCrop, Resizing
from mrdl.layers.sequences import CategoryEncoding, Embedding, Masking
from mrdl.layers.unit_normalization import UnitNormalization
from mrdl.layers.volumes import (
    AveragePooling3D,
    Cropping3D,
    GlobalAveragePooling3D,
    GlobalMaxPooling3D,
    MaxPooling3D,
    UpSampling3D,
    ZeroPadding3D,
)
from mrdl.layers.wrappers import Bidirectional, TimeDistributed

LAYERS += [Input, Dense, Activation, Dropout, Rescaling, Flatten, Reshape,
           ReLU, LeakyReLU, ELU, Softmax, PReLU,
           SpatialDropout1D, SpatialDropout2D, GaussianNoise, GaussianDropout, AlphaDropout,
           Conv1D, Conv2D, Conv3D, DepthwiseConv2D, SeparableConv2D, Conv1DTranspose, Conv2DTranspose,
           MaxPooling1D, MaxPooling2D, AveragePooling1D, AveragePooling2D,
           GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D,
           ZeroPadding1D, ZeroPadding2D, Cropping1D, Cropping2D, UpSampling1D, UpSampling2D, Permute, RepeatVector,
           MaxPooling3D, AveragePooling3D, GlobalMaxPooling3D, GlobalAveragePooling3D, ZeroPadding3D, Cropping3D, UpSampling3D,
           Resizing, CenterCrop, RandomFlip, RandomTranslation, RandomRotation, RandomZoom, RandomCrop, RandomContrast, RandomBrightness,
           BatchNormalization, LayerNormalization, Normalization, UnitNormalization, GroupNormalization,
           SimpleRNN, LSTM, GRU, GravesLSTM, ConvLSTM2D, Bidirectional,
           Embedding, CategoryEncoding, Masking, TimeDistributed,
           Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot, *OPERATORS]
for _layer in LAYERS:
    freezable(_layer)
operable(Symbol, Input)
# Keras's shorter names
MaxPool1D, MaxPool2D, AvgPool1D, AvgPool2D = MaxPooling1D, MaxPooling2D, AveragePooling1D, AveragePooling2D
MaxPool3D, AvgPool3D = MaxPooling3D, AveragePooling3D
GlobalMaxPool3D, GlobalAvgPool3D = GlobalMaxPooling3D, GlobalAveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
__all__ = [name for name, layer in globals().items() if layer in LAYERS]
__all__ += ["add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract"]
