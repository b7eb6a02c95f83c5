"""Milliseconds of transformers beside scikit-learn, or beside NumPy where scikit-learn has none.

Run ``python -m benchmarks transformers``, with ``--save`` to write `docs/benchmarks/transformers.md`. Every figure is
the median of rounds; in each round every library runs once, in a process of its own, in turn.
"""

import sys
from typing import NamedTuple

from benchmarks._pages import command, markdown_table, medians, option_parser, positive, publish, ratio, refuse_part
from benchmarks._processes import describe, run_alone

NOTES = """\
# Transformers on the CPU

Milliseconds, lower is better: median of {rounds} rounds. Written by

    {command}

{description}

{table}

- Tables are 500,000 x 100, mixed normal features; images are 60,000 of 32 x 32 x 3 bytes. Scale by `--scale`.
- The peer of tables is scikit-learn, with the same parameters; that of images `X - X.mean(axis=(0, 1, 2))` in NumPy.
- `PCA(n_components=50, whiten=True, svd_solver="covariance_eigh")`. sknn's scatter is float64 for float32 rows too and
  about their mean; scikit-learn's is float32, of rows that are not centred, which is the faster for it.
- Least: what NumPy takes for one `X.sum(axis=0)` beside fit and one `X.copy()` beside transform; beside PCA's fit for
  the products alone, `X.T @ X` in float64, and beside its transform for `X @ W`.
- Rise: of the peak memory in fit, in percent of X.
- Mean square: of the first 1000 rows transformed, by both; equal work has equal ones.
- Every library runs in a process of its own, in turn, round by round; times are medians of {repeats} calls, after two
  that do not count.
"""


class Task(NamedTuple):
    """A transformer, its peer, and the data."""

    name: str
    peer: str
    shape: tuple
    dtype: str


TABLE, IMAGES = (500_000, 100), (60_000, 32, 32, 3)
TASKS = (
    *(
        Task(name, "sklearn", TABLE, dtype)
        for name in ("StandardScaler", "MinMaxScaler", "PCA")
        for dtype in ("float32", "float64")
    ),
    Task("ZeroCenterer", "numpy", IMAGES, "uint8"),
)


def measure(task, options):
    """Return the medians of sknn, of its peer and of the yardstick, their processes taking turns."""
    sides = {
        "sknn": ("sknn", task.name),
        "peer": (task.peer, task.name),
        "yardstick": ("numpy", f"least of {task.name}"),
    }
    shape = (max(1, round(task.shape[0] * options.scale)), *task.shape[1:])
    results = {side: [] for side in sides}
    for number in range(options.rounds):
        print(f"{task.name} {task.dtype}: round {number + 1} of {options.rounds}", file=sys.stderr)
        for side, (library, name) in sides.items():
            spec = {"library": library, "name": name, "shape": shape, "dtype": task.dtype}
            spec |= {"threads": options.threads, "repeats": options.repeats}
            results[side].append(run_alone("benchmarks._transformers", spec))
    return {side: medians(rounds) for side, rounds in results.items()}


def table(results):
    """Return the Markdown table of all tasks."""
    header = ["work", "data", "sknn ms", "peer ms", "peer / sknn", "least ms", "rise %", "peer's", "mean square"]
    header.append("peer's")
    rows = [row for task, sides in results.items() for row in task_rows(task, **sides)]
    return markdown_table(header, rows)


def task_rows(task, sknn, peer, yardstick):
    """Return the cells of fit, of transform and of both."""
    times = {"fit": ["fit"], "transform": ["transform"], "fit + transform": ["fit", "transform"]}
    rows = []
    for label, keys in times.items():
        own, other, least = (sum(side[key] for key in keys) for side in (sknn, peer, yardstick))
        cells = [f"{task.name}.{label}", task.dtype, f"{own:.1f}", f"{other:.1f}", ratio(other, own), f"{least:.1f}"]
        rises = [f"{side['rise']:.1f}" if label == "fit" else "" for side in (sknn, peer)]
        sizes = [f"{side['size']:.5g}" if label == "transform" else "" for side in (sknn, peer)]
        rows.append([*cells, *rises, *sizes])
    return rows


def parse(arguments):
    """Return the options of the command line."""
    parser = option_parser("transformers", __doc__)
    parser.add_argument("--repeats", type=positive, default=5, help="calls in a process")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of rows")
    parser.add_argument("--only", default="", help="names of transformers, separated by commas")
    return parser.parse_args(arguments)


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = parse(arguments)
    refuse_part(options, only="", scale=1.0)
    names = options.only.split(",") if options.only else {task.name for task in TASKS}
    results = {task: measure(task, options) for task in TASKS if task.name in names}
    page = NOTES.format(
        rounds=options.rounds,
        repeats=options.repeats,
        command=command("transformers", arguments),
        description="\n".join(describe(["sknn", "sklearn"], options.threads)),
        table=table(results),
    )
    publish("transformers", page, options.save)
