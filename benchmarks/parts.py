"""Microseconds of the parts of a training step: which of them take time, apart from the matrix products.

Run ``python -m benchmarks parts``, with ``--save`` to write `docs/benchmarks/parts.md`.
"""

import json
import sys
import time

import numpy as np

from benchmarks._pages import command, markdown_table, medians, option_parser, publish
from benchmarks._processes import describe, run_alone
from benchmarks._steps import ALPHA, LEARNING_RATE, make_data, time_fit
from benchmarks.cpu import NETWORKS

PARTS = {  # the operations of each part; all others are the rest
    "products": ("MatMul",),
    "rows": ("Gather",),
    "activations": ("BiasActivation", "ActivationBackward"),
    "loss": ("LossGradient",),
    "update": ("Update",),
}
NOTES = """\
# What a training step is made of

Microseconds of the parts of a step, float32: median of {rounds} rounds. Written by

    {command}

{description}

{table}

- Each operation of the step's plan by itself, from Python, with the clock around it. Steps of small networks are
  compiled programs, which are faster than the sum.
- Products: with the turning of a gradient where BLAS shares that better. Rows: the batch and its targets, gathered from
  the shuffled rows of X. Update: Adam, on all parameters at once.
"""


class TimedLoop:
    """A loop that runs a plan call by call and adds up the seconds of each kind of operation."""

    seconds = {}
    steps = 0

    def __init__(self, backend, plan):
        self.plan = [(type(operation).__name__, call) for operation in plan for call in backend.step_calls(operation)]

    def run(self, times):
        """Run the plan ``times`` times."""
        TimedLoop.steps += times
        for _ in range(times):
            for name, call in self.plan:
                start = time.perf_counter()
                call()
                TimedLoop.seconds[name] = TimedLoop.seconds.get(name, 0.0) + time.perf_counter() - start


def time_parts(spec):
    """Return the microseconds that each part takes in a step, and those of the whole step."""
    from sknn import MLPClassifier
    from sknn._backend.cpu.backend import Backend

    Backend.compile = lambda backend, plan: TimedLoop(backend, plan)
    layers, batch = spec["layers"], spec["batch"]
    X, y = make_data(batch * spec["batches"], layers[0], layers[-1], np.float32)
    model = MLPClassifier(layers[1:-1], batch_size=batch, alpha=ALPHA, learning_rate_init=LEARNING_RATE, random_state=0)
    for epochs in spec["epochs"]:
        TimedLoop.seconds, TimedLoop.steps = {}, 0
        time_fit(model.set_params(max_iter=epochs, n_iter_no_change=np.inf), X, y)
    own = {name: 1e6 * seconds / TimedLoop.steps for name, seconds in TimedLoop.seconds.items()}
    parts = {part: sum(own.pop(name, 0.0) for name in names) for part, names in PARTS.items()}
    parts["rest"] = sum(own.values())
    return parts | {"all": sum(parts.values()), "loss_": model.loss_}


def row(network, options):
    """Return the cells of a network."""
    print(network.name, file=sys.stderr)
    spec = {"library": "sknn", "threads": options.threads, **network._asdict()}
    own = medians([run_alone("benchmarks.parts", spec) for _ in range(options.rounds)])
    cells = [f"{own[part]:.1f} ({own[part] / own['all']:.0%})" for part in (*PARTS, "rest")]
    return [network.name, str(network.batch), *cells, f"{own['all']:.1f}", f"{own['loss_']:.4f}"]


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = option_parser("parts", __doc__).parse_args(arguments)
    header = ["network", "batch", *PARTS, "rest", "all", "last loss"]
    page = NOTES.format(
        rounds=options.rounds,
        command=command("parts", arguments),
        description="\n".join(describe(["sknn"], options.threads)),
        table=markdown_table(header, [row(network, options) for network in NETWORKS if not network.block]),
    )
    publish("parts", page, options.save)


if __name__ == "__main__":
    print(json.dumps(time_parts(json.loads(sys.argv[1]))))
