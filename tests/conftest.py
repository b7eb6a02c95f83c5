"""What must be set before scikit-learn is imported, how hypothesis draws, and a stand-in for CuPy."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support.designs import mark_slow_cases

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # without it scikit-learn refuses array_api_dispatch=True

# The same examples each time, however busy the machine is.
settings.register_profile("sknn", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sknn")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Leave some cases of a test to the slow ones."""
    mark_slow_cases(items)


@pytest.fixture
def cupy():
    """What stands for CuPy, where sknn looks for it."""
    from tests.support import cupy_standin  # not before the environment is set

    with cupy_standin.installed() as module:
        yield module
