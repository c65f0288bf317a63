"""Loss and metrics of a model over raw rows: lines of text in, one line of sums out."""
from mrdl.jobs.predict_rows import PredictRows


class EvaluateRows(PredictRows):
    """Map only. Nothing is reduced: the driver adds the sums in the order of the input."""

    def map_pairs(self, pairs, step_num=0):
        from mrdl.worker import raw
        for line in raw.scores(self.splits(pairs), self.options.state, self.options.plan):
            yield None, line


if __name__ == "__main__":
    EvaluateRows.run()
