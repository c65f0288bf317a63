"""Makes a summary of a model for people: names of layers, and a table of their outputs and weights."""
from mrdl.config import ConfigError, shown, snake
from mrdl.layers import Input
from mrdl.layers.layer import Layer

MODELS = ("functional", "sequential")           # names of models that were given none


def names(layers: list[Layer]) -> list[str]:
    """Each layer's name; unnamed layers get their kind and the first free number. ConfigError if two have the same name."""
    inputs = any(isinstance(layer, Input) for layer in layers)
    taken, found, next_of = set() if inputs else {"input_layer"}, [], {}
    own = [None if not isinstance(layer, Layer) and layer.name in MODELS else layer.name for layer in layers]
    for name in own:
        if name is not None:
            if name in taken:
                raise ConfigError(f"two layers have the name {shown(name)}")
            taken.add(name)
    for layer, told in zip(layers, own):
        kind = "input_layer" if isinstance(layer, Input) else snake(type(layer).__name__) if isinstance(layer, Layer) else layer.name
        name = base = told or kind
        while told is None and name in taken:
            next_of[base] = next_of.get(base, 0) + 1
            name = f"{base}_{next_of[base]}"
        taken.add(name)
        found.append(name)
    return found


def text(model) -> str:
    """The table of a model's layers, shapes and parameters; for a graph, also the inputs of each layer."""
    stack = model.stack()
    tensors = dict(enumerate(model.input_names() + [step.name for step in stack]))
    tensors |= {part: f"{s.name}[{i}]" for s in stack for i, (part, _) in enumerate(s.parts, 1)}
    rows = [("layer", "output", "parameters", "takes")]
    rows += [(f"{s.name} ({type(s.layer).__name__})", str((None, *s.output)), "as above" if s.again else
              f"{sum(w.size for w in s.weights):,}", ", ".join(tensors[i] for i in s.inputs)) for s in stack]
    wide = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" + f"  {d}" * hasattr(model, "graph")
             for a, b, c, d in rows]
    lines.insert(1, "-" * len(lines[0]))
    size = model.count_params()
    frozen = sum(stop - start for start, stop in model.frozen())
    lines.append(f"{size:,} parameters, {size * model.dtype.itemsize / 1e6:.1f} MB" + f"; {frozen:,} of them are frozen" * bool(frozen))
    return "\n".join([f'Model "{model.name}"', *lines])
