"""Reads raw input; reducer r writes shard r, and the last reducer writes the facts about all rows."""
from mrdl.data.quarantine import Quarantine
from mrdl.data.readers.table import loaded
from mrdl.data.rows import Rows
from mrdl.data.shards import output_lines
from mrdl.runners.streaming import RawLines


class Prepare(RawLines):
    """Parses rows, shuffles them by hash, and packs them. Key: the shard's; value: hash TAB row."""
    SORT_VALUES = True
    reduces_pieces = True

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--plan", required=True, help="what mrdl.data.preparation.Plan.dump wrote")

    def map_pairs(self, pairs, step_num=0):
        plan = loaded(self.options.plan)
        with Quarantine(plan.quarantine) as kept:
            for file, start, lines in self.splits(pairs):
                rows = Rows(plan, file, start)
                rows.quarantine = kept
                yield from rows.pairs(lines)

    def reduce_pairs(self, pairs, step_num=0):
        plan = loaded(self.options.plan)
        yield from ((None, line) for line in output_lines(plan, map(b"\t".join, pairs)))

    reducer = reduce_pairs              # by which mrjob sees that there is one


if __name__ == "__main__":
    Prepare.run()
