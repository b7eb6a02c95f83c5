"""How kernels are compiled.

They are single-threaded and release the GIL: BLAS has the cores, and two thread pools would spin against each other.
``error_model="numpy"`` lets loops with divisions be vectorised; ``fastmath`` leaves out nnan and ninf, which would
compile away the arithmetic that lets divergence be seen.
"""

from __future__ import annotations

import numba

kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
exact_kernel = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)  # not what its caller has
