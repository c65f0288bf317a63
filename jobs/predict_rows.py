"""A model's outputs for raw rows: lines of text in, a line for each out, in their order."""
from mrdl.runners.streaming import RawLines


class PredictRows(RawLines):
    """Map only: each part is the predictions of one split."""

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--state", required=True, help="the state to predict with")
        self.add_file_arg("--plan", required=True, help="what mrdl.driver.raw wrote")

    def map_pairs(self, pairs, step_num=0):
        from mrdl.worker import raw
        for line in raw.predictions(self.splits(pairs), self.options.state, self.options.plan,
                                    self.increment_counter):
            yield None, line


if __name__ == "__main__":
    PredictRows.run()
