"""Keras's places of arguments: in which order its classes take them, and which of them have no effect here.

The classes of `Configured` are called by these, so that a positional argument means what it means in Keras. Where a class has no
field for an argument, the values that ask for nothing are accepted, and others are refused."""
import inspect
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, NamedTuple

# "CLASS ..: arguments in Keras's order; further ones, by name alone", as in Keras 3.15; TAIL is that of its optimizers
ORDER = """
[layers]
Input: shape batch_size dtype sparse ragged batch_shape name tensor optional
Dense: units activation use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer
    activity_regularizer kernel_constraint bias_constraint lora_rank lora_alpha quantization_config
Activation: activation
Dropout AlphaDropout: rate noise_shape seed
Rescaling: scale offset
Flatten: data_format
Reshape: target_shape
ReLU: max_value negative_slope threshold
LeakyReLU: negative_slope
ELU: alpha
Softmax Concatenate UnitNormalization: axis
PReLU: alpha_initializer alpha_regularizer alpha_constraint shared_axes
SpatialDropout1D: rate seed name dtype
SpatialDropout2D SpatialDropout3D: rate data_format seed name dtype
GaussianNoise: stddev seed
GaussianDropout: rate seed
Conv1D Conv2D Conv3D: filters kernel_size strides padding data_format dilation_rate groups activation use_bias
    kernel_initializer bias_initializer kernel_regularizer bias_regularizer activity_regularizer kernel_constraint
    bias_constraint
DepthwiseConv2D DepthwiseConv1D: kernel_size strides padding depth_multiplier data_format dilation_rate activation
    use_bias depthwise_initializer bias_initializer depthwise_regularizer bias_regularizer activity_regularizer
    depthwise_constraint bias_constraint
SeparableConv2D SeparableConv1D: filters kernel_size strides padding data_format dilation_rate depth_multiplier
    activation use_bias depthwise_initializer pointwise_initializer bias_initializer depthwise_regularizer
    pointwise_regularizer bias_regularizer activity_regularizer depthwise_constraint pointwise_constraint
    bias_constraint
Conv2DTranspose Conv1DTranspose: filters kernel_size strides padding output_padding data_format dilation_rate activation
    use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer activity_regularizer
    kernel_constraint bias_constraint
MaxPooling1D MaxPooling2D AveragePooling1D AveragePooling2D MaxPooling3D AveragePooling3D: pool_size strides padding
    data_format name
GlobalMaxPooling1D GlobalMaxPooling2D GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling3D
    GlobalAveragePooling3D: data_format keepdims
ZeroPadding1D ZeroPadding2D ZeroPadding3D: padding data_format
Cropping1D: cropping
Cropping2D Cropping3D: cropping data_format
UpSampling1D: size
UpSampling2D: size data_format interpolation
Permute: dims
RepeatVector: n
BatchNormalization: axis momentum epsilon center scale beta_initializer gamma_initializer moving_mean_initializer
    moving_variance_initializer beta_regularizer gamma_regularizer beta_constraint gamma_constraint renorm
    renorm_clipping renorm_momentum synchronized
LayerNormalization: axis epsilon center scale beta_initializer gamma_initializer beta_regularizer gamma_regularizer
    beta_constraint gamma_constraint
Normalization: axis mean variance invert
SimpleRNN: units activation use_bias kernel_initializer recurrent_initializer bias_initializer kernel_regularizer
    recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint recurrent_constraint bias_constraint
    dropout recurrent_dropout return_sequences return_state go_backwards stateful unroll seed; zero_output_for_mask
    implementation
LSTM: units activation recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer
    unit_forget_bias kernel_regularizer recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint
    recurrent_constraint bias_constraint dropout recurrent_dropout seed return_sequences return_state go_backwards
    stateful unroll use_cudnn; zero_output_for_mask implementation
GRU: units activation recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer
    kernel_regularizer recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint
    recurrent_constraint bias_constraint dropout recurrent_dropout seed return_sequences return_state go_backwards
    stateful unroll reset_after use_cudnn; zero_output_for_mask implementation
Bidirectional: layer merge_mode weights backward_layer
Embedding: input_dim output_dim embeddings_initializer embeddings_regularizer embeddings_constraint mask_zero weights
    lora_rank lora_alpha quantization_config; input_length
CategoryEncoding: num_tokens output_mode sparse
Masking: mask_value
TimeDistributed: layer
Add Subtract Multiply Average Maximum Minimum Identity:
Dot: axes normalize
Conv3DTranspose: filters kernel_size strides padding data_format output_padding dilation_rate activation use_bias
    kernel_initializer bias_initializer kernel_regularizer bias_regularizer activity_regularizer kernel_constraint
    bias_constraint
ConvLSTM1D ConvLSTM2D ConvLSTM3D: filters kernel_size strides padding data_format dilation_rate activation
    recurrent_activation use_bias kernel_initializer recurrent_initializer bias_initializer unit_forget_bias
    kernel_regularizer recurrent_regularizer bias_regularizer activity_regularizer kernel_constraint
    recurrent_constraint bias_constraint dropout recurrent_dropout seed return_sequences return_state go_backwards
    stateful
GroupNormalization: groups axis epsilon center scale beta_initializer gamma_initializer beta_regularizer
    gamma_regularizer beta_constraint gamma_constraint
UpSampling3D: size data_format
Resizing: height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value antialias data_format
CenterCrop: height width data_format
RandomFlip: mode seed data_format
RandomRotation: factor fill_mode interpolation seed fill_value data_format
RandomZoom RandomTranslation: height_factor width_factor fill_mode interpolation seed fill_value data_format
RandomContrast RandomBrightness: factor value_range seed
RandomCrop: height width seed data_format name
ActivityRegularization: l1 l2
RNN: cell return_sequences return_state go_backwards stateful unroll zero_output_for_mask
[losses]
SparseCategoricalCrossentropy: from_logits ignore_class reduction axis name dtype
CategoricalCrossentropy BinaryCrossentropy: from_logits label_smoothing axis reduction name dtype
MeanSquaredError MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError LogCosh Hinge SquaredHinge
    CategoricalHinge KLDivergence Poisson CTC: reduction name dtype
Huber: delta reduction name dtype
CosineSimilarity: axis reduction name dtype
CategoricalFocalCrossentropy: alpha gamma from_logits label_smoothing axis reduction name dtype
BinaryFocalCrossentropy: apply_class_balancing alpha gamma from_logits label_smoothing axis reduction name dtype
Dice: reduction name axis dtype
Tversky: alpha beta reduction name axis dtype
Circle: gamma margin remove_diagonal reduction name dtype
CategoricalGeneralizedCrossEntropy: q reduction name dtype
[metrics]
SparseCategoricalAccuracy CategoricalAccuracy MeanSquaredError RootMeanSquaredError MeanAbsoluteError
    MeanAbsolutePercentageError MeanSquaredLogarithmicError LogCoshError Hinge SquaredHinge CategoricalHinge
    KLDivergence Poisson Accuracy Mean Sum: name dtype
BinaryAccuracy: name dtype threshold
TopKCategoricalAccuracy: k name dtype
SparseTopKCategoricalAccuracy: k name dtype from_sorted_ids
Precision Recall: thresholds top_k class_id name dtype
F1Score: average threshold name dtype
AUC: num_thresholds curve summation_method name dtype thresholds multi_label num_labels label_weights from_logits
CosineSimilarity PearsonCorrelation ConcordanceCorrelation: name dtype axis
BinaryCrossentropy: name dtype from_logits label_smoothing
CategoricalCrossentropy: name dtype from_logits label_smoothing axis
SparseCategoricalCrossentropy: name dtype from_logits ignore_class axis
R2Score: class_aggregation num_regressors name dtype
TruePositives TrueNegatives FalsePositives FalseNegatives: thresholds name dtype
IoU: num_classes target_class_ids name dtype ignore_class sparse_y_true sparse_y_pred axis
BinaryIoU: target_class_ids threshold name dtype
MeanIoU: num_classes name dtype ignore_class sparse_y_true sparse_y_pred axis
OneHotIoU: num_classes target_class_ids name dtype ignore_class sparse_y_pred axis
OneHotMeanIoU: num_classes name dtype ignore_class sparse_y_pred axis
FBetaScore: average beta threshold name dtype
SensitivityAtSpecificity: specificity num_thresholds class_id name dtype
SpecificityAtSensitivity: sensitivity num_thresholds class_id name dtype
PrecisionAtRecall: recall num_thresholds class_id name dtype
RecallAtPrecision: precision num_thresholds class_id name dtype
MeanMetricWrapper: fn name dtype
[optimizers]
SGD: learning_rate momentum nesterov weight_decay TAIL
RMSprop: learning_rate rho momentum epsilon centered weight_decay TAIL
Adagrad: learning_rate initial_accumulator_value epsilon weight_decay TAIL
Adadelta: learning_rate rho epsilon weight_decay TAIL
Lion: learning_rate beta_1 beta_2 weight_decay TAIL
Adam: learning_rate beta_1 beta_2 epsilon amsgrad weight_decay TAIL
AdamW: learning_rate weight_decay beta_1 beta_2 epsilon amsgrad TAIL
Adamax Nadam Lamb: learning_rate beta_1 beta_2 epsilon weight_decay TAIL
Muon: learning_rate adam_beta_1 adam_beta_2 adam_weight_decay epsilon weight_decay TAIL exclude_layers
    exclude_embeddings muon_a muon_b muon_c adam_lr_ratio momentum ns_steps nesterov rms_rate
Adafactor: learning_rate beta_2_decay epsilon_1 epsilon_2 clip_threshold relative_step weight_decay TAIL
Ftrl: learning_rate learning_rate_power initial_accumulator_value l1_regularization_strength l2_regularization_strength
    l2_shrinkage_regularization_strength beta weight_decay TAIL
[schedules]
ExponentialDecay InverseTimeDecay: initial_learning_rate decay_steps decay_rate staircase name
PiecewiseConstantDecay: boundaries values name
PolynomialDecay: initial_learning_rate decay_steps end_learning_rate power cycle name
CosineDecay: initial_learning_rate decay_steps alpha name warmup_target warmup_steps
CosineDecayRestarts: initial_learning_rate first_decay_steps t_mul m_mul alpha name
[initializers]
Zeros Ones:
Constant: value
RandomUniform: minval maxval seed
RandomNormal TruncatedNormal: mean stddev seed
VarianceScaling: scale mode distribution seed input_axes output_axes
GlorotUniform GlorotNormal HeUniform HeNormal LecunUniform LecunNormal: seed input_axes output_axes
Orthogonal: gain seed
Identity: gain
STFT: side window scaling periodic
[regularizers]
L1: l1
L2: l2
L1L2: l1 l2
OrthogonalRegularizer: factor mode
[constraints]
MaxNorm: max_value axis
UnitNorm: axis
NonNeg:
MinMaxNorm: min_value max_value rate axis
"""
TAIL = ("clipnorm clipvalue global_clipnorm use_ema ema_momentum ema_overwrite_frequency loss_scale_factor "
        "gradient_accumulation_steps name")
