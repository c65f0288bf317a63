"""Reads raw input; reducer r writes shard r, and the last reducer writes the facts about all rows."""
import os
from itertools import groupby

from mrdl.data.facts import merged_facts
from mrdl.data.readers.table import loaded
from mrdl.data.rows import Rows
from mrdl.data.shards import shard_lines
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import Job


class Prepare(Job):
    """Parses rows, shuffles them by hash, and packs them. Key: the shard's; value: hash TAB row."""
    INPUT_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol
    INTERNAL_PROTOCOL = protocol.BytesProtocol
    SORT_VALUES = True

    @staticmethod
    def bare(line: bytes) -> bytes:
        """Keeps the carriage return, because byte offsets of rows count every byte."""
        return line.removesuffix(b"\n")

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--plan", required=True, help="what mrdl.data.preparation.Plan.dump wrote")

    def map_pairs(self, pairs, step_num=0):
        plan, lines = loaded(self.options.plan), (line for _, line in pairs)
        for file, own in groupby(lines, lambda _: os.environ.get("mapreduce_map_input_file", "").removeprefix("file://")):
            yield from Rows(plan, file, int(os.environ.get("mapreduce_map_input_start", "0"))).pairs(own)

    def reducer(self, key, values):
        plan = loaded(self.options.plan)
        shard = plan.keys.index(key.decode())
        if shard == plan.shards:
            yield None, merged_facts(values)
        else:
            yield from ((None, line) for line in shard_lines(plan, shard, values))


if __name__ == "__main__":
    Prepare.run()
