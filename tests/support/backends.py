"""All backends, on NumPy arrays: the definition of the kernels, the CPU's, and the GPU's by simulation."""

import numpy as np
import scipy.sparse

from sknn._backend import reference
from sknn._backend.cpu import backend as cpu
from sknn._backend.cuda import backend as cuda
from sknn._common.rows import SparseRows, rows_of
from sknn._core import passes
from tests.support import cuda_simulator

BACKENDS = {"reference": reference.Backend(np), "cpu": cpu.Backend(), "cuda": cuda_simulator.Backend()}


def set_chunk_elements(monkeypatch, elements):
    """Have predictions made in chunks of so many numbers, however few rows these are."""
    for backend in (reference.Backend, cuda.Backend):
        monkeypatch.setattr(backend, "chunk_elements", elements)
    monkeypatch.setattr(passes, "LEAST_ROWS", 1)


def rows_on(backend, X):
    """Return rows on any of these backends, whose arrays are NumPy's: sparse ones too."""
    return SparseRows(backend, X) if scipy.sparse.issparse(X) else rows_of(backend, X)
