"""One job for several configurations of a search: each mapper trains or scores one of them, on one shard."""
from mrdl.jobs.train import TrainRound

from mrdl.runners.streaming import Job


class PooledRound(TrainRound):
    """Map: what the plan of the mapper's configuration asks for. Reduce: as in a round of one run."""

    def configure_args(self):
        Job.configure_args(self)
        self.add_file_arg("--plans", required=True, help="JSON: by the name of a configuration, its state's path or URL, and its plan")
        self.add_passthru_arg("--dtype", default="float32", help="type of the states' values: float32 or float64")

    def map_pairs(self, pairs, step_num=0):
        from mrdl.worker import answer, counters  # imported here, because reducers do not need them
        lines = (line for _, line in pairs)
        yield from counters.counted(answer.pooled(lines, self.options.plans, self.set_status), self.increment_counter)


if __name__ == "__main__":
    PooledRound.run()
