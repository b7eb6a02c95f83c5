"""``python -m benchmarks PAGE``, where PAGE is one of those below; each has ``--help``."""

import importlib
import sys
from functools import partial

PAGES = (
    "cpu",
    "gpu",
    "parts",
    "transformers",
    "fit",
    "first",
    "scoring",
    "predict",
    "small",
    "search",
    "scaling",
    "memory",
    "trace",
)


def page_of(name):
    """Return the function that makes a page from the other arguments."""
    if name in ("fit", "predict", "small"):
        return partial(importlib.import_module("benchmarks.calls").main, name)
    return importlib.import_module(f"benchmarks.{name}").main


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PAGES:
        raise SystemExit(f"usage: python -m benchmarks {' | '.join(PAGES)} [options]")
    page_of(sys.argv[1])(sys.argv[2:])
