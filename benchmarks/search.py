"""Seconds of a grid search over pipelines by one worker and by one a core, with a BLAS thread each.

Run ``python -m benchmarks search``, with ``--save`` to write `docs/benchmarks/search.md`.
"""

import json
import sys
import time

from benchmarks._pages import command, markdown_table, medians, option_parser, publish, ratio
from benchmarks._processes import CORES, describe, run_alone

LAYERS, ROWS, EPOCHS = (256, 128), 10_000, 3
GRID = {"mlp__alpha": [1e-5, 1e-4, 1e-3, 1e-2], "mlp__learning_rate_init": [1e-3, 1e-2]}
NOTES = """\
# Grid search

Seconds of `GridSearchCV`, eight candidates by three folds, of a `StandardScaler` and an `MLPClassifier({layers})`,
{epochs} epochs on {rows} rows of 100 features, float32: median of {rounds} rounds. Written by

    {command}

{description}

{table}

- Workers are loky's, as by `n_jobs`; they are started before the clock is. joblib gives each the cores divided by the
  workers as BLAS threads: where it may, one worker has all of them, so that here it is held to one.
"""


def seconds(spec):
    """Return the seconds of a search, after a small one that starts workers and compiles."""
    import numpy as np
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    from benchmarks._steps import make_data
    from sknn import MLPClassifier
    from sknn.preprocessing import StandardScaler

    X, y = make_data(ROWS, 100, 10, np.float32)
    mlp = MLPClassifier(LAYERS, max_iter=EPOCHS, n_iter_no_change=np.inf, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", mlp)])
    search = GridSearchCV(pipeline, GRID, cv=3, n_jobs=spec["workers"], error_score="raise", refit=False)
    with parallel_config("loky", inner_max_num_threads=1):
        search.fit(X[:1000], y[:1000])
        start = time.perf_counter()
        search.fit(X, y)
        return {"seconds": time.perf_counter() - start, "score": search.best_score_}


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = option_parser("search", __doc__, threads=False).parse_args(arguments)
    results = {1: [], CORES: []}
    for _ in range(options.rounds):
        for workers, rounds in results.items():
            # ignoring warnings in all workers: that three epochs are not enough is known
            spec = {"library": "sknn", "workers": workers, "threads": 1}
            rounds.append(run_alone("benchmarks.search", spec, {"PYTHONWARNINGS": "ignore"}))
    figures = {workers: medians(rounds) for workers, rounds in results.items()}
    rows = [
        [str(workers), f"{own['seconds']:.2f}", ratio(figures[1]["seconds"], own["seconds"]), f"{own['score']:.4f}"]
        for workers, own in figures.items()
    ]
    page = NOTES.format(
        layers=LAYERS,
        epochs=EPOCHS,
        rows=ROWS,
        rounds=options.rounds,
        command=command("search", arguments),
        description="\n".join(describe(["sknn", "sklearn"], 1)),
        table=markdown_table(["workers", "seconds", "one worker / these", "best score"], rows),
    )
    publish("search", page, options.save)


if __name__ == "__main__":
    print(json.dumps(seconds(json.loads(sys.argv[1]))))
