"""Lines of a table in; out of the reducers the statistics of each column, and what is said of the records."""
from mrdl.data.survey import Columns, loaded, merged
from mrdl.runners.streaming import RawLines


class SurveyColumns(RawLines):
    """Key: the column's number; value: its statistics."""

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--survey", required=True, help="what mrdl.data.survey.Survey.dump wrote")

    def map_pairs(self, pairs, step_num=0):
        columns = Columns(loaded(self.options.survey))
        for file, start, lines in self.splits(pairs):
            columns.read(file, start, lines)
        yield from columns.pairs()

    def reducer(self, key, values):
        yield None, key + b"\t" + merged(key, values)


if __name__ == "__main__":
    SurveyColumns.run()
