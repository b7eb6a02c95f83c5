"""Run a measurement in a process of its own, and describe the machine and the versions."""

import datetime
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import joblib

ROOT = Path(__file__).parents[1]
CORES = joblib.cpu_count()
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def installed(library):
    """Return whether `library` can be imported, without importing it."""
    spec = importlib.util.find_spec(library)
    return spec is not None and spec.origin is not None


def run_alone(module, spec):
    """Run ``python -m module spec`` and return the JSON object of its last line."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(spec["threads"]))
    command = [sys.executable, "-m", module, json.dumps(spec)]
    child = subprocess.run(command, cwd=ROOT, env=os.environ | threads, capture_output=True, text=True)
    if child.returncode:
        raise SystemExit(f"{spec['library']} failed on {spec}:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


def cpu_model():
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version(library):
    """Return the version of `library`, or say that it is not installed."""
    if not installed(library):
        return "not installed"
    return getattr(importlib.import_module(library), "__version__", "unknown")


def describe(libraries, threads):
    """Return lines about the machine, the versions and the date."""
    names = [*libraries, "numpy", "numba"]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return [
        f"- Machine: {cpu_model()}, {CORES} cores, {threads} threads, {platform.system()}",
        f"- Versions: Python {platform.python_version()}, {versions}",
        f"- Date: {datetime.date.today().isoformat()}",
    ]


def markdown_table(header, rows):
    """Return an aligned Markdown table, first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_table_line(cells, widths) for cells in [header, rule, *rows])


def _table_line(cells, widths):
    """Return one line of a Markdown table."""
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"
