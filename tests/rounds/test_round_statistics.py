"""What becomes of statistics of data in the mean."""
import numpy as np

from mrdl.rounds.statistics import Statistics


def test_variances_are_narrowed_what_is_fixed_stays_and_so_does_the_mean():
    before = np.arange(8.0)
    statistics = Statistics(before, [(0, 1, 1)], [(4, 6)])
    before[:] = -1                              # workers train it in place
    mean = np.full(8, 9.0)
    assert statistics.settled(mean).tolist() == [9, 0, 9, 9, 4, 5, 9, 9]    # 9 - (9 - 0)^2 is below 0
    assert (mean == 9).all()


def test_without_statistics_the_mean_is_not_copied():
    mean = np.ones(4)
    assert Statistics(np.zeros(4), [], []).settled(mean) is mean
