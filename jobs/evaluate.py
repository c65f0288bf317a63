"""Computes a model's loss and metrics over shards: reads blocks, writes one record per shard."""
from mrdl.rounds import partial
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import WHOLE_FILES, Job
from mrdl.worker import answer


class Evaluate(Job):
    """Map: score each shard of the split. There is no reducer: the driver adds the sums."""
    INPUT_PROTOCOL = protocol.BytesValueProtocol
    JOBCONF = WHOLE_FILES
    OUTPUT_PROTOCOL = partial.PartialProtocol

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--state", required=True, help="the state to score")
        self.add_file_arg("--plan", required=True, help="what mrdl.rounds.plan.Plan.dump gave")

    def map_pairs(self, pairs, step_num=0):
        lines = (line for _, line in pairs)
        yield from answer.work(lines, self.options.state, self.options.plan)


if __name__ == "__main__":
    Evaluate.run()
