"""What the mean of the workers' vectors becomes: the vector of the next state.

The driver computes it by this, and so do resident workers, who need not read the driver's file
then. It is the mean itself, but for statistics of data: BatchNormalization's variances are narrowed
(mrdl.rounds.variances), Normalization's moments stay as they are."""
import numpy as np

from mrdl.rounds.variances import Places, Variances


class Outer:
    """The rule of one round.

    It keeps what it needs of the vector before the round, as workers train that in place. `moments`
    and `fixed` are those of the round's Plan."""

    def __init__(self, before: np.ndarray, moments: Places, fixed: list[tuple[int, int]]):
        self.variances = Variances(before, moments)
        self.fixed = [(slice(start, stop), before[start:stop].copy()) for start, stop in fixed]

    def next(self, mean: np.ndarray) -> np.ndarray:
        """The vector after the round. The mean stays as it was: the exchange may still need it."""
        if self.variances.places or self.fixed:
            mean = mean.copy()
        self.variances.narrow(mean)
        for place, values in self.fixed:        # averaging identical floats can change the last bit
            mean[place] = values
        return mean
