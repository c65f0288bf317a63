"""Cuts a network into fragments: smaller networks of the same layers, each with its share of the hidden units.

Independent subnet training (Yuan et al., VLDB 2022): units are dealt out, and a weight between two units belongs to
the fragment that has both; the others rest. What has no dealt unit at either end, such as the bias of the output, is in
all fragments: it is shared. The weights behind dealt units see fewer inputs than in the whole network, so a Rescaling
before them makes up for those that are missing, as dropout does.

Of a graph, whole residual blocks are dealt out instead (ResIST: Dun et al., UAI 2022).

RULES says how each kind of layer is cut. A new one needs a line there."""
import re
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from mrdl import seeds
from mrdl.config import need
from mrdl.layers import Bidirectional, Input, Rescaling
from mrdl.layers.layer import Layer, Weight
from mrdl.layers.operation import Shape
from mrdl.layers.recurrent import Recurrent
from mrdl.models.model import Model
from mrdl.models.residual import Block, blocks, shortened
from mrdl.models.sequential import Sequential
from mrdl.training.protocol import Step

WAYS = re.compile("^(forward|backward)_")       # of Bidirectional, before its weights' names
ENDS = ("kernel", "pointwise_kernel", "bias", "gamma", "beta")     # weights of a layer whose output grows as they do
Held = np.ndarray | None        # the numbers of the units (or weights) that a fragment has, ascending; None: all


class Cut(NamedTuple):
    """A layer of a fragment, and what it has of the whole layer."""
    layer: Layer
    units: Held = None          # of the units that it gives
    # of the last axes of its weights, in Keras's shapes, by the weights' names; those under "": of all that are not named
    axes: dict[str, tuple[Held, ...]] = {}      # noqa: RUF012 - nobody changes it
    scale: float = 1.0          # what its recurrent kernel is multiplied by


def made(field: str) -> tuple[str, Callable]:
    """The rule of a layer that makes `field` units of all its inputs."""
    def cut(layer: Layer, shape: Shape, held: Held, own: Held) -> Cut:
        return Cut(layer if own is None else replace(layer, **{field: len(own)}), own, {"kernel": (held, own), "bias": (own,)})
    return field, cut


def recurrent(layer: Recurrent, shape: Shape, held: Held, own: Held) -> Cut:
    """Units whose weights stand gate by gate. A unit sees only the states of the fragment's units, which are scaled up as its
    inputs are."""
    if own is None:
        return Cut(layer, None, {"kernel": (held, None)})
    gates = [(layer.units * np.arange(count)[:, None] + own).reshape(-1) for count in (layer.gates, 3)]
    return Cut(replace(layer, units=len(own)), own, {
        "kernel": (held, gates[0]), "recurrent_kernel": (own, gates[0]), "bias": (gates[0],), "peephole": (gates[1],)},
        layer.units / len(own))


def both_ways(layer: Bidirectional, shape: Shape, held: Held, own: Held) -> Cut:
    """The same units of both directions."""
    cuts = {way: recurrent(one, shape, held, own) for way, one in layer.ways()}
    axes = {way + name: places for way, cut in cuts.items() for name, places in cut.axes.items()}
    if own is None:
        return Cut(layer, None, axes)
    first, second = cuts.values()
    return Cut(replace(layer, layer=first.layer, backward_layer=layer.backward_layer and second.layer),
               np.concatenate([own, layer.layer.units + own]) if layer.merge_mode == "concat" else own, axes, first.scale)


def kept(layer: Layer, shape: Shape, held: Held, own: Held) -> Cut:
    """Each unit is handled alone, by weights of its own if there are any."""
    return Cut(layer, held, {"": (held,)})


def flattened(layer: Layer, shape: Shape, held: Held, own: Held) -> Cut:
    """The units of all places, in one row."""
    each = np.arange(0, int(np.prod(shape)), shape[-1])
    return Cut(layer, (each[:, None] + held).reshape(-1))


KEPT = ("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Dropout", "Rescaling", "SpatialDropout1D", "SpatialDropout2D",
        "GaussianNoise", "GaussianDropout", "AlphaDropout", "BatchNormalization", "LayerNormalization",
        "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
        "GlobalAveragePooling1D", "GlobalAveragePooling2D", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D",
        "UpSampling1D", "UpSampling2D", "RepeatVector")
# kind of layer -> (the field with the number of units that it makes, or "", the rule)
RULES = {"Dense": made("units"), "Conv1D": made("filters"), "Conv2D": made("filters"), "Flatten": ("", flattened),
         **dict.fromkeys(("SimpleRNN", "LSTM", "GRU", "GravesLSTM"), ("units", recurrent)), "Bidirectional": ("layer.units", both_ways),
         **dict.fromkeys(KEPT, ("", kept))}


