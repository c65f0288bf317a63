"""One round: mappers read the blocks of their shards and emit one partial per chunk; reducers write the means."""
from mrdl.rounds import partial
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import WHOLE_FILES, Job


class TrainRound(Job):
    """Map: train on the split, or score it. Reduce: compute the weighted mean of each chunk."""
    INPUT_PROTOCOL = protocol.BytesValueProtocol
    JOBCONF = WHOLE_FILES
    SORT_VALUES = True                  # sorts by chunk, then by worker

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--state", required=True, help="the state that the round begins with, coded if the broadcast is")
        self.add_file_arg("--scored", help="the exact state, for a round that also scores, if the broadcast is coded")
        self.add_file_arg("--plan", required=True, help="what mrdl.rounds.plan.Plan.dump gave")
        self.add_passthru_arg("--dtype", default="float32", help="type of the state's values: float32 or float64")

    def internal_protocol(self):
        return partial.PartialProtocol(self.options.dtype)

    output_protocol = internal_protocol

    def map_pairs(self, pairs, step_num=0):
        from mrdl.worker import answer, counters  # imported here, because reducers do not need them
        lines = (line for _, line in pairs)
        found = answer.work(lines, self.options.state, self.options.plan, report=self.set_status, scored=self.options.scored)
        yield from counters.counted(found, self.increment_counter)

    def reducer(self, chunk, partials):
        yield from partial.merge(chunk, partials)


if __name__ == "__main__":
    TrainRound.run()
