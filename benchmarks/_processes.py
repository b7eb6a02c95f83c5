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
# What is measured: its name in tables, and the module that has to be there.
LIBRARIES = {
    "sknn": ("sknn", "sknn"),
    "sklearn": ("scikit-learn", "sklearn"),
    "torch": ("PyTorch", "torch"),
    "compiled": ("torch.compile", "torch"),
    "skorch": ("skorch", "skorch"),
}
CORES = joblib.cpu_count()
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def label(library):
    """Return the name of a library in tables."""
    return LIBRARIES[library][0]


def installed(module):
    """Return whether a module can be imported, without importing it."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None


def choose_libraries(names):
    """Return the libraries that are installed, and name those that are not."""
    unknown = set(names) - LIBRARIES.keys()
    if unknown:
        raise SystemExit(f"unknown library {', '.join(unknown)}; the libraries are {', '.join(LIBRARIES)}")
    missing = [name for name in names if not installed(LIBRARIES[name][1])]
    if "sknn" not in names or "sknn" in missing:
        raise SystemExit("sknn must be among the libraries, and importable: it is what the others are compared with")
    for name in missing:
        print(f"{label(name)}: not installed")
    return [name for name in names if name not in missing]


def run_alone(module, spec, environment=None):
    """Run ``python -m module spec`` and return the JSON object of its last line."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(spec["threads"])) | (environment or {})
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


def version(module):
    """Return the version of a module, or say that it is not installed."""
    if not installed(module):
        return "not installed"
    return getattr(importlib.import_module(module), "__version__", "unknown")


def describe(libraries, threads):
    """Return lines about the machine, the versions and the date."""
    names = dict.fromkeys([*(LIBRARIES[library][1] for library in libraries), "numpy", "numba"])
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return [
        f"- Machine: {cpu_model()}, {CORES} cores, {threads} threads, {platform.system()}",
        f"- Versions: Python {platform.python_version()}, {versions}",
        f"- Date: {datetime.date.today().isoformat()}",
    ]
