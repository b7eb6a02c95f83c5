"""Measure by how much a fit of one library raises the peak memory: ``python -m benchmarks._memory SPEC``.

SPEC is a JSON object: library, early_stopping, threads. The process holds the data and has imported and compiled
everything, by a fit on a few rows, before it starts to count.
"""

import importlib
import json
import resource
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks._steps import MODULES

ROWS, LAYERS, BATCH, EPOCHS = 60_000, (784, 256, 128, 10), 128, 2
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak():
    """Set the peak back to the memory now in use, where the system can."""
    with suppress(OSError):
        RESET.write_text("5")


def peak():
    """Return the peak of resident memory in MB."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1.024e-3
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def fit(spec, X, y):
    """Fit the library's classifier without a warning that it has not converged."""
    MLPClassifier = importlib.import_module(MODULES[spec["library"]]).MLPClassifier
    model = MLPClassifier(
        LAYERS[1:-1],
        batch_size=BATCH,
        max_iter=EPOCHS,
        early_stopping=spec["early_stopping"],
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
        model.fit(X, y)


def rise(spec):
    """Return the rise of the peak memory by a fit, in MB, after a fit on a few rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, LAYERS[0]), dtype=np.float32)
    y = rng.integers(LAYERS[-1], size=ROWS)
    fit(spec, X[: 4 * BATCH], y[: 4 * BATCH])
    reset_peak()
    before = peak()
    fit(spec, X, y)
    return {"rise": peak() - before}


if __name__ == "__main__":
    print(json.dumps(rise(json.loads(sys.argv[1]))))
