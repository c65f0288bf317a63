"""Moving variances come out of a plain average as those of all examples together."""
import numpy as np
import pytest

from mrdl.rounds.partial import Partial, merge
from mrdl.rounds.variances import Variances


@pytest.mark.parametrize("counts", [[5, 5], [1, 30, 7]])
def test_the_average_of_widened_variances_narrowed_is_that_of_all(counts):
    rng, places = np.random.default_rng(0), [(1, 3, 2), (6, 7, 1)]      # means at 1, 2 and 6, variances at 3, 4 and 7
    begun, parts = rng.random(9), [rng.random(9) + 1 for _ in counts]
    p = np.array(counts)[:, None] / sum(counts)
    m, v = (np.stack([part[where] for part in parts]) for where in ([1, 2, 6], [3, 4, 7]))
    wanted = (p * (v + m ** 2)).sum(0) - (p * m).sum(0) ** 2
    for part in parts:
        Variances(begun, places).widen(part)
    (_, mean), = merge("000000", [Partial(i, n, part) for i, (n, part) in enumerate(zip(counts, parts))])
    average = mean.values.copy()
    Variances(begun, places).narrow(average)
    np.testing.assert_allclose(average[[3, 4, 7]], wanted, rtol=1e-12)
    others = [0, 1, 2, 5, 6, 8]
    assert (average[others] == mean.values[others]).all()


def test_a_variance_is_never_below_0():
    average = np.array([3.0, 0.5])
    Variances(np.array([1.0, 0.0]), [(0, 1, 1)]).narrow(average)
    assert average[1] == 0
