"""Rise of the peak memory of a fit on 60,000 x 784 float32, beside a bound and scikit-learn.

Run ``python -m benchmarks.memory``. Every fit has a process of its own, which holds the data and
has imported and compiled everything, by a fit on a few rows, before it starts to count.
"""

import argparse
import importlib
import json
import resource
import sys
import warnings
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks._processes import CORES, describe, installed, markdown_table, run_alone
from benchmarks._steps import MODULES

ROWS, LAYERS, BATCH, EPOCHS = 60_000, (784, 256, 128, 10), 128, 2
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LABELS = {"sknn": "sknn", "sklearn": "scikit-learn"}


def bound():
    """Return 20 MB, three times the parameters, and one batch's activations, in MB."""
    parameters = sum((a + 1) * b for a, b in pairwise(LAYERS))
    return 20 + 4 * (3 * parameters + BATCH * sum(LAYERS)) / 1e6


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
    """Return by how much a fit raises the peak, after a fit on a few rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, LAYERS[0]), dtype=np.float32)
    y = rng.integers(LAYERS[-1], size=ROWS)
    fit(spec, X[: 4 * BATCH], y[: 4 * BATCH])
    reset_peak()
    before = peak()
    fit(spec, X, y)
    return {"rise": peak() - before}


def table(libraries, threads):
    """Return the Markdown table of every library, without and with early stopping."""
    rows = []
    for early_stopping in (False, True):
        for library in libraries:
            spec = {"library": library, "early_stopping": early_stopping, "threads": threads}
            result = run_alone("benchmarks.memory", spec)
            cells = [LABELS[library], "yes" if early_stopping else "no"]
            rows.append([*cells, f"{result['rise']:.1f}", f"{bound():.1f}"])
    return markdown_table(["library", "early stopping", "rise MB", "bound MB"], rows)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("spec", nargs="?", help="one measurement as JSON, here in this process")
    parser.add_argument("--libraries", default=",".join(LABELS), help="separated by commas")
    parser.add_argument("--threads", type=int, default=CORES, help="default: all cores")
    options = parser.parse_args()
    if options.spec:
        print(json.dumps(rise(json.loads(options.spec))))
        return
    libraries = options.libraries.split(",")
    if "sknn" in libraries and not installed("sknn"):
        raise SystemExit("sknn: not importable")
    name = "-".join(map(str, LAYERS))
    print(f"Rise of the peak in a fit of {name}, batch {BATCH}, on {ROWS} rows of float32.")
    print(*describe(libraries, options.threads), sep="\n")
    print("", table(libraries, options.threads), sep="\n")


if __name__ == "__main__":
    main()