# what all classes of a section take by name
BY_NAME = {"layers": ("name", "dtype", "trainable", "autocast", "activity_regularizer", "input_shape", "input_dim")}


class Ignored(NamedTuple):
    """An argument that has no effect: its default, the values that are accepted (None: all), and what to do instead of others."""
    default: Any = None
    values: tuple | None = (None,)
    instead: str = ""


ANY = Ignored(values=None)
IMAGES = "reshape or transpose x so that channels are its last axis (channels_last)"
SET = "call model.set_weights"
IGNORED = {
    "activity_regularizer": Ignored(instead="there are penalties on weights only: kernel_regularizer and the like"),
    "autocast": ANY,
    "antialias": Ignored(False, (False,)), "pad_to_aspect_ratio": Ignored(False, (False,)), "fill_mode": Ignored("constant", ("constant",)),
    "fill_value": Ignored(0.0, None),       # of Resizing, which pads nothing
    "axis": Ignored(-1, (-1,), "put Permute before it, so that the axis is the last"),
    "batch_shape": ANY, "batch_size": ANY, "optional": Ignored(False, (False,)), "ragged": Ignored(None, (None, False)),
    "tensor": Ignored(),
    "data_format": Ignored(None, (None, "channels_last"), IMAGES),
    "dtype": Ignored(None, (None, "float32"), 'the model has the dtype, for all layers: mrdl.Sequential(layers, dtype="float64")'),
    "from_logits": Ignored(False, (False,), 'give the last layer activation="softmax"'), "learning_rate_power": Ignored(-0.5, (-0.5,)),
    "from_sorted_ids": Ignored(False, (False,)), "ignore_class": Ignored(instead="give sample_weight=0, or mask the steps"),
    "loss_scale_factor": ANY,           # gradients are divided by it again: in float32 it changes nothing
    "implementation": ANY, "input_length": ANY, "input_axes": Ignored(), "output_axes": Ignored(),
    "input_dim": ANY, "input_shape": ANY,       # Layer keeps them for Sequential
    "interpolation": Ignored("nearest", ("nearest",)), "normalize": Ignored(False, (False,)), "output_padding": Ignored(),
    "label_weights": Ignored(), "multi_label": Ignored(False, (False,)), "num_labels": ANY,
    "lora_alpha": Ignored(), "lora_rank": Ignored(), "quantization_config": Ignored(),
    "dropout": Ignored(0.0, (0.0,)), "recurrent_dropout": Ignored(0.0, (0.0,)), "seed": ANY,      # of ConvLSTM2D, as what follows
    "return_state": Ignored(False, (False,)), "stateful": Ignored(False, (False,)),
    "name": ANY, "noise_shape": Ignored(), "num_regressors": Ignored(0, (0,)),
    "reduction": Ignored("sum_over_batch_size", ("sum_over_batch_size",), "scale the loss by loss_weights"),
    "renorm": Ignored(False, (False,)), "renorm_clipping": Ignored(), "renorm_momentum": Ignored(0.99, None),
    "sparse": Ignored(False, (None, False)), "synchronized": Ignored(False, None),
    "thresholds": Ignored(instead="give num_thresholds"), "weights": Ignored(instead=SET),
    "unroll": Ignored(False, None), "use_cudnn": Ignored("auto", None),
}
DTYPES = (None, "bool", "bfloat16", *(f"float{n}" for n in (16, 32, 64)), *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)))
OF_CLASS = {("Input", "dtype"): Ignored(None, DTYPES, "give numbers")}


