"""All backends on NumPy arrays: the definitions, the kernels of the CPU, and the simulated kernels of the GPU."""

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
    """Limit the chunks of predictions to a number of elements, even if that is a row or less."""
    for backend in (reference.Backend, cuda.Backend):
        monkeypatch.setattr(backend, "chunk_elements", elements)
    monkeypatch.setattr(passes, "LEAST_ROWS", 1)


def rows_on(backend, X):
    """Return the rows of X on one of these backends, whose arrays are all NumPy's; X may be sparse."""
    return SparseRows(backend, X) if scipy.sparse.issparse(X) else rows_of(backend, X)
