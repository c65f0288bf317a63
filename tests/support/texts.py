"""Texts, and datasets of them."""
from mrdl.driver.preparation.prepare import prepare

ENGLISH = "It was the best of times, it was the worst of times;\nit was the age of wisdom.\n" * 40


def prepared(tmp_path, cluster, *texts, name="data", **more):
    """The dataset of a file for each text. `more`: options of `prepare`."""
    paths = []
    for i, text in enumerate(texts):
        paths.append(str(tmp_path / f"{name}-{i}.txt"))
        with open(paths[-1], "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
    return prepare(paths, str(tmp_path / name), cluster, format="text", **more)
