"""H2O's Deep Learning on the work of `benchmarks/resident.py speed`, as one of its peers: a JSON line with rate and accuracy.

    PYTHON benchmarks/peer_h2o.py digits.npz [--epochs 10] [--seed 0] [--cores 2]

PYTHON has h2o (pip; Java 17). 784-512-256-10 with rectifiers, minibatches of 64, Nesterov momentum; rows are
bytes / 255. Scoring on the way is off. The rate is that of the later half of the epochs, as of the others.
"""
import argparse
import json
import os
import tempfile
import time

import h2o
import numpy as np
from h2o.estimators import H2ODeepLearningEstimator

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
p.add_argument("data")
p.add_argument("--epochs", type=int, default=10)
p.add_argument("--seed", type=int, default=0)
p.add_argument("--cores", type=int, default=2)
a = p.parse_args()


def frame(x, y):
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        np.savetxt(file, np.column_stack([y, x / 255]), fmt="%.6g", delimiter=",")
        file.flush()
        found = h2o.import_file(file.name, header=-1)
    found[0] = found[0].asfactor()
    return found


h2o.init(nthreads=a.cores, max_mem_size="3g", ip="127.0.0.1", port=54400 + os.getpid() % 1000, bind_to_localhost=True)
try:
    h2o.no_progress()
    with np.load(a.data) as digits:
        train, test = frame(digits["x_train"], digits["y_train"]), frame(digits["x_test"], digits["y_test"])
    given = {"hidden": [512, 256], "activation": "Rectifier", "seed": a.seed + 1, "standardize": False, "mini_batch_size": 64,
             "adaptive_rate": False, "rate": 0.02, "rate_annealing": 0, "momentum_start": 0.9, "momentum_stable": 0.9,
             "nesterov_accelerated_gradient": True, "initial_weight_distribution": "UniformAdaptive",
             "train_samples_per_iteration": 0, "score_training_samples": 100, "score_interval": 1e9, "score_duty_cycle": 0,
             "overwrite_with_best_model": False, "quiet_mode": True, "stopping_rounds": 0, "classification_stop": -1}
    half, model = a.epochs // 2, None
    for epochs in (half, a.epochs):
        began = time.perf_counter()
        model = H2ODeepLearningEstimator(**given, epochs=epochs, **({"checkpoint": model.model_id} if model else {}))
        model.train(x=train.columns[1:], y=train.columns[0], training_frame=train)
        spent = time.perf_counter() - began
    right = model.predict(test)["predict"] == test[0]
    print(json.dumps({"peer": "h2o " + h2o.__version__, "rate": (a.epochs - half) * train.nrow / spent, "accuracy": right.mean()[0]}))
finally:
    h2o.cluster().shutdown()
