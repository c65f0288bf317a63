"""What training leaves beside the weights, and how it goes on: from fit to fit, through files, from run to run."""
from models import arrays, classifier
from test_fit import bits


def test_epochs_one_by_one_are_those_of_one_fit_and_draw_on():
    x, y = arrays()
    once, loop, repeated = classifier(), classifier(), classifier()
    once.fit(x, y, epochs=3, batch_size=16)
    losses = [loop.fit(x, y, batch_size=16).history["loss"][0] for _ in range(3)]
    assert bits(loop) == bits(once) and loop.epochs == once.epochs == 3
    for _ in range(3):                                  # the order and dropout of the first epoch again and again
        repeated.epochs = 0
        repeated.fit(x, y, batch_size=16)
    assert bits(repeated) != bits(once) and len(set(losses)) == 3
