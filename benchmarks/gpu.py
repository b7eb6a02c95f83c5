"""Training steps and whole calls on one NVIDIA GPU, beside PyTorch, cuML and the CPU.

Run ``python -m benchmarks gpu``, with ``--save`` to write `docs/benchmarks/gpu.md`. Every figure is the median of
rounds; in each round every library runs once, in a process of its own, in turn. Without a GPU nothing is measured, and
the page says so.
"""

import json
import subprocess
import sys
from typing import NamedTuple

from benchmarks._gpu import WORKS
from benchmarks._pages import command, markdown_table, medians, option_parser, publish, ratio, refuse_part
from benchmarks._processes import CORES, ROOT, cpu_model, installed, version

NOT_MEASURED = "not measured"
NOTES = """\
# One GPU

{what}, lower is better: median of {rounds} rounds. Written by

    {command}

{description}

## Microseconds a training step and model

{steps}

## Milliseconds of a call

{calls}

- Floors are what the arithmetic or the memory of an H200 allow at least: 67 TFLOP/s in float32, 494 in TF32, 989 in
  bfloat16, 4.3 TB/s copied. Goals are what sknn is to reach there.
- Steps are timed by events of the device over epochs of sknn's own loop, with what it does between them; PyTorch draws
  rows by `randperm` on the device, with `Adam(fused=True)`; "graph" is a whole step of it in one CUDA graph, "compiled
  graph" the same with forward and loss by `torch.compile(mode="max-autotune-no-cudagraphs")`; 64 models are
  `torch.func.vmap` over stacked parameters.
- All multiply in the precision that is named: `torch.set_float32_matmul_precision("highest" or "high")`, autocast for
  bfloat16; cuBLAS's compute type in sknn.
- Loss: of the last epoch, of other initial weights and orders of rows; mean square: of what was learnt. Equal work has
  about equal ones.
- Rows lie on the device before a transformer is fitted, and on the host before a network is. "A read" is half of a copy
  from one place of the device to another.
"""


class Row(NamedTuple):
    """A piece of work in a table: its floor and goal in the unit of the table, and the peers beside it."""

    work: str
    floor: str
    goal: str
    peers: tuple


STEPS = (
    Row("784-256-128-10, float32", "3.9", "25, then 12", ("PyTorch", "graph", "compiled graph")),
    Row("the same, 64 models", "1.5", "4", ("graph",)),
    Row("4096-4096x3-10, tf32", "2230", "3300", ("PyTorch", "compiled graph")),
    Row("4096-4096x3-10, bfloat16", "1400", "2100", ("PyTorch", "compiled graph")),
)
CALLS = (
    Row("StandardScaler.fit, 10,000,000 x 100", "0.9", "1.5 reads", ("a read", "cuML")),
    Row("PCA(50, whiten).fit, 1,000,000 x 200", "", "a 20th of scikit-learn", ("scikit-learn",)),
    Row("fit 60,000 x 784, 20 epochs", "", "a 15th of the CPU", ("sknn on the CPU",)),
)
NEEDS = {"PyTorch": "torch", "graph": "torch", "compiled graph": "torch", "cuML": "cuml"}


def gpu_name():
    """Return the name of the GPU that CuPy finds, or None."""
    code = "import cupy; print(cupy.cuda.runtime.getDeviceProperties(0)['name'].decode())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return child.stdout.strip() if child.returncode == 0 else None


def run_alone(spec):
    """Return the figures that a separate process measures, or None if it fails, after printing its error."""
    command_line = [sys.executable, "-m", "benchmarks._gpu", json.dumps(spec)]
    child = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True)
    if child.returncode:
        print(f"{spec['library']} failed on {spec['work']}:\n{child.stderr}", file=sys.stderr)
        return None
    return json.loads(child.stdout.splitlines()[-1])


def measure(row, options):
    """Return the medians of all libraries, with None for a library that is not installed or failed."""
    libraries = [name for name in ("sknn", *row.peers) if name not in NEEDS or installed(NEEDS[name])]
    rounds = {library: [] for library in libraries}
    for number in range(options.rounds):
        print(f"{row.work}: round {number + 1} of {options.rounds}", file=sys.stderr)
        for library in libraries:
            spec = {"library": library, "work": row.work, "device": options.device, "scale": options.scale}
            rounds[library].append(run_alone(spec))
    return {name: None if None in found else medians(found) for name, found in rounds.items()}


def table(rows, results):
    """Return the Markdown table of several pieces of work, with a line for each library."""
    header = ["work", "library", "floor", "goal", "time", "/ sknn", "loss or mean square"]
    return markdown_table(header, [line for row in rows for line in lines_of(row, results.get(row.work, {}))])


def lines_of(row, figures):
    """Return the lines of a piece of work in the table, one for each library."""
    lines = []
    own = figures.get("sknn")
    for library in ("sknn", *row.peers):
        found, is_own = figures.get(library), library == "sknn"
        first = [row.work, library, row.floor, row.goal] if is_own else ["", library, "", ""]
        if found is None:
            lines.append([*first, NOT_MEASURED, "-", "-"])
        else:
            times = ratio(found["time"], own and own["time"])
            lines.append([*first, f"{found['time']:.4g}", times, f"{found['result']:.4g}"])
    return lines


def describe(gpu):
    """Return lines about the machine and the versions."""
    modules = ("cupy", "torch", "cuml", "sklearn", "numpy")
    return [
        f"- GPU: {gpu or 'none on the machine that wrote this page'}",
        f"- Machine: {cpu_model()}, {CORES} cores",
        f"- Versions: {', '.join(f'{module} {version(module)}' for module in modules)}",
    ]


def parse(arguments):
    """Return the options of the command line."""
    parser = option_parser("gpu", __doc__, threads=False)
    parser.add_argument("--only", default="", help="part of the names of works")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a try without a GPU")
    parser.add_argument("--scale", type=float, default=1.0, help="of rows and widths, for a try")
    return parser.parse_args(arguments)


def main(arguments):
    """Measure, print the tables, and save the page where asked."""
    options = parse(arguments)
    refuse_part(options, only="", device="cuda", scale=1.0)
    gpu = gpu_name()
    chosen = [row for row in (*STEPS, *CALLS) if options.only in row.work]
    if not chosen:
        raise SystemExit(f"no work has {options.only!r} in its name; they are {'; '.join(WORKS)}")
    results = {row.work: measure(row, options) for row in chosen} if gpu or options.device == "cpu" else {}
    page = NOTES.format(
        what="Times" if results else "Not measured yet: no GPU was there. Times",
        rounds=options.rounds,
        command=command("gpu", arguments),
        description="\n".join(describe(gpu)),
        steps=table([row for row in STEPS if row in chosen], results),
        calls=table([row for row in CALLS if row in chosen], results),
    )
    publish("gpu", page, options.save)
