"""Microseconds a training step against width, depth, batch and rows, beside the step's matrix products alone.

Run ``python -m benchmarks scaling``, with ``--save`` to write `docs/benchmarks/scaling.md` and draw `scaling.png`
beside it (matplotlib).
"""

import sys
from typing import NamedTuple

from benchmarks._pages import command, markdown_table, medians, option_parser, publish, ratio
from benchmarks._processes import ROOT, describe, run_alone

N_CLASSES = 10
SECONDS = 0.5  # of a long fit, at that speed
SPEED = 5e10  # floating-point operations a second, roughly
NOTES = """\
# How training scales on the CPU

Microseconds a step of sknn and of its matrix products alone, float32: median of {rounds} rounds. Written by

    {command}

{description}

![Step time against width, depth, batch and rows](scaling.png)

{tables}

- Width: {width}. Depth: {depth}. Batch: {batch}. Rows: {rows}.
- ReLU, Adam; seconds of a long fit less those of a short one, over the steps between them. Products: by `np.matmul`
  into buffers that exist, in the same process.
"""


class Sweep(NamedTuple):
    """A sweep over one quantity: its name, its title, its values, and the layers and the batch for a value."""

    name: str
    about: str
    values: tuple
    layers: object
    batch: object


def powers(low, high):
    """Return the powers of two from 2**low to 2**high."""
    return tuple(2**k for k in range(low, high + 1))


SWEEPS = (
    Sweep("width", "w-w-w-10, batch 128", powers(4, 12), lambda w: (w, w, w, N_CLASSES), lambda w: 128),
    Sweep("depth", "layers of 256, batch 128", powers(0, 4), lambda d: (256,) * (d + 1) + (N_CLASSES,), lambda d: 128),
    Sweep("batch", "256-256-256-10", powers(4, 12), lambda b: (256, 256, 256, N_CLASSES), lambda b: b),
)
ROWS, ROWS_LAYERS, ROWS_BATCH = (10_000, 100_000, 1_000_000, 10_000_000), (10, 32, N_CLASSES), 256


def spec_of(layers, batch, threads):
    """Return the ``spec`` of a measurement for `_steps`, with enough steps to be timed well."""
    work = 6 * batch * sum(a * b for a, b in zip(layers, layers[1:], strict=False))
    batches = int(min(max(SECONDS * SPEED / work, 8), 200))
    epochs = int(min(max(SECONDS * SPEED / work / batches, 6), 100))
    base = {"library": "sknn", "block": "", "dtype": "float32", "threads": threads}
    return base | {"layers": layers, "batch": batch, "batches": batches, "epochs": (1, 1 + epochs)}


def measure(spec, options):
    """Return the medians of all rounds."""
    print(f"{spec['layers']}, batch {spec['batch']}, {spec['batches']} batches", file=sys.stderr)
    return medians([run_alone("benchmarks._steps", spec) for _ in range(options.rounds)])


def sweep_table(sweep, results):
    """Return the Markdown table of a sweep."""
    rows = [
        [str(value), f"{own['step']:.4g}", f"{own['products']:.4g}", ratio(own["step"], own["products"])]
        for value, own in results.items()
    ]
    return markdown_table([sweep.name, "step us", "products us", "step / products"], rows)


def measure_rows(options):
    """Return the microseconds per row for each number of rows; smaller tables are trained for more epochs."""
    base = {"library": "sknn", "block": "", "dtype": "float32", "threads": options.threads, "layers": ROWS_LAYERS}
    results = {}
    for rows in ROWS:
        epochs = 1, 1 + max(1, 1_000_000 // rows)
        spec = base | {"batch": ROWS_BATCH, "batches": rows // ROWS_BATCH, "epochs": epochs}
        results[rows] = measure(spec, options)["step"] / ROWS_BATCH
    return results


def rows_table(results):
    """Return the Markdown table of the time of an epoch for each number of rows."""
    least = min(results)
    rows = [[f"{n:,}", f"{n * own / 1e6:.3g}", ratio(own, results[least])] for n, own in results.items()]
    return markdown_table(["rows", "seconds an epoch", f"a row's, to that of {least:,}"], rows)


def draw(sweeps, rows):
    """Draw the sweeps and the epochs as docs/benchmarks/scaling.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for axis, (sweep, results) in zip(axes.flat, sweeps.items(), strict=False):
        for key, label in (("step", "sknn's step"), ("products", "its matrix products")):
            axis.loglog(list(results), [own[key] for own in results.values()], marker=".", label=label, base=2)
        axis.set(xlabel=sweep.name, ylabel="microseconds", title=f"{sweep.name}: {sweep.about}")
        axis.legend()
    axes.flat[-1].loglog(list(rows), [n * own / 1e6 for n, own in rows.items()], marker=".")
    axes.flat[-1].set(xlabel="rows", ylabel="seconds an epoch", title="rows: " + rows_about())
    figure.savefig(ROOT / "docs" / "benchmarks" / "scaling.png", dpi=80)


def rows_about():
    """Return the network and the batch size of the measured epochs, as text."""
    return f"{'-'.join(map(str, ROWS_LAYERS))}, batch {ROWS_BATCH}"


def main(arguments):
    """Measure, print the tables, and save page and picture where asked."""
    options = option_parser("scaling", __doc__).parse_args(arguments)
    sweeps = {
        sweep: {v: measure(spec_of(sweep.layers(v), sweep.batch(v), options.threads), options) for v in sweep.values}
        for sweep in SWEEPS
    }
    rows = measure_rows(options)
    page = NOTES.format(
        rounds=options.rounds,
        command=command("scaling", arguments),
        description="\n".join(describe(["sknn"], options.threads)),
        tables="\n\n".join([*(sweep_table(*item) for item in sweeps.items()), rows_table(rows)]),
        rows=rows_about(),
        **{sweep.name: sweep.about for sweep in SWEEPS},
    )
    publish("scaling", page, options.save)
    if options.save:
        draw(sweeps, rows)
