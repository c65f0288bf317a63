"""Computes a model's outputs over shards: reads blocks, writes one CSV line per example, in the shards' order."""
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import WHOLE_FILES, Job
from mrdl.worker import score


class Predict(Job):
    """Map only: each part of the output has the predictions for one shard."""
    INPUT_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol
    JOBCONF = WHOLE_FILES

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--state", required=True, help="the state to predict with")
        self.add_file_arg("--plan", required=True, help="what mrdl.rounds.plan.Plan.dump gave")
        self.add_passthru_arg("--probabilities", action="store_true", help="of a model that classifies each step: "
                                   "write the probabilities of all classes")

    def map_pairs(self, pairs, step_num=0):
        lines = (line for _, line in pairs)
        for line in score.predictions(lines, self.options.state, self.options.plan, self.options.probabilities):
            yield None, line


if __name__ == "__main__":
    Predict.run()
