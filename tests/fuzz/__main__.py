"""``python -m tests.fuzz --minutes 10 --seed 3``, or ``python -m tests.fuzz --case 17``."""

import argparse
import itertools
import os
import sys
import time

os.environ.setdefault("SCIPY_ARRAY_API", "1")

from tests.fuzz.runner import run  # noqa: E402


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0, help="where the seeds start: millions of cases lie between two")
    parser.add_argument("--case", type=int, help="run this case alone")
    given = parser.parse_args()
    if given.case is not None:
        return bool(run([given.case])["findings"])
    return bool(run(itertools.count(given.seed * 10**7), time.monotonic() + 60 * given.minutes)["findings"])


if __name__ == "__main__":
    sys.exit(main())
