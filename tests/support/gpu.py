"""The choice between running and skipping a test that needs a GPU."""

import os
import warnings

import pytest

from sknn._backend.cuda import backend as cuda


def cupy_or_skip():
    """Return the cupy module. Without a GPU, skip the test, or fail if SKNN_REQUIRE_GPU=1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how CUDA was installed
            return cuda.import_cupy()
    except ValueError as error:
        lack = str(error)
    if os.environ.get("SKNN_REQUIRE_GPU") == "1":
        pytest.fail(lack)
    pytest.skip(lack)
