"""Kernels where Numba has no place to keep them."""

import errno
import os
import re
import shutil
import subprocess
import sys
import warnings
from multiprocessing import get_all_start_methods
from pathlib import Path

import numba
import numba.core.caching
import numpy as np
import pytest

import sknn
from sknn._backend.cpu import compiling

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


def run_program(program, folder, **environment):
    """Run a program in a process of its own, with an empty cache of kernels unless the folder has one."""
    script = folder / "program.py"
    script.write_text(program)
    root = str(Path(sknn.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "NUMBA_CACHE_DIR": str(folder / "kernels"), **environment}
    ran = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, cwd=folder, timeout=600
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


FULL_DISK = """
import errno, os, warnings
import numpy as np
from numba.core import caching

def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

caching.IndexDataCacheFile.{} = no_space
from sknn.preprocessing import StandardScaler
X = np.arange(12.0).reshape(6, 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for rows in (X, X.astype("f4")):
        made = StandardScaler().fit_transform(rows)
        assert np.allclose(made, (X - X.mean(axis=0)) / X.std(axis=0)), made
(warning,) = caught
assert "No space left on device" in str(warning.message) and "NUMBA_CACHE_DIR" in str(warning.message)
assert warning.category is RuntimeWarning and warning.filename == __file__, warning
"""


@pytest.mark.slow
@pytest.mark.parametrize("write", ["_save_index", "_save_data"])
def test_a_full_disk_costs_one_warning_at_the_line_of_the_caller(write, tmp_path):
    run_program(FULL_DISK.format(write), tmp_path)


TWO_TYPES = """
import numpy as np
from sknn._backend.cpu import loops
for dtype in "fd":
    x, out = np.arange(6, dtype=dtype).reshape(1, 3, 2), np.empty((1, 2, 3), dtype)
    loops.transpose(x, out)
    assert out.tolist() == [[[0, 2, 4], [1, 3, 5]]], out
"""


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["swapped", "empty"])
def test_a_kernel_under_the_name_of_another_is_not_run(damage, tmp_path):
    """Two processes that save kernels of two types at the same time may give them one name."""
    run_program(TWO_TYPES, tmp_path)
    files = sorted((tmp_path / "kernels").glob("*/loops.transpose-*.nbc"))
    assert len(files) == 2
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, reversed(contents), strict=True):
        file.write_bytes(content if damage == "swapped" else b"")
    run_program(TWO_TYPES, tmp_path)


def halved(values):
    return values / 2


@pytest.fixture
def halves(monkeypatch, tmp_path):
    """A function that halves numbers of two types, by a kernel that knows only what is on disk; it counts warnings."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def call():
        monkeypatch.setattr(compiling, "WARNED", set())
        kernel = compiling.kernel(halved)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for dtype in (np.float64, np.float32):
                found = kernel(np.arange(3, dtype=dtype))
                assert found.dtype == dtype and found.tolist() == [0, 0.5, 1]
        assert all(warning.category is RuntimeWarning and warning.filename == __file__ for warning in caught)
        return [str(warning.message) for warning in caught], len(kernel.stats.cache_hits)

    return call


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "random": lambda content: np.random.default_rng(0).bytes(len(content)),
    "overwritten": lambda content: content[:40] + b"x" * (len(content) - 40),
    "no text": lambda content: b"\x80\x04\x8c\xff" + b"\xff" * 255 + b".",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_of_kernels_costs_one_warning_and_is_written_anew(kind, damage, halves, tmp_path):
    assert halves() == ([], 0)
    assert halves() == ([], 2)
    files = list(tmp_path.glob(f"*/*.{kind}"))
    assert len(files) == (1 if kind == "nbi" else 2)
    for file in files:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    (message,), n_found = halves()
    assert re.search("is damaged .*Error: .* compiled again, and written anew", message) and n_found == 0
    assert halves() == ([], 2)


def test_a_damaged_file_that_cannot_be_written_anew_costs_one_warning(halves, monkeypatch, tmp_path):
    halves()
    (index,) = tmp_path.glob("*/*.nbi")
    index.write_bytes(b"")

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "_save_index", no_space)
    (message,), _ = halves()
    assert "No space left on device" in message and "NUMBA_CACHE_DIR" in message


PROCESSES = """
import multiprocessing, warnings
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from sknn import MLPRegressor
from sknn.preprocessing import StandardScaler

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, t = rng.standard_normal((60, 4)), rng.standard_normal(60)

def results(number, dtype):
    rows = X.astype(dtype)
    scaled = StandardScaler().fit_transform(rows)
    if not FITS:
        return scaled
    model = MLPRegressor(hidden_layer_sizes=(5,), solver="sgd", max_iter=3, random_state=number)
    return model.fit(scaled, t.astype(rows.dtype)).predict(scaled)

def in_threads(dtype):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(results, range(4), dtype * 4))

if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    with context.Pool(4) as pool:
        found = pool.map(in_threads, "fdfd", chunksize=1)
    for dtype, made in zip("fdfd", found):
        for number in range(4):
            np.testing.assert_array_equal(made[number], results(number, dtype))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [name for name in ("fork", "spawn", "forkserver") if name in get_all_start_methods()]
)
def test_processes_and_threads_fit_at_once_without_kernels_on_disk(method, tmp_path):
    """Networks take many kernels, so only processes that are started anew fit one."""
    run_program(PROCESSES.replace("METHOD", repr(method)).replace("FITS", str(method == "spawn")), tmp_path)
