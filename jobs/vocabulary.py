"""Counts tokens: mappers read ranges of text, reducers write how often each token occurs."""
from binascii import hexlify

from mrdl.data import corpus
from mrdl.data.readers.table import loaded
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import Job


class Vocabulary(Job):
    """Key: the token in hex; value: its count."""
    INPUT_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol
    INTERNAL_PROTOCOL = protocol.BytesProtocol

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--plan", required=True, help="what mrdl.data.preparation.Plan.dump wrote")

    def mapper(self, _, line):
        plan = loaded(self.options.plan)
        _, start, stop = map(int, line.split(b"\t"))
        for token, count in corpus.counted(plan.schema.stream(), start, stop, plan.schema.unit).items():
            yield hexlify(token.encode("utf-8", "surrogatepass")), b"%d" % count

    def reducer(self, key, values):
        yield None, b"%s\t%d" % (key, sum(map(int, values)))


if __name__ == "__main__":
    Vocabulary.run()
