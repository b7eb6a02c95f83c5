"""The fixtures of scikit-learn's tests, and marks for the tests that must fail."""

import re

import numpy as np
import pytest

from tests.scikit_learn.expected import REASONS


@pytest.fixture(params=[42])
def global_random_seed(request):
    return request.param


@pytest.fixture(params=[np.float64])
def global_dtype(request):
    return request.param


@pytest.fixture(autouse=True)
def seeded():
    """Seed NumPy's own stream, from which tests without a random_state draw."""
    np.random.seed(0)  # noqa: NPY002


def pytest_itemcollected(item):
    if item.path.stem != "test_expected":
        item.add_marker(pytest.mark.slow)  # all together take half a minute
    for reason, entries in REASONS:
        for entry in entries:
            if entry.module == item.path.stem and re.fullmatch(entry.names, item.name):
                item.add_marker(entry.mark(reason))
