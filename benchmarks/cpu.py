"""Microseconds a training step on the CPU beside scikit-learn and PyTorch.

Run ``python -m benchmarks.cpu``, with ``--save`` to write `docs/benchmarks/cpu.md`. Every figure is
the median of rounds; in each round every library trains once, in a process of its own, in turn.
"""

import argparse
import statistics
import sys
from typing import NamedTuple

from benchmarks._processes import CORES, ROOT, describe, installed, markdown_table, run_alone
from benchmarks._steps import BLOCKS

PAGE = ROOT / "docs" / "benchmarks" / "cpu.md"
LABELS = {"sknn": "sknn", "sklearn": "scikit-learn", "torch": "PyTorch"}
NOTES = """\
# Training steps on the CPU

Microseconds a training step, lower is better: median of {rounds} rounds, {dtype}. Written by

    {command}

{description}

{table}

- Classification, ten classes, ReLU where nothing else is named, Adam, learning rate 1e-3, L2
  penalty 1e-4, shuffled batches, the same synthetic data for all. Losses are those of the last
  epoch, after the same epochs; a dash is what a library has not.
- sknn, scikit-learn: seconds of a long fit less those of a short one, over the steps between them,
  so that validation and set-up cancel. PyTorch: the bare eager loop on tensors in memory, fused
  Adam, no `DataLoader`; its epochs after the first.
- Every library runs in a process of its own, in turn, round by round.
- Products: the step's matrix products alone, by `np.matmul`, in sknn's process.
"""


class Network(NamedTuple):
    """A network, its batch size, batches in an epoch, epochs of the short and long fit, and a building block."""

    layers: tuple
    batch: int
    batches: int
    epochs: tuple
    block: str = ""

    @property
    def name(self):
        """Return the widths of the layers, joined by dashes, and the building block."""
        return " ".join(["-".join(map(str, self.layers)), *self.block.split()])

    def trained_by(self, library):
        """Return whether a library has the building block."""
        return not self.block or library != "sklearn"


NETWORKS = (
    Network((784, 100, 10), 200, 300, (1, 4)),
    Network((784, 256, 128, 10), 128, 468, (1, 3)),
    Network((784, 64, 64, 10), 32, 1875, (1, 3)),
    Network((784, 1024, 1024, 10), 256, 60, (1, 3)),
    Network((64, 64, 10), 32, 56, (5, 55)),
    Network((20, 32, 10), 32, 64, (5, 55)),
    *(Network((784, 256, 128, 10), 128, 468, (1, 3), block) for block in BLOCKS if block),
)


def measure(network, libraries, options):
    """Return the medians of each library on `network`, its processes taking turns."""
    results = {library: [] for library in libraries if network.trained_by(library)}
    for number in range(options.rounds):
        print(f"{network.name}: round {number + 1} of {options.rounds}", file=sys.stderr)
        for library in results:
            spec = {"library": library, "threads": options.threads, "dtype": options.dtype}
            results[library].append(run_alone("benchmarks._steps", spec | network._asdict()))
    return {library: medians(rounds) for library, rounds in results.items()}


def medians(rounds):
    """Return the median of every figure over the rounds."""
    return {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}


def table(results, libraries):
    """Return the Markdown table of all networks."""
    peers = [library for library in libraries if library != "sknn"]
    header = ["network", "batch", *(f"{LABELS[library]} us" for library in libraries)]
    header += [*(f"{LABELS[peer]} / sknn" for peer in peers), "products us", "step / products"]
    header += [f"loss {LABELS[library]}" for library in libraries]
    rows = [table_row(network, figures, libraries, peers) for network, figures in results.items()]
    return markdown_table(header, rows)


def table_row(network, figures, libraries, peers):
    """Return the cells of one network; a figure that was not measured is a dash."""
    figures = {library: figures.get(library, {}) for library in libraries}
    own = figures.get("sknn", {})
    step, products = own.get("step"), own.get("products")
    ratios = [ratio(figures[peer].get("step"), step) for peer in peers]
    steps = [microseconds(result.get("step")) for result in figures.values()]
    losses = [f"{result['loss']:.4f}" if result else "-" for result in figures.values()]
    alone = [microseconds(products), ratio(step, products)]
    return [network.name, str(network.batch), *steps, *ratios, *alone, *losses]


def microseconds(value):
    """Return microseconds as text, with a decimal where it says something."""
    return "-" if value is None else f"{value:.{1 if value < 100 else 0}f}"


def ratio(value, base):
    """Return a ratio as text, a dash where a side is missing."""
    return "-" if value is None or base is None else f"{value / base:.2f}"


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu", description=__doc__)
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks/cpu.md")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=CORES, help="default: all cores")
    parser.add_argument("--libraries", default=",".join(LABELS), help="separated by commas")
    parser.add_argument("--networks", default="", help="such as 64-64-10,20-32-10; default: all")
    return parser.parse_args(arguments)


def choose_libraries(names):
    """Return the asked libraries that are installed, and name those that are not."""
    missing = [name for name in names if not installed(name)]
    if "sknn" in missing:
        raise SystemExit("sknn: not importable")
    for name in missing:
        print(f"{name}: not installed")
    return [name for name in names if name not in missing]


def choose_networks(names):
    """Return the networks of these names, or all of them."""
    unknown = set(names) - {network.name for network in NETWORKS}
    if unknown:
        known = ", ".join(network.name for network in NETWORKS)
        raise SystemExit(f"unknown network {', '.join(unknown)}; the networks are {known}")
    return [network for network in NETWORKS if not names or network.name in names]


def main(arguments):
    """Measure, print the table, and save the page where asked."""
    options = parse(arguments)
    asked = options.libraries.split(",")
    libraries = choose_libraries(asked)
    networks = choose_networks(options.networks.split(",") if options.networks else [])
    results = {network: measure(network, libraries, options) for network in networks}
    page = NOTES.format(
        rounds=options.rounds,
        dtype=options.dtype,
        command=" ".join(["python -m benchmarks.cpu", *arguments]),
        description="\n".join(describe(asked, options.threads)),
        table=table(results, libraries),
    )
    print(page)
    if options.save:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page)


if __name__ == "__main__":
    main(sys.argv[1:])