@dataclass(frozen=True)
class Part:
    """A weight of the network, and the weight of a fragment that is cut from it. `places`: see numpy.ix_."""
    whole: Weight
    start: int
    own: Weight
    own_start: int
    places: tuple[np.ndarray, ...]
    shared: bool                # is it whole in all fragments?
    scale: float                # the fragment's weights are the network's, times this

    def cut(self, whole: np.ndarray, own: np.ndarray, scale: float) -> None:
        """Copies this weight from the network's vector to the fragment's."""
        values = self.whole.view(whole[self.start:self.start + self.whole.size])[self.places]
        self.own.from_keras(values * whole.dtype.type(scale), own[self.own_start:self.own_start + self.own.size])

    def join(self, own: np.ndarray, whole: np.ndarray, scale: float) -> None:
        """Copies this weight back."""
        values = self.own.view(own[self.own_start:self.own_start + self.own.size])
        self.whole.view(whole[self.start:self.start + self.whole.size])[self.places] = values / whole.dtype.type(scale)


@dataclass(frozen=True)
class Fragment:
    """One fragment of a network, which is a network too."""
    model: Model
    parts: list[Part]

    @property
    def parameters(self) -> int:
        return self.model.count_params()

    @property
    def shared(self) -> list[tuple[int, int]]:
        """The (start, stop) ranges of the weights that all fragments have, in the order of the whole network."""
        return [(part.own_start, part.own_start + part.own.size) for part in sorted(self.parts, key=lambda part: part.start) if part.shared]

    def cut(self, rows: np.ndarray) -> np.ndarray:
        """The fragment's part of rows[n, P], the weights and the updater's slots: [n, its P]."""
        found = np.empty((len(rows), self.parameters), rows.dtype)
        for part in self.parts:
            for number, (whole, own) in enumerate(zip(rows, found)):
                part.cut(whole, own, part.scale if number == 0 else 1.0)
        return found

    def join(self, own: np.ndarray, rows: np.ndarray) -> None:
        """Puts what `cut` gave into rows[n, P], in place."""
        for part in self.parts:
            for number, (mine, whole) in enumerate(zip(own, rows)):
                part.join(mine, whole, part.scale if number == 0 else 1.0)


def narrowed(model: Model, count: int) -> None:
    """Divides the initial weights behind units that are to be dealt out by the root of `count`, in place; of a graph, see
    _narrowed_blocks.

    A fragment has 1 / count of the inputs, and multiplies them by `count`: its sums have the spread for which initializers are
    made if the weights are narrower by the root."""
    if not isinstance(model, Sequential):
        _narrowed_blocks(model, count)
        return
    hidden = {step.index for step in _hidden(model)}
    behind = False
    for step in model.stack():
        for weight, start in zip(step.weights, step.offsets):
            name = WAYS.sub("", weight.name)
            if name == "recurrent_kernel" and step.index in hidden or name == "kernel" and behind and _field(step):
                model.weights[start:start + weight.size] /= model.dtype.type(count ** 0.5)
        behind = behind or step.index in hidden


def _narrowed_blocks(model: Model, count: int) -> None:
    """Divides the last initial weights of each residual block by the number of fragments, in place: a fragment, which multiplies them
    by as much, then begins as a network of its layers does."""
    found = blocks(model)
    for step in _ends(model, found):
        for weight, start in zip(step.weights, step.offsets):
            if weight.name in ENDS:
                model.weights[start:start + weight.size] /= model.dtype.type(min(count, len(found)))


def _ends(model: Model, found: list[Block]) -> list[Step]:
    """Of each residual block the last step that has weights, if its output grows as its weights do."""
    steps = {id(step.layer): step for step in model.stack() if step.weights}
    last = [[steps[id(call.layer)] for call in block.chain if id(call.layer) in steps][-1] for block in found]
    return [step for step in last if all(not w.trainable or w.name in ENDS and w.constraint is None for w in step.weights)]


def dealt(model: Model, count: int, *key: int | str) -> list[Fragment]:
    """Deals the hidden units of a Sequential out to `count` fragments, or the residual blocks of a graph, to fewer fragments if
    there are fewer blocks; ConfigError if the model cannot be cut.

    The key of the random numbers is `key` and the layer's number. Widths that `count` does not divide give fragments
    whose widths differ by one."""
    need(not model.nested, "fragments: a model that contains models cannot be cut into fragments yet")
    need(not model.frozen(), "fragments: a model with frozen layers (trainable=False) cannot be cut into fragments yet")
    if not isinstance(model, Sequential):
        return _by_blocks(model, count, *key)
    stack, hidden = model.stack(), _hidden(model)
    need(hidden != [], f"fragments: the model has no hidden units to deal out; {_dealable()} have such units")
    hands: dict[int, list[np.ndarray]] = {}
    for step in hidden:
        units = attrgetter(_field(step))(step.layer)
        need(units >= count, f"fragments: {step.name} has {units} units, fewer than the {count} fragments")
        hands[step.index] = np.array_split(seeds.permutation(units, *key, step.index), count)
    return [_fragment(model, stack, {index: np.sort(hand[number]) for index, hand in hands.items()}) for number in range(count)]


