"""One round: a shard's blocks in, one partial per chunk and worker through the shuffle, means out."""
from mrdl.rounds import partial
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import WHOLE_FILES, Job


class TrainRound(Job):
    """Map: train on the split, or score it. Reduce: the weighted mean of a chunk."""
    INPUT_PROTOCOL = protocol.BytesValueProtocol
    JOBCONF = WHOLE_FILES
    SORT_VALUES = True                  # by chunk, then by worker

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--state", required=True, help="the state that the round begins with")
        self.add_file_arg("--plan", required=True, help="what mrdl.rounds.plan.Plan.dump gave")
        self.add_passthru_arg("--dtype", default="float32", help="of the state's vector")

    def internal_protocol(self):
        return partial.PartialProtocol(self.options.dtype)

    output_protocol = internal_protocol

    def map_pairs(self, pairs, step_num=0):
        from mrdl.worker import answer, counters  # not for reducers, which need nothing of a model
        lines = (line for _, line in pairs)
        yield from counters.counted(answer.work(lines, self.options.state, self.options.plan), self.increment_counter)

    def reducer(self, chunk, partials):
        yield from partial.merge(chunk, partials)


if __name__ == "__main__":
    TrainRound.run()
