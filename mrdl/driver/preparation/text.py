"""Text files in; out comes the schema of their sequences, with a vocabulary that a job of its own counts."""
import os
import tempfile
from dataclasses import replace

from mrdl.data import corpus
from mrdl.data.preparation import Plan
from mrdl.data.readers.text import Corpus
from mrdl.data.sources import DataError, demand, pipes
from mrdl.data.tokenizer import MOST, UNITS
from mrdl.driver.preparation import planning
from mrdl.jobs.vocabulary import Vocabulary
from mrdl.runners.cluster import Cluster


def schema_of(paths: list[str], unit: str | None, steps: int | None, vocabulary: int | None, like) -> Corpus:
    """The schema of a corpus; its vocabulary is still to be counted where it is not that of the Dataset `like`."""
    words: list[str] = []
    if like is not None:
        demand(like.text is not None, f"{like.url}: is not a dataset of text, so it has no vocabulary to use")
        demand(unit is None and steps is None and vocabulary is None,
               "like: the unit, the sequence length and the vocabulary come from that dataset: leave these options out")
        unit, (steps,), words = like.text["unit"], like.shape, like.text["vocabulary"]
    unit, steps = unit or UNITS[0], 100 if steps is None else steps
    demand(unit in UNITS, f"unit {unit}: must be {' or '.join(UNITS)}")
    demand(1 <= steps <= corpus.LONGEST, f"sequence_length {steps}: must be from 1 to {corpus.LONGEST}")
    demand(vocabulary is None or 2 <= vocabulary <= MOST, f"vocabulary {vocabulary}: must be from 2 to {MOST}")
    sizes, heads = corpus.check(paths)
    demand(sum(sizes) > 0, f"{paths[0]}: contains no text" + (f", nor in {len(paths) - 1} more inputs" if len(paths) > 1 else ""))
    return Corpus(files=paths, shape=[steps], target=[steps], counts=sizes, heads=heads, unit=unit, vocabulary=words, names=pipes(paths))


def counted(schema: Corpus, most: int, cluster: Cluster, name: str, on_task) -> Corpus:
    """The schema with the vocabulary of its files, by a job of its own."""
    plan = Plan(schema, "", 0, [], 0, 0.0, "float32", None)
    with tempfile.TemporaryDirectory(prefix="vocabulary-", dir=cluster.tmp) as folder:
        path = os.path.join(folder, "plan.json")
        plan.dump(path)
        tasks = planning.manifests(schema, folder)
        with cluster.run(Vocabulary, tasks, ["--plan", path], reducers=cluster.reducers(len(tasks), len(tasks)), name=name,
                         on_task=on_task) as output:
            lines = (line.split(b"\t") for part in range(len(output.parts)) for line in output.lines(part))
            found = corpus.vocabulary(((bytes.fromhex(token.decode()).decode("utf-8", "surrogatepass"), int(count))
                                       for token, count in lines), most)
    return replace(schema, vocabulary=found)


def long_enough(schema: Corpus, facts: dict) -> None:
    """Each range has a sequence: else its tokens would be the target of no step."""
    least = schema.shape[0] + 1
    hint = f"a sequence takes {least}: give a smaller sequence length"
    demand(facts["tokens"] >= least, f"the text has {facts['tokens']} tokens, {hint}")
    if facts["short"]:
        tokens, start = facts["short"]
        file, offset = schema.stream().where(start)
        raise DataError(f"{file}, byte {offset}: the {corpus.RANGE:,} bytes or so from here have {tokens} tokens, {hint}")