def _by_blocks(model: Model, count: int, *key: int | str) -> list[Fragment]:
    """The fragments of a graph: each has some of the residual blocks, and all else (ResIST: Dun et al., UAI 2022).

    The last weights of a fragment's blocks are those of the whole, times blocks of all / blocks of its own."""
    found = blocks(model)
    need(found != [], "fragments: the model has no residual blocks to deal out, as Add()([x, f]) is where a chain of layers makes f of x")
    within, ends = {id(call.layer) for block in found for call in block.chain}, {step.name for step in _ends(model, found)}
    whole = [step for step in model.stack() if not step.again]
    fragments = []
    for hand in np.array_split(seeds.permutation(len(found), *key), min(count, len(found))):
        made = shortened(model, [block for number, block in enumerate(found) if number not in hand])
        made.compile(model.optimizer, model.loss, metrics=model.metrics, loss_weights=model.loss_weights)
        steps = {step.name: step for step in made.stack() if not step.again}
        fragments.append(Fragment(made, [
            replace(part, shared=id(step.layer) not in within,
                    scale=len(found) / len(hand) if step.name in ends and part.whole.name in ENDS else 1.0)
            for step in whole if step.name in steps for part in _parts(step, Cut(step.layer), steps[step.name])]))
    return fragments


def _fragment(model: Sequential, stack: list[Step], own: dict[int, np.ndarray]) -> Fragment:
    """The fragment whose units are `own`, by the number of the layer."""
    found: list[Layer] = [Input(model.input_shape, sparse=model.sparse)]
    cuts, held = [], None
    for step in stack:
        mine, (shape,) = own.get(step.index), step.shapes
        if held is None and mine is None:       # nothing of it is cut
            cut = Cut(step.layer)
        else:
            need(type(step.layer).__name__ in RULES, f"fragments: {step.name} cannot be cut, and its inputs are hidden units; "
                 f"such layers can: {', '.join(RULES)}")
            field, rule = RULES[type(step.layer).__name__]
            need(getattr(step.layer, "groups", 1) == 1, f"fragments: {step.name} has groups of channels, which cannot be cut yet")
            if field and held is not None and len(held) < shape[-1]:
                found.append(Rescaling(shape[-1] / len(held)))
            cut = rule(step.layer, shape, held, mine)
        found.append(cut.layer)
        cuts.append((step, cut, len(found) - 2))
        held = cut.units
    made = Sequential([copy(layer) for layer in found], name=model.name, dtype=model.dtype.name)
    made.compile(model.optimizer, model.loss, metrics=model.metrics, loss_weights=model.loss_weights)
    own_stack = made.stack()
    return Fragment(made, [part for step, cut, number in cuts for part in _parts(step, cut, own_stack[number])])


def _parts(step: Step, cut: Cut, own: Step) -> Iterator[Part]:
    for whole, start, weight, own_start in zip(step.weights, step.offsets, own.weights, own.offsets):
        axes, held = list(map(np.arange, whole.keras)), cut.axes.get(whole.name, cut.axes.get("", ()))
        shared = True
        for axis, mine in enumerate(held, len(axes) - len(held)):
            if mine is not None and len(axes[axis]) > 1:        # a single one is for all units, as in PReLU's shared axes
                axes[axis], shared = mine, False
        need(shared or whole.constraint is None, f"fragments: {step.name} has a constraint on its {whole.name}, which a fragment "
             "has only a part of")
        yield Part(whole, start, weight, own_start, np.ix_(*axes), shared,
                   cut.scale if WAYS.sub("", whole.name) == "recurrent_kernel" else 1.0)


def _hidden(model: Sequential) -> list[Step]:
    """The layers whose units are dealt out: not the last one that has units, which makes the outputs."""
    return [step for step in model.stack() if _field(step)][:-1]


def _field(step: Step) -> str:
    """The field with the number of units that a layer makes; "" if it makes none that can be dealt out."""
    return RULES.get(type(step.layer).__name__, ("",))[0]


def _dealable() -> str:
    return ", ".join(kind for kind, (field, _) in RULES.items() if field)
