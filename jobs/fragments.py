"""One round of fragments: each mapper trains a part of the network; reducers write the means of each fragment's chunks."""
from mrdl.jobs.train import TrainRound

from mrdl.runners.streaming import Job


class FragmentRound(TrainRound):
    """Map: train a fragment on the split, or score the network. Reduce: as in a round of whole networks."""

    def configure_args(self):
        Job.configure_args(self)
        self.add_passthru_arg("--fragment", action="append", required=True, help="the part of the state for one fragment, a path or URL "
                              "that tasks can read; given once for each fragment, in order")
        self.add_file_arg("--state", help="the whole state, for a round that also scores")
        self.add_file_arg("--plan", required=True, help="what mrdl.rounds.plan.Plan.dump gave")
        self.add_passthru_arg("--dtype", default="float32", help="type of the state's values: float32 or float64")

    def map_pairs(self, pairs, step_num=0):
        from mrdl.worker import answer, counters  # imported here, because reducers do not need them
        lines, options = (line for _, line in pairs), self.options
        yield from counters.counted(answer.work(lines, options.state, options.plan, options.fragment), self.increment_counter)


if __name__ == "__main__":
    FragmentRound.run()
