"""Where there is a GPU, and where not."""

import os
import warnings

import pytest

from sknn._backend.cuda import backend as cuda


def cupy_or_skip():
    """Return the cupy module; without a GPU skip, or fail where SKNN_REQUIRE_GPU=1 says that there is one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how CUDA was installed
            return cuda.import_cupy()
    except ValueError as error:
        lack = str(error)
    if os.environ.get("SKNN_REQUIRE_GPU") == "1":
        pytest.fail(lack)
    pytest.skip(lack)
