"""Microseconds a training step on the CPU beside scikit-learn, PyTorch (eager and compiled) and skorch.

Run ``python -m benchmarks cpu``, with ``--save`` to write `docs/benchmarks/cpu.md`. Every figure is
the median of rounds; in each round every library trains once, in a process of its own, in turn.
"""

import sys
from typing import NamedTuple

from benchmarks._pages import command, markdown_table, medians, option_parser, publish, ratio, refuse_part
from benchmarks._processes import LIBRARIES, choose_libraries, describe, label, run_alone
from benchmarks._steps import BLOCKS

NOTES = """\
# Training steps on the CPU

Microseconds a training step, lower is better: median of {rounds} rounds, {dtype}. Written by

    {command}

{description}

{tables}

- Classification, ten classes, ReLU where nothing else is named, Adam, learning rate 1e-3, L2
  penalty 1e-4, shuffled batches, the same synthetic data for all. Losses are those of the last
  epoch, after the same epochs; a dash is what a library has not.
- sknn, scikit-learn, skorch: seconds of a long fit less those of a short one, over the steps between
  them, so that validation and set-up cancel. PyTorch: the bare loop on tensors in memory, fused
  Adam, no `DataLoader`; its epochs after the first. torch.compile: the same, network and loss compiled. Where the
  whole step is compiled, the graph breaks behind the loss, too, and the optimizer's part is slower than the fused one.
- Every library runs in a process of its own, in turn, round by round.
- Products: the step's matrix products alone, by `np.matmul`, in sknn's process. On the two smallest networks that is
  mostly the calls from Python, which a step of sknn does without.
"""


# What a saved page has: in double precision the plain peers are enough.
PEERS = {"float32": ",".join(LIBRARIES), "float64": "sknn,sklearn,torch"}


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
        """Return whether a library is measured with the building block; those without it, and wrappers, are not."""
        return not self.block or library in ("sknn", "torch")


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


def tables(networks, libraries, options):
    """Return the Markdown tables of all networks: times with ratios, and losses."""
    results = {network: measure(network, libraries, options) for network in networks}
    peers = [library for library in libraries if library != "sknn"]
    header = ["network", "batch", *(f"{label(library)} us" for library in libraries)]
    header += [*(f"{label(peer)} / sknn" for peer in peers), "products us", "step / products"]
    times = markdown_table(header, [row_of_times(*item, libraries, peers) for item in results.items()])
    header = ["loss of the last epoch", "batch", *map(label, libraries)]
    losses = markdown_table(header, [row_of_losses(*item, libraries) for item in results.items()])
    return f"{times}\n\n{losses}"


def row_of_times(network, figures, libraries, peers):
    """Return the times of one network as cells of the table; a figure that was not measured is a dash."""
    times = {library: figures.get(library, {}).get("step") for library in libraries}
    step, products = times.get("sknn"), figures.get("sknn", {}).get("products")
    ratios = [ratio(times[peer], step) for peer in peers]
    steps = map(microseconds, times.values())
    return [network.name, str(network.batch), *steps, *ratios, microseconds(products), ratio(step, products)]


def row_of_losses(network, figures, libraries):
    """Return the losses of one network as cells of the table."""
    losses = (f"{figures[library]['loss']:.4f}" if library in figures else "-" for library in libraries)
    return [network.name, str(network.batch), *losses]


def microseconds(value):
    """Return microseconds as text, with a decimal for small numbers."""
    return "-" if value is None else f"{value:.{1 if value < 100 else 0}f}"


def parse(arguments):
    """Return the options of the command line."""
    parser = option_parser("cpu", __doc__)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="float64: cpu-float64.md")
    parser.add_argument("--libraries", help="separated by commas; default: all, or sknn,sklearn,torch in float64")
    parser.add_argument("--networks", default="", help="such as 64-64-10,20-32-10; default: all")
    options = parser.parse_args(arguments)
    options.libraries = options.libraries or PEERS[options.dtype]
    return options


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
    refuse_part(options, networks="", libraries=PEERS[options.dtype])
    asked = options.libraries.split(",")
    libraries = choose_libraries(asked)
    networks = choose_networks(options.networks.split(",") if options.networks else [])
    page = NOTES.format(
        rounds=options.rounds,
        dtype=options.dtype,
        command=command("cpu", arguments),
        description="\n".join(describe(asked, options.threads)),
        tables=tables(networks, libraries, options),
    )
    publish("cpu" if options.dtype == "float32" else "cpu-float64", page, options.save)
