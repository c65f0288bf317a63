"""Where arguments differ from Keras's on purpose: (class or "*", argument) -> the reason."""
DEFAULTS = {
    ("*", "name"): "mrdl makes the name that Keras would make when it is needed; of losses, optimizers and schedules it has no effect",
    ("Input", "shape"): "an Input without a shape is of one number an example",
    ("Input", "sparse"): "None is False",
    ("CategoryEncoding", "num_tokens"): "needed: Keras needs it too where output_mode is not int",
}
