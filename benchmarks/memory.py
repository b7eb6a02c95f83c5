"""Rise of the peak memory of a fit on 60,000 x 784 float32, beside a bound and scikit-learn.

Run ``python -m benchmarks memory``, with ``--save`` to write `docs/benchmarks/memory.md`. Every figure is the median of
rounds, each a process of its own.
"""

from itertools import pairwise

from benchmarks._memory import BATCH, LAYERS, ROWS
from benchmarks._pages import command, markdown_table, medians, option_parser, publish
from benchmarks._processes import choose_libraries, describe, label, run_alone

NOTES = """\
# Memory of a fit

By how many MB a fit of {layers}, batch {batch}, raises the peak memory of a process that holds its {rows} rows of
float32: median of {rounds} rounds. Written by

    {command}

{description}

{table}

- Before it counts, a process has imported and compiled everything, by a fit on a few rows.
- Bound: 20 MB, three times the parameters, and one batch's activations.
"""


def bound():
    """Return 20 MB, three times the parameters, and one batch's activations, in MB."""
    parameters = sum((a + 1) * b for a, b in pairwise(LAYERS))
    return 20 + 4 * (3 * parameters + BATCH * sum(LAYERS)) / 1e6


def row(library, early_stopping, options):
    """Return the cells of one library."""
    spec = {"library": library, "early_stopping": early_stopping, "threads": options.threads}
    rise = medians([run_alone("benchmarks._memory", spec) for _ in range(options.rounds)])["rise"]
    return [label(library), "yes" if early_stopping else "no", f"{rise:.1f}", f"{bound():.1f}"]


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = option_parser("memory", __doc__).parse_args(arguments)
    libraries = choose_libraries(["sknn", "sklearn"])
    rows = [row(library, early_stopping, options) for early_stopping in (False, True) for library in libraries]
    page = NOTES.format(
        layers="-".join(map(str, LAYERS)),
        batch=BATCH,
        rows=ROWS,
        rounds=options.rounds,
        command=command("memory", arguments),
        description="\n".join(describe(libraries, options.threads)),
        table=markdown_table(["library", "early stopping", "rise MB", "bound MB"], rows),
    )
    publish("memory", page, options.save)