def ignored(cls: type, name: str) -> Ignored:
    """What is accepted for an argument for which the class has no field."""
    return OF_CLASS.get((cls.__name__, name)) or IGNORED.get(name, Ignored())


def _parsed() -> dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]]:
    found, section = {}, ""
    for line in ORDER.replace("\n    ", " ").replace("TAIL", TAIL).strip().splitlines():
        if line.startswith("["):
            section = line[1:-1]
            continue
        names, _, arguments = line.partition(":")
        order, _, named = arguments.partition(";")
        for name in names.split():
            found[section, name] = tuple(order.split()), (*named.split(), *BY_NAME.get(section, ()))
    return found


CLASSES = _parsed()


@cache
def places(cls: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arguments that the class takes in places, and those that it takes by name alone and has no field for."""
    section = cls.keras_module.rpartition(".")[2]
    if cls.__module__.startswith("mrdl.") and (section, cls.__name__) in CLASSES:
        return CLASSES[section, cls.__name__]
    return tuple(name for name, f in own(cls).items() if not f.kw_only), BY_NAME.get(section, ())       # Keras has no such class


@cache
def own(cls: type) -> dict[str, Any]:
    """The class's fields by name."""
    return {f.name: f for f in fields(cls) if f.init}


def plain(value: Any) -> Any:
    """The name of a dtype, or of Keras's policy for one; other values as they are."""
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return name if isinstance(name, str) else value


def bound(cls: type, args: tuple, kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `cls(*args, **kwargs)` gives to fields, and what to arguments that have none.

    Raises:
        TypeError: there are too many arguments, or one twice.
        ValueError: one that has no effect here asks for something."""
    order, named = places(cls)
    kind = cls.__name__
    if len(args) > len(order):
        raise TypeError(f"{kind} takes {len(order)} arguments by place ({', '.join(order)}), not {len(args)}")
    for name, value in zip(order, args):
        if name in kwargs:
            raise TypeError(f"{kind}: {name} is given twice")
        kwargs[name] = value
    known, rest = own(cls), {}
    for name in [name for name in kwargs if name not in known and name in (*order, *named)]:
        value = rest[name] = kwargs.pop(name)
        _, values, instead = ignored(cls, name)
        if values is not None and not any(value is v or plain(value) == v for v in values):
            text = " ".join(repr(plain(value)).split())
            raise ValueError(f"{kind}: {name}={text[:80]} is not supported" + f"; {instead}" * bool(instead))
    return kwargs, rest


def signature(cls: type) -> inspect.Signature:
    """The arguments of the class: first Keras's in their places, then those by name."""
    order, _ = places(cls)
    known = own(cls)

    def one(name: str, kind) -> inspect.Parameter:
        f = known.get(name)
        default = ignored(cls, name).default if f is None else f.default if f.default is not MISSING else inspect.Parameter.empty
        return inspect.Parameter(name, kind, default=default, annotation=f.type if f else Any)
    return inspect.Signature([*(one(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in order),
                              *(one(name, inspect.Parameter.KEYWORD_ONLY) for name in known if name not in order)])
