"""Seconds of the first fit in a process, with kernels on disk and without any, beside scikit-learn.

Run ``python -m benchmarks first``, with ``--save`` to write `docs/benchmarks/first.md`.
"""

import importlib
import json
import sys
import tempfile
import time
import warnings

from benchmarks._pages import command, markdown_table, medians, option_parser, publish
from benchmarks._processes import choose_libraries, describe, label, run_alone
from benchmarks._steps import MODULES

EPOCHS = 5
NOTES = """\
# First fits

Seconds of the first fit in a process: {epochs} epochs on iris, defaults, {rounds} rounds. Written by

    {command}

{description}

{table}

- No kernels: in a directory for Numba's cache that is empty, as it is once on every machine, the first fit compiles.
- Excess: of import and first fit over those of scikit-learn, whose second fit is a little faster than its first, too.
"""


def seconds(spec):
    """Return the seconds of an import, of a first fit, and of a second one."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    times = [time.perf_counter()]
    model = importlib.import_module(MODULES[spec["library"]]).MLPClassifier(max_iter=EPOCHS, random_state=0)
    times.append(time.perf_counter())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
        for _ in range(2):
            model.fit(X, y)
            times.append(time.perf_counter())
    parts = (end - start for start, end in zip(times, times[1:], strict=False))
    return dict(zip(("import", "first", "second"), parts, strict=True)) | {"loss": model.loss_}


def measure(libraries, options):
    """Return the medians of each library; sknn comes twice, the second time with the kernels of the first."""
    results = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for kernels, library in [("no kernels", "sknn"), *(("", library) for library in libraries)]:
                spec = {"library": library, "threads": options.threads}
                figures = run_alone("benchmarks.first", spec, {"NUMBA_CACHE_DIR": cache})
                results.setdefault((library, kernels), []).append(figures)
    return {key: medians(rounds) for key, rounds in results.items()}


def row(key, figures, peer):
    """Return the cells of a library."""
    library, kernels = key
    name = f"{label(library)}, {kernels}" if kernels else label(library)
    cells = [f"{figures[part]:.3f}" for part in ("import", "first", "second")]
    excess = sum(figures[part] - peer[part] for part in ("import", "first")) if peer else None
    return [name, *cells, "-" if excess is None else f"{excess:.2f}", f"{figures['loss']:.4f}"]


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = option_parser("first", __doc__).parse_args(arguments)
    libraries = choose_libraries(["sknn", "sklearn"])
    results = measure(libraries, options)
    peer = results.get(("sklearn", ""))
    page = NOTES.format(
        epochs=EPOCHS,
        rounds=options.rounds,
        command=command("first", arguments),
        description="\n".join(describe(libraries, options.threads)),
        table=markdown_table(
            ["library", "import", "first fit", "second fit", "excess", "loss"],
            [row(key, figures, peer) for key, figures in results.items()],
        ),
    )
    publish("first", page, options.save)


if __name__ == "__main__":
    print(json.dumps(seconds(json.loads(sys.argv[1]))))
