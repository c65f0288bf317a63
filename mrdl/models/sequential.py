"""Sequential: a model that is a sequence of layers."""
from contextlib import nullcontext

from mrdl.config import ConfigError, need, shown
from mrdl.layers import LAYERS, Input
from mrdl.layers.layer import Layer, Symbol, rested, sized
from mrdl.layers.operation import Shape
from mrdl.models.graph import Graph, applied
from mrdl.models.model import Model, over
from mrdl.models.weighted import without_batch
from mrdl.training.protocol import Step


class Sequential(Model):
    """A model that is a sequence of layers.

    Args:
        layers: the layers, beginning at the input. The first may be an Input, which gives the shape
            of one example; without it, `build` or the first data give the shape.
        trainable: whether training changes weights, where the layers say so too. It may be set later
            too, which sets it on all layers.
        name: the model's name in its spec. None: "sequential".
        dtype: of weights and data: "float32", or "float64" for checks.

    Raises:
        ConfigError: layers do not fit each other."""

    kind = "Sequential"

    def __init__(self, layers: list[Layer] | None = None, trainable: bool = True, name: str | None = None, *,
                 dtype: str = "float32"):
        self._begin("sequential" if name is None else name, dtype, trainable)
        self.input_shape: Shape | None = None
        self.layers: list[Layer] = []
        self.first: Input | None = None                 # of the calls that `symbols` are what came of
        self.symbols: list[Symbol] = []
        for layer in layers or ():
            self._put(layer)
        self.names()
        if self.input_shape is not None:
            self.stack()                                # raises errors about shapes that do not fit
            self._join()
        if not trainable:
            self.trainable = False

    def pop(self, rebuild: bool = True) -> Layer:
        """Removes the last layer; the weights of the others are kept.

        Args:
            rebuild: as in Keras; it has no effect.

        Returns:
            The layer.

        Raises:
            ConfigError: there is no layer."""
        need(self.layers != [], "pop: the model has no layers")
        layer = self.layers.pop()
        self.symbols = self.symbols[:len(self.layers)]
        if self.weights is not None:
            self.weights = self.weights[:self.count_params()].copy()
        self.fresh_updater()
        return layer

    def add(self, layer: Layer, rebuild: bool = True) -> None:
        """Adds a layer at the end; existing weights are kept.

        Args:
            layer: a layer; an Input must be the first, once.
            rebuild: as in Keras; it has no effect.

        Raises:
            ConfigError: it does not fit the layers before it; the model stays unchanged."""
        self._put(layer)
        try:
            self.names()
            if self.input_shape is not None:
                self.stack()
                self._join()
        except ConfigError:
            self.layers.pop()
            raise
        self.fresh_updater()

    def _put(self, layer: Layer) -> None:
        if isinstance(layer, Model):
            if not self.layers and self.input_shape is None:
                self.input_shape = layer.input_shape
            self.layers.append(layer)
            return
        need(isinstance(layer, tuple(LAYERS)), f"{shown(layer)} is not a layer of mrdl.layers; "
             "there are no others, of Keras or your own")
        if isinstance(layer, Input):
            need(not self.layers and self.input_shape is None,
                 "Input must be the first layer, once")
            self.input_shape, self.sparse = layer.shape, layer.sparse
        else:
            if not self.layers and self.input_shape is None and layer.first_shape is not None:
                self.input_shape = Input(layer.first_shape).shape
            self.layers.append(layer)

    def _join(self) -> None:
        """Calls each layer that was not called yet with what the one before it gave; then `layer.output` is known."""
        if self.first is None or self.first.shape != self.input_shape:
            self.first, self.symbols = Input(self.input_shape, sparse=self.sparse), []
        for layer in self.layers[len(self.symbols):]:
            x = self.symbols[-1] if self.symbols else self.first
            with layer.aside() if getattr(layer, "gave", ()) else nullcontext():    # a layer's first call is the one that counts
                self.symbols.append(layer(x))

    @property
    def inputs(self) -> list[Input]:
        need(self.input_shape is not None, "the model has no input shape yet: begin with Input(shape) or call build(shape)")
        self._join()
        return [self.first]

    @property
    def outputs(self) -> list[Symbol]:
        return [self.symbols[-1]] if self.inputs and self.symbols else []

    @property
    def flat(self) -> Graph:
        """The graph of the calls of layers, of a model that contains models."""
        return self._flat([Input(self.input_shape, sparse=self.sparse)])

    @property
    def calls(self) -> int:
        """How many calls of layers there are."""
        return sum(getattr(layer, "calls", 1) for layer in self.layers)

    def applied(self, given: list[Symbol]) -> list[Symbol]:
        """The outputs of its layers for an input.

        Args:
            given: a list of one symbol."""
        need(len(given) == 1, f"{self.name} takes one input, not {len(given)}")
        for layer in self.layers:
            if isinstance(layer, Model) and layer.input_shape is None:
                layer._takes(given[0].shape)
            given = applied(layer, given)
            need(len(given) == 1, f"{layer.name} gives several outputs: use mrdl.Model")
        return given

    def _takes(self, shape: Shape) -> None:
        self.input_shape = shape
        self.stack()

    def _over(self, shape: Shape) -> "Sequential":
        return Sequential([Input(shape), *self.layers], name=self.name, dtype=self.dtype.name)

    # -- shapes and weights

    def stack(self) -> list[Step]:
        """The layers with their shapes and their places in the flat vector."""
        need(self.input_shape is not None,
             "the model has no input shape yet: begin with Input(shape) or call build(shape)")
        if self.nested:
            return super().stack()
        shape, start, steps = self.input_shape, 0, []
        for index, (layer, name) in enumerate(zip(self.layers, self.names())):
            before = shape
            try:
                need(not layer.merges, f"{type(layer).__name__} takes several inputs: use mrdl.Model")
                need(not getattr(layer, "return_state", False),
                     f"{type(layer).__name__} gives its states too (return_state): use mrdl.Model")
                weights = layer.weights_behind(shape, self.sparse and not index)
                shape = sized(layer, layer.shape_of_output(shape))
            except ConfigError as error:
                raise ConfigError(f"layer {index + 1}, {error}") from None
            offsets = []
            for weight in weights:
                offsets.append(start)
                start += weight.size
            frozen = self._frozen(layer)
            steps.append(Step(index, name, layer, shape, rested(weights) if frozen else weights, offsets, (index,), [before],
                              frozen=frozen))
        return steps

    def sparse_inputs(self) -> list[bool]:
        return [self.sparse]

    def input_shapes(self) -> list[Shape]:
        return [self.input_shape]

    def input_names(self) -> list[str]:
        return ["input_layer"]

    def output_shapes(self) -> list[Shape]:
        return [self.stack()[-1].output if self.layers else self.input_shape]

    def output_tensors(self) -> list[int]:
        return super().output_tensors() if self.nested else [len(self.layers)]

    def output_activations(self) -> list[str]:
        """The activation of the last layer that computes something."""
        if self.nested:
            return super().output_activations() if self.input_shape is not None else self.layers[-1].output_activations()
        for i, layer in reversed(list(enumerate(self.layers))):
            if layer.operation is not None:
                steps = self.stack() if self.input_shape is not None else []
                return [over(layer.last_activation, *(steps[at].output for at in (i, -1))) if steps
                        else layer.last_activation]
        return ["linear"]

    def output_names(self) -> list[str]:
        return self.names()[-1:] or ["output"]

    def build(self, input_shape: Shape | int | None = None, seed: int = 0) -> "Sequential":
        """Initialises the weights, unless they exist; `fit` does so automatically.

        Args:
            input_shape: the shape of an example, without the batch, or with None for it: (None, 4).
                None: the model has an Input.
            seed: with the layer's number, the key of random numbers; weights are the same in every
                process.

        Returns:
            The model.

        Raises:
            ConfigError: the shape does not fit the layers, or the weights do not fit into
                memory."""
        input_shape = without_batch(input_shape)
        if input_shape is not None and self.input_shape is None:
            self.input_shape = Input(input_shape).shape
            try:
                self.stack()
            except ConfigError:
                self.input_shape = None
                raise
            self._join()
        return super().build(input_shape, seed)
