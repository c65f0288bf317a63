"""What a functional model is made of: the calls between inputs and outputs, in Keras's order of layers."""
from collections.abc import Iterator

from mrdl.config import need, shown
from mrdl.layers import Input
from mrdl.layers.layer import Layer, Symbol


class Graph:
    """`layers`, the inputs among them, in the order in which Keras lists them and their weights."""

    def __init__(self, inputs, outputs):
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        need(given != [] and all(isinstance(x, Input) for x in given) and len(set(map(id, given))) == len(given),
             f"a model's inputs are what Input gave, each once, not {shown(inputs)}")
        need(outputs != [] and all(isinstance(x, Symbol) and x.main.inputs for x in outputs)
             and len(set(map(id, outputs))) == len(outputs),
             f"a model's outputs are what layers gave, each once, not {shown(outputs)}")
        self.inputs, self.outputs = given, outputs
        self.calls: list[Symbol] = []           # each after what it takes
        self.parts: list[Symbol] = []           # what calls give beside their first, where it is taken
        self.layers = self._ordered()
        made = [*(layer.symbol for layer in self.inputs), *self.calls, *self.parts]
        self._places = {id(symbol): i for i, symbol in enumerate(made)}
        self._parts: dict[int, dict[int, Symbol]] = {}      # of each call, by their numbers
        for part in self.parts:
            self._parts.setdefault(id(part.main), {})[part.part] = part
        unknown = [c for c in self.calls for x in c.inputs if isinstance(x.layer, Input) and
                   not any(x.layer is i for i in given)]
        need(not unknown, f"{shown(unknown)} takes an Input that is not among the model's inputs")
        others = [layer for layer in self.layers if not isinstance(layer, Input)]
        self.numbers = {id(layer): i for i, layer in enumerate(others)}

    def place(self, symbol: Symbol) -> int:
        """The number of its tensor: the model's inputs come first, then the calls, then their other parts."""
        return self._places[id(symbol)]

    def parts_of(self, call: Symbol) -> tuple:
        """(number, shape) of all that a call gives beside its first, or nothing where nobody takes any of it."""
        taken = self._parts.get(id(call), {})
        if not taken:
            return ()
        # one that nobody takes has a number that nobody asks for
        return tuple((self.place(taken[i]) if i in taken else -i, (call.layer.units,))
                     for i, _ in enumerate(call.layer.state_names, 1))

    def sources(self, call: Symbol) -> tuple[int, ...]:
        return tuple(map(self.place, call.inputs))

    def over(self, first: Input) -> list[Symbol]:
        """The outputs of the same calls over another input, in a graph of one input whose calls give one tensor each."""
        made = {id(self.inputs[0].symbol): first.symbol}
        for call in self.calls:
            x, *states = (made[id(source)] for source in call.inputs)
            made[id(call)] = call.layer([x, *states]) if call.layer.merges else \
                call.layer(x, states) if states else call.layer(x)
        return [made[id(output)] for output in self.outputs]

    def _ordered(self) -> list[Layer]:
        """Those that are furthest from the outputs first; of the same distance the one that was met first."""
        done: list[Symbol] = []                 # each after what it takes
        met: dict[int, int] = {}                # id of a layer -> when it was met
        seen: set[int] = set()                  # ids of symbols
        way: list[tuple[Symbol | None, Iterator[Symbol]]] = [(None, iter(self.outputs))]     # from an output, and what is left
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
        far: dict[int, int] = {}                # id of a symbol -> calls between it and an output
        of_layer: dict[int, int] = {}
        for symbol in reversed(done):
            depth = max(far.get(id(symbol), 0), of_layer.get(id(symbol.layer), 0))
            far[id(symbol)] = of_layer[id(symbol.layer)] = depth
            for source in (x.main for x in symbol.inputs):
                far[id(source)] = max(depth + 1, far.get(id(source), 0))
        layers = {id(symbol.layer): symbol.layer for symbol in done}
        for layer in self.inputs:               # those that nothing is made of
            if id(layer) not in layers:
                layers[id(layer)], of_layer[id(layer)], met[id(layer)] = layer, 0, -1
        return sorted(layers.values(), key=lambda layer: (-of_layer[id(layer)], met[id(layer)]))
