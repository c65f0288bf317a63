"""A job whose reducer writes more than HDFS has room for. On Hadoop a job is a script of its own."""
from mrdl.runners.streaming import Job


class Flood(Job):
    def mapper(self, _, line):
        yield line, "x" * (1 << 20)

    def reducer(self, key, values):
        for value in values:
            for number in range(2000):
                yield number, value


if __name__ == "__main__":
    Flood.run()
