"""Milliseconds of whole calls: fit and predict compared with scikit-learn, and predictions also with PyTorch.

Run ``python -m benchmarks fit``, ``predict`` or ``small`` (calls of few rows), with ``--save`` to write
`docs/benchmarks/fit.md`, `predict.md` or `small.md`. Every figure is the median of rounds; in each round every library
has a process of its own, in turn.
"""

import sys
from pathlib import Path

from benchmarks._calls import TASKS
from benchmarks._pages import command, markdown_table, medians, option_parser, positive, publish, ratio, refuse_part
from benchmarks._processes import choose_libraries, describe, label, run_alone

DATA = "/usr/share/datasets/fashion-mnist"  # where Debian's package dataset-fashion-mnist has the files
NOTES = """\
# Whole calls: {kind}

Milliseconds, lower is better: median of {rounds} rounds. Written by

    {command}

{description}

{table}

- A round is a process for each library, in turn: one call that does not count, then the median of {repeats}.
- fit: the defaults of both libraries, but for what is named; features of mean 0 and variance 1, float64, and float32
  for synthetic tables and images; the last columns are accuracies on (the first 10,000) training rows, and epochs:
  with early stopping they differ, as sknn's split of validation rows is stratified.
- predict: 784-256-128-10, float32; the last columns are mean squares of what is predicted. PyTorch's network is not
  trained, which takes as long.
- small: calls of few rows, float64, again and again on the same estimator; 20 features where nothing is named; the last
  columns are mean squares of the results; for `partial_fit`, of the first weights after as many calls as were timed.
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
            spec = {"library": library, "task": task, "data": options.data}
            spec |= {"repeats": options.repeats, "threads": options.threads}
            figures.append(run_alone("benchmarks._calls", spec))
    return {library: medians(figures) for library, figures in results.items()}


def row(task, figures, libraries):
    """Return the cells of a task in the table; a figure that was not measured is a dash."""
    own = figures["sknn"]["ms"]
    times = [f"{figures[library]['ms']:.3g}" if library in figures else "-" for library in libraries]
    ratios = [ratio(figures.get(library, {}).get("ms"), own) for library in libraries[1:]]
    results = [shown(figures[library]) if library in figures else "-" for library in libraries]
    return [task, *times, *ratios, *results]


def shown(figures):
    """Return the result of a task as text, and for a fit the number of epochs."""
    epochs = f" ({figures['epochs']:.0f})" if figures["epochs"] else ""
    return f"{figures['result']:.4f}{epochs}"


def parse(kind, arguments):
    """Return the options of the command line."""
    parser = option_parser(kind, __doc__)
    parser.add_argument("--repeats", type=positive, default=5, help="calls in a process")
    parser.add_argument("--data", default=DATA, help="a folder with the IDX files of Fashion-MNIST")
    parser.add_argument("--only", default="", help="part of the names of tasks; default: all")
    return parser.parse_args(arguments)


def choose_tasks(kind, options):
    """Return the names of the tasks that can run, and print the names of those whose data is missing."""
    tasks = [task for task in TASKS if task.startswith(kind) and options.only in task]
    missing = [task for task in tasks if "Fashion-MNIST" in task and not Path(options.data).is_dir()]
    for task in missing:
        print(f"{task}: no folder {options.data}, see --data")
    if not tasks:
        raise SystemExit(f"no task of {kind} has {options.only!r} in its name; they are {', '.join(TASKS)}")
    return [task for task in tasks if task not in missing]


def main(kind, arguments):
    """Measure, print the table, and save the page where asked."""
    options = parse(kind, arguments)
    refuse_part(options, only="")
    libraries = choose_libraries(["sknn", "sklearn", "torch"] if kind == "predict" else ["sknn", "sklearn"])
    labels = [label(library) for library in libraries]
    header = [kind, *(f"{name} ms" for name in labels), *(f"{name} / sknn" for name in labels[1:]), *labels]
    tasks = choose_tasks(kind, options)
    page = NOTES.format(
        kind=kind,
        rounds=options.rounds,
        repeats=options.repeats,
        command=command(kind, arguments),
        description="\n".join(describe(libraries, options.threads)),
        table=markdown_table(header, [row(task, measure(task, libraries, options), libraries) for task in tasks]),
    )
    publish(kind, page, options.save)
