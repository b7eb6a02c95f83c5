"""``python -m benchmarks cpu | transformers | fit | predict | memory``, each with ``--help``."""

import importlib
import sys

PAGES = {"cpu": "cpu", "transformers": "transformers", "fit": "calls", "predict": "calls", "memory": "memory"}


def main(arguments):
    """Run the benchmark that is named first, with the other arguments."""
    if not arguments or arguments[0] not in PAGES:
        raise SystemExit(f"usage: python -m benchmarks {' | '.join(PAGES)} [options]")
    module = importlib.import_module(f"benchmarks.{PAGES[arguments[0]]}")
    module.main(arguments if PAGES[arguments[0]] == "calls" else arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
