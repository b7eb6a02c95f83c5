"""scikit-learn's tests of its MLP, with sknn's classes."""

import pytest

from tests.support.borrowed import borrowed_tests

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

globals().update(borrowed_tests("sklearn.neural_network.tests.test_mlp"))
