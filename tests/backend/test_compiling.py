"""Kernels where Numba has no place to keep them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sknn

PROGRAM = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from sknn._backend.cpu import columns, loops
import numpy as np
out = np.empty((1, 2, 3))
loops.transpose(np.arange(6.0).reshape(1, 3, 2), out)
print(out.tolist(), [(each.category.__name__, "NUMBA_CACHE_DIR" in str(each.message)) for each in caught])
"""


@pytest.mark.slow
@pytest.mark.parametrize("has_place", [True, False])
def test_kernels_run_where_none_can_be_kept(has_place, tmp_path):
    """As in an image that is read only: a file stands where a directory would be, which not even root changes."""
    shutil.copytree(Path(sknn.__file__).parent, tmp_path / "sknn", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "sknn/_backend/cpu/__pycache__").touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": os.devnull, "XDG_CACHE_HOME": os.devnull}
    environment.pop("NUMBA_CACHE_DIR", None)
    if has_place:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "kept")
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    warned = [] if has_place else [("RuntimeWarning", True)]
    assert ran.stdout.strip() == f"[[[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]] {warned}"
    assert bool(list(tmp_path.glob("kept/*/*.nbi"))) == has_place
