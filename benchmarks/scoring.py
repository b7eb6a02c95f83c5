"""Milliseconds that early stopping takes to score its validation rows, beside their forward pass alone.

Run ``python -m benchmarks scoring``, with ``--save`` to write `docs/benchmarks/scoring.md`.
"""

import json
import statistics
import sys
import time
import warnings
from typing import NamedTuple

from benchmarks._pages import command, markdown_table, medians, option_parser, publish, ratio
from benchmarks._processes import describe, run_alone

EPOCHS = 10
NOTES = """\
# Scores of early stopping

Milliseconds an epoch: in all, for scores and losses of the validation rows, a tenth, and for their forward pass alone;
float32, median of {rounds} rounds. Written by

    {command}

{description}

{table}

- In the same fit of {epochs} epochs: the median over the epochs of the time in the calls.
- What comes on top of the forward pass is the loss, the link, and the comparison of the labels.
"""


class Task(NamedTuple):
    """A network and its data: widths of the layers, number of rows, and rows of a batch."""

    layers: tuple
    rows: int
    batch: int


TASKS = (
    Task((784, 256, 128, 10), 60_000, 128),
    Task((784, 100, 10), 10_000, 200),
    Task((64, 100, 10), 1_800, 200),
    Task((20, 32, 10), 10_000, 200),
)


def timed(owner, name, seconds):
    """Replace a method by one that appends the seconds of each call to ``seconds``."""
    method = getattr(owner, name)

    def call(*arguments):
        start = time.perf_counter()
        result = method(*arguments)
        seconds.append(time.perf_counter() - start)
        return result

    setattr(owner, name, call)


def milliseconds(spec):
    """Return the median milliseconds of an epoch, of its scores, and of their forward pass."""
    import numpy as np

    from benchmarks._steps import make_data
    from sknn import MLPClassifier
    from sknn._core.passes import ChunkedPass
    from sknn._core.scoring import Scoring
    from sknn._core.trainer import Trainer

    calls = {"epoch": (Trainer, "epoch"), "scores": (Scoring, "measure"), "forward": (ChunkedPass, "outputs")}
    seconds = {key: [] for key in calls}
    for key, call in calls.items():
        timed(*call, seconds[key])
    X, y = make_data(spec["rows"], spec["layers"][0], spec["layers"][-1], np.float32)
    model = MLPClassifier(spec["layers"][1:-1], batch_size=spec["batch"], max_iter=EPOCHS, early_stopping=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
        model.set_params(n_iter_no_change=np.inf, random_state=0).fit(X, y)
    medians = {key: 1e3 * statistics.median(values) for key, values in seconds.items()}
    return medians | {"score": model.best_validation_score_}


def row(task, options):
    """Return the cells of a task."""
    spec = {"library": "sknn", "threads": options.threads, **task._asdict()}
    own = medians([run_alone("benchmarks.scoring", spec) for _ in range(options.rounds)])
    times = [f"{own[key]:.3g}" for key in ("epoch", "scores", "forward")]
    shares = ratio(own["scores"], own["forward"]), ratio(own["scores"], own["epoch"])
    return ["-".join(map(str, task.layers)), f"{task.rows:,}", *times, *shares, f"{own['score']:.4f}"]


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = option_parser("scoring", __doc__).parse_args(arguments)
    header = ["network", "rows", "epoch ms", "scores ms", "forward ms", "scores / forward", "scores / epoch", "score"]
    page = NOTES.format(
        epochs=EPOCHS,
        rounds=options.rounds,
        command=command("scoring", arguments),
        description="\n".join(describe(["sknn"], options.threads)),
        table=markdown_table(header, [row(task, options) for task in TASKS]),
    )
    publish("scoring", page, options.save)


if __name__ == "__main__":
    print(json.dumps(milliseconds(json.loads(sys.argv[1]))))
