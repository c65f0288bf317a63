"""Parses the splits of raw inputs, and writes what blocks they make; the blocks themselves are not kept."""
import json

from mrdl.data.quarantine import Quarantine
from mrdl.data.readers.table import loaded
from mrdl.data.reference import referred
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import WHOLE_FILES, Job


class Refer(Job):
    """Map only: a line of JSON names a split, and one tells what is in it."""
    INPUT_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol
    JOBCONF = WHOLE_FILES

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--plan", required=True, help="what mrdl.data.preparation.Plan.dump wrote")

    def map_pairs(self, pairs, step_num=0):
        plan = loaded(self.options.plan)
        with Quarantine(plan.quarantine) as kept:
            for _, line in pairs:
                yield None, json.dumps(referred(plan, *json.loads(line), kept)).encode()


if __name__ == "__main__":
    Refer.run()
