"""Train with kernels that are compiled with AddressSanitizer, so that none reads or writes beyond its arrays.

Run by tests/backend/test_cuda.py in a process of its own, which has the sanitizer's library loaded first. An argument
names a change of the sources, ``old=>new``, to see that it would be seen.
"""

import sys
from dataclasses import replace

import numpy as np

from sknn._backend.cuda import sources
from tests.support import cuda_simulator
from tests.support.scenarios import NOT_CAPTURED, SCENARIOS, train


def main(change=None):
    cuda_simulator.COMPILED += ["-fsanitize=address", "-g"]
    if change:
        old, new = change.split("=>")
        changed = sources.source().replace(old, new)
        assert changed != sources.source()
        sources.source = lambda: changed
    backend = cuda_simulator.Backend()
    for name in SCENARIOS.keys() - NOT_CAPTURED.keys():
        train(replace(SCENARIOS[name], epochs=2), backend, True, [0, 1, 2])
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for shape in [(1, 1), (3, 5), (1000, 45), (300, 33)]:
            X = rng.standard_normal(shape).astype(dtype)
            for rows, weight in [(X, None), (X, np.ones(len(X))), (X.T, None)]:
                backend.column_moments(rows, weight)
                backend.column_extremes(rows)
            backend.shift_scale(X, X[0].copy(), X[0] + 1)
            backend.scale_shift(X, X[0].copy(), X[0] + 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
