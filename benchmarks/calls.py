"""Milliseconds of whole calls of fit and predict beside scikit-learn, and of predictions beside PyTorch.

Run ``python -m benchmarks fit`` or ``python -m benchmarks predict``, with ``--save`` to write `docs/benchmarks/fit.md`
or `predict.md`. Every figure is the median of rounds; in each round every library has a process of its own, in turn.
"""

import argparse
import statistics
import sys

from benchmarks._calls import TASKS
from benchmarks._processes import CORES, ROOT, describe, installed, markdown_table, run_alone

LABELS = {"sknn": "sknn", "sklearn": "scikit-learn", "torch": "PyTorch"}
NOTES = """\
# Whole calls: {kind}

Milliseconds, lower is better: median of {rounds} rounds. Written by

    {command}

{description}

{table}

- A round is a process for each library, in turn: one call that does not count, then the median of {repeats}.
- fit: the defaults of both libraries, features scaled to mean 0 and variance 1; the last column is the accuracy on the
  training rows. predict: 784-256-128-10, float32; the last columns are means of what is predicted.
"""


def runs_on(task, library):
    """Return whether a library is timed on a task."""
    return library != "torch" or task.startswith("predict_proba")


def measure(task, libraries, options):
    """Return the medians of each library on a task."""
    results = {library: [] for library in libraries if runs_on(task, library)}
    for number in range(options.rounds):
        print(f"{task}: round {number + 1} of {options.rounds}", file=sys.stderr)
        for library, figures in results.items():
            spec = {"library": library, "task": task, "repeats": options.repeats, "threads": options.threads}
            figures.append(run_alone("benchmarks._calls", spec))
    keys = ("ms", "result")
    return {
        library: {key: statistics.median(figure[key] for figure in figures) for key in keys}
        for library, figures in results.items()
    }


def row(task, figures, libraries):
    """Return the cells of a task; what was not measured is a dash."""
    own = figures["sknn"]["ms"]
    times = [f"{figures[library]['ms']:.3g}" if library in figures else "-" for library in libraries]
    ratios = [f"{figures[library]['ms'] / own:.2f}" if library in figures else "-" for library in libraries[1:]]
    results = [f"{figures[library]['result']:.4f}" if library in figures else "-" for library in libraries]
    return [task, *times, *ratios, *results]


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("kind", choices=("fit", "predict"))
    parser.add_argument("--save", action="store_true", help="write the page under docs/benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5, help="calls in a process")
    parser.add_argument("--threads", type=int, default=CORES, help="default: all cores")
    return parser.parse_args(arguments)


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = parse(arguments)
    libraries = [library for library in LABELS if installed(library)]
    labels = [LABELS[library] for library in libraries]
    tasks = [task for task in TASKS if task.startswith(options.kind)]
    header = [options.kind, *(f"{label} ms" for label in labels), *(f"{label} / sknn" for label in labels[1:]), *labels]
    page = NOTES.format(
        kind=options.kind,
        rounds=options.rounds,
        repeats=options.repeats,
        command=" ".join(["python -m benchmarks", *arguments]),
        description="\n".join(describe(list(LABELS), options.threads)),
        table=markdown_table(header, [row(task, measure(task, libraries, options), libraries) for task in tasks]),
    )
    print(page)
    if options.save:
        (ROOT / "docs" / "benchmarks" / f"{options.kind}.md").write_text(page)


if __name__ == "__main__":
    main(sys.argv[1:])
