"""Raw input in; shard r out of reducer r, and the facts about all rows out of the last one."""
import json
import os

from mrdl.records import FILES, Plan, Rows, merged_facts, shard_lines
from mrdl.sources import opened
from mrdl.streaming import Job, protocol


class Prepare(Job):
    """Parse, shuffle by hash, pack. Key: the shard's; value: hash TAB row."""
    INPUT_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol
    INTERNAL_PROTOCOL = protocol.BytesProtocol
    SORT_VALUES = True

    @staticmethod
    def bare(line: bytes) -> bytes:
        """With its carriage return: each byte counts in the places of rows."""
        return line.removesuffix(b"\n")

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--plan", required=True, help="what mrdl.records.Plan.dump wrote")

    def map_pairs(self, pairs, step_num=0):
        file = os.environ.get("mapreduce_map_input_file", "").removeprefix("file://")
        start = int(os.environ.get("mapreduce_map_input_start", "0"))
        plan, lines = Plan.load(self.options.plan), (line for _, line in pairs)
        if os.path.basename(file).startswith(FILES):
            for path in map(json.loads, lines):
                with opened(path) as content:
                    yield from Rows(plan, path).pairs(map(self.bare, content))
        else:
            yield from Rows(plan, file, start).pairs(lines)

    def reducer(self, key, values):
        plan = Plan.load(self.options.plan)
        shard = plan.keys.index(key.decode())
        if shard == plan.shards:
            yield None, merged_facts(values)
        else:
            yield from ((None, line) for line in shard_lines(plan, shard, values))


if __name__ == "__main__":
    Prepare.run()
