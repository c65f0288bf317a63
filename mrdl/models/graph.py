"""The graph of a functional model: the calls between inputs and outputs, with layers in Keras's order."""
import operator
from collections.abc import Iterator

from mrdl.config import need, shown
from mrdl.layers import Input
from mrdl.layers.layer import Layer, Symbol


class Graph:
    """`layers` has all layers, with the inputs, in the order in which Keras lists them and their weights."""

    def __init__(self, inputs, outputs):
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        given = [x.layer if isinstance(x, Symbol) and isinstance(x.layer, Input) else x for x in given]
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        need(given != [] and all(isinstance(x, Input) for x in given) and len(set(map(id, given))) == len(given),
             f"a model's inputs are what Input gave, each once, not {shown(inputs)}")
        need(outputs != [] and all(isinstance(x, Symbol) and x.main.inputs for x in outputs)
             and len(set(map(id, outputs))) == len(outputs),
             f"a model's outputs are what layers gave, each once, not {shown(outputs)}")
        self.inputs, self.outputs = given, outputs
        self.calls: list[Symbol] = []           # each after the calls whose outputs it uses
        self.parts: list[Symbol] = []           # further outputs of calls that are used
        self.layers = self._ordered()
        made = [*(layer.symbol for layer in self.inputs), *self.calls, *self.parts]
        self._places = {id(symbol): i for i, symbol in enumerate(made)}
        self._parts: dict[int, dict[int, Symbol]] = {}      # id of a call -> its further outputs by number
        for part in self.parts:
            self._parts.setdefault(id(part.main), {})[part.part] = part
        unknown = [c for c in self.calls for x in c.inputs if isinstance(x.layer, Input) and
                   not any(x.layer is i for i in given)]
        need(not unknown, f"{shown(unknown)} takes an Input that is not among the model's inputs")
        others = [layer for layer in self.layers if not isinstance(layer, Input)]
        self.numbers = {id(layer): i for i, layer in enumerate(others)}

    def __reduce__(self):
        return Graph, (self.inputs, self.outputs)       # a copy has other objects, so it must know their ids anew

    def place(self, symbol: Symbol) -> int:
        """The number of the symbol's tensor: first the model's inputs, then the outputs of calls, then further outputs."""
        return self._places[id(symbol)]

    def parts_of(self, call: Symbol) -> tuple:
        """(number, shape) of all further outputs of a call; empty if none of them is used."""
        taken = self._parts.get(id(call), {})
        if not taken:
            return ()
        # unused outputs get a negative placeholder number
        return tuple((self.place(taken[i]) if i in taken else -i, (call.layer.units,))
                     for i, _ in enumerate(call.layer.state_names, 1))

    def sources(self, call: Symbol) -> tuple[int, ...]:
        return tuple(map(self.place, call.inputs))

    def over(self, inputs: list[Input | Symbol], layers: dict[int, Layer] | None = None,
             left_out: dict[int, Symbol] | None = None) -> list[Symbol]:
        """The outputs of the same calls for other inputs. A call of a model is replaced by those of its layers; one whose inputs stay
        the same is kept.

        `layers`: by the ids of layers, others that take their places. `left_out`: by the ids of calls that are left out, what
        their users get instead."""
        layers, left_out = layers or {}, left_out or {}
        made = {id(old.symbol): getattr(new, "symbol", new) for old, new in zip(self.inputs, inputs)}
        for call in self.calls:
            if id(call) in left_out:
                made[id(call)] = made[id(left_out[id(call)])]
                continue
            layer, given = layers.get(id(call.layer), call.layer), [made[id(source)] for source in call.inputs]
            parts = self._parts.get(id(call), {})
            same = isinstance(layer, Layer) and layer is call.layer and all(map(operator.is_, given, call.inputs))
            found = {0: call, **parts} if same else dict(enumerate(applied(layer, given)))
            made[id(call)] = found[0]
            made |= {id(part): found[number] for number, part in parts.items()}
        return [made[id(output)] for output in self.outputs]

    def _ordered(self) -> list[Layer]:
        """The layers, sorted by their distance from the outputs, the furthest first; equal ones in the order met."""
        done: list[Symbol] = []                 # each after the calls whose outputs it uses
        met: dict[int, int] = {}                # id of a layer -> when it was met
        seen: set[int] = set()                  # ids of symbols
        # the path from an output, with the inputs left to visit
        way: list[tuple[Symbol | None, Iterator[Symbol]]] = [(None, iter(self.outputs))]
        while way:
            symbol, sources = way[-1]
            source = next(sources, None)
            if source is None:
                way.pop()
                done += [symbol] if symbol else []
                continue
            if source.part and id(source) not in seen:
                self.parts.append(source)
            main = source.main
            if id(main) not in seen:
                met.setdefault(id(main.layer), len(met))
                way.append((main, iter(main.inputs)))
            seen |= {id(source), id(main)}
        self.calls = [symbol for symbol in done if symbol.inputs]
        far: dict[int, int] = {}                # id of a symbol -> number of calls between it and an output
        of_layer: dict[int, int] = {}
        for symbol in reversed(done):
            depth = max(far.get(id(symbol), 0), of_layer.get(id(symbol.layer), 0))
            far[id(symbol)] = of_layer[id(symbol.layer)] = depth
            for source in (x.main for x in symbol.inputs):
                far[id(source)] = max(depth + 1, far.get(id(source), 0))
        layers = {id(symbol.layer): symbol.layer for symbol in done}
        for layer in self.inputs:               # inputs that are not used
            if id(layer) not in layers:
                layers[id(layer)], of_layer[id(layer)], met[id(layer)] = layer, 0, -1
        return sorted(layers.values(), key=lambda layer: (-of_layer[id(layer)], met[id(layer)]))


def by_name(given) -> tuple[object, list[str] | None]:
    """Inputs or outputs as Graph takes them; of a dict also the names, in whose order they are."""
    if not isinstance(given, dict):
        return given, None
    need(given != {} and all(isinstance(name, str) and name for name in given), f"the names in {shown(given)} must be texts")
    return [given[name] for name in sorted(given)], sorted(given)


def applied(layer, given: list[Symbol]) -> list[Symbol]:
    """What a layer gives for these; of a model, what its layers give."""
    if not isinstance(layer, Layer):
        return layer.applied(given)
    x, *states = given
    with layer.aside():                     # what counts are the calls of the user
        found = layer(given) if layer.merges else layer(x, states) if states else layer(x)
    return list(found) if isinstance(found, (list, tuple)) else [found]
