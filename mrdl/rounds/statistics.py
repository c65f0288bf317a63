"""What becomes of statistics of data in the mean of the workers' vectors.

BatchNormalization's variances are narrowed (mrdl.rounds.variances), Normalization's moments stay as
they are. The driver does so, and so do resident workers where the mean is the next state: they need
not read the driver's file then."""
import numpy as np

from mrdl.rounds.variances import Places, Variances


class Statistics:
    """Those of one round.

    It keeps what it needs of the vector before the round, as workers train that in place. `moments`
    and `fixed` are those of the round's Plan."""

    def __init__(self, before: np.ndarray, moments: Places, fixed: list[tuple[int, int]]):
        self.variances = Variances(before, moments)
        self.fixed = [(slice(start, stop), before[start:stop].copy()) for start, stop in fixed]

    def settled(self, mean: np.ndarray) -> np.ndarray:
        """The mean with its statistics as they are after the round. The mean stays as it was: the exchange may still need it."""
        if self.variances.places or self.fixed:
            mean = mean.copy()
        self.variances.narrow(mean)
        for place, values in self.fixed:        # averaging identical floats can change the last bit
            mean[place] = values
        return mean
