"""Blocks that users write: their own functions run, on every backend, also where their parents have fused kernels."""

from typing import ClassVar

import numpy as np
import pytest
from sklearn.datasets import load_iris

from sknn import MLPRegressor, building_block
from sknn.activations import ACTIVATIONS, Activation, Maxout, PReLU, ReLU
from sknn.losses import REGRESSION_LOSSES, RegressionLoss, SigmoidSquaredError, SquaredError
from sknn.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Optimizer
from tests.support.backends import BACKENDS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_backend = pytest.mark.parametrize("backend", BACKENDS)
X = load_iris().data
X = (X - X.mean(axis=0)) / X.std(axis=0)
y = X[:, 0] * X[:, 1]


# ---- the same functions, alone and in a class derived from a shipped one ------------------


class SlopedFunctions:
    """f(z) = z / 2 for z > 0, else 0."""

    def forward(self, xp, z, y):
        y[...] = xp.maximum(z, 0) / 2

    def backward(self, xp, dz, z, y):
        dz *= (y > 0) / 2


class DoubledFunctions:
    """The squared error, and predictions that are twice the raw outputs."""

    def value_and_gradient(self, xp, z, y, dz):
        dz[...] = 2 * (2 * z - y)
        return ((2 * z - y) ** 2).sum(axis=-1) / 2

    def link(self, xp, z):
        z *= 2


class DescentFunctions:
    """Steps against the gradient, twice as long as asked for."""

    @staticmethod
    def update(xp, theta, grad, slots, constants, rate, second_rate):
        theta -= 2 * rate * grad


@building_block
class Sloped(SlopedFunctions, Activation):
    pass


@building_block
class SlopedReLU(SlopedFunctions, ReLU):
    gain: ClassVar[float] = 1.0


@building_block
class Doubled(DoubledFunctions, RegressionLoss):
    pass


@building_block
class DoubledSquaredError(DoubledFunctions, SquaredError):
    label: str = "of a kind that no kernel takes"

    def objective_factor(self, n_outputs):
        return 1


@building_block
class Descent(DescentFunctions, Optimizer):
    n_slots: ClassVar[int] = 1

    def constants(self):
        return (0.9, 1.0)


@building_block
class DescentSGD(DescentFunctions, SGD):
    pass


@building_block
class DescentAdam(DescentFunctions, Adam):
    def rates(self, learning_rate, steps):
        return np.broadcast_to(learning_rate, len(steps))


PAIRS = [
    ({"activation": Sloped()}, {"activation": SlopedReLU()}),
    ({"loss": Doubled()}, {"loss": DoubledSquaredError()}),
    ({"solver": Descent()}, {"solver": DescentSGD()}),
    ({"solver": Descent()}, {"solver": DescentAdam()}),
]
each_pair = pytest.mark.parametrize("alone, derived", PAIRS, ids=lambda pair: str(*pair.values()))


@pytest.fixture
def fitted(backend, monkeypatch):
    """Return a function that fits on a backend."""
    monkeypatch.setattr(MLPRegressor, "_get_backend", lambda self, X: BACKENDS[backend])

    def fit(**parameters):
        common = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "learning_rate_init": 0.01}
        return MLPRegressor(**{**common, **parameters}).fit(X, y)

    return fit


@each_pair
@each_backend
def test_a_derived_block_runs_its_own_functions(fitted, alone, derived):
    mine, other = fitted(**derived), fitted(**alone)
    for coefs, expected in zip(mine.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(coefs, expected)
    np.testing.assert_array_equal(mine.loss_curve_, other.loss_curve_)
    np.testing.assert_array_equal(mine.predict(X), other.predict(X))


# ---- keys -------------------------------------------------------------------------------


def test_a_block_without_a_key_gets_its_own_name():
    assert Sloped().kernel == "tests.test_custom_blocks.Sloped"
    assert Doubled().kernel == Doubled().link_name == "tests.test_custom_blocks.Doubled"
    assert Descent().kernel == "tests.test_custom_blocks.Descent"


def test_a_block_keeps_the_key_that_it_names():
    class Named(ReLU):
        kernel: ClassVar[str] = "named"

        def forward(self, xp, z, y):
            y[...] = z

    assert Named().kernel == "named"


def test_a_key_is_kept_where_the_functions_are():
    class Renamed(SigmoidSquaredError):
        pass

    class Recounted(SquaredError):
        def objective_factor(self, n_outputs):
            return 1

    assert Renamed().kernel == "sigmoid_squared_error"
    assert (Recounted().kernel, Recounted().link_name) == ("squared_error", "identity")
    assert AdamW().kernel == Adam().kernel == "adam"


def test_a_link_of_its_own_needs_a_gradient_of_its_own():
    class Linked(SigmoidSquaredError):  # whose gradient calls the link
        def link(self, xp, z):
            z *= 2

    assert Linked().kernel == Linked().link_name != "sigmoid_squared_error"


@pytest.mark.parametrize("block", [*ACTIVATIONS.values(), *REGRESSION_LOSSES.values(), *OPTIMIZERS.values()], ids=str)
def test_shipped_blocks_have_short_keys(block):
    assert "." not in (block().kernel if isinstance(block, type) else block.kernel)


@pytest.mark.parametrize("parent, stage", [(PReLU, "prelu"), (Maxout, "maxout")])
def test_what_a_stage_would_not_call_is_refused(parent, stage):
    with pytest.raises(TypeError, match=f"Mine must not define forward: its parent is .* own, '{stage}'"):
        type("Mine", (parent,), {"forward": SlopedFunctions.forward})


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_a_derived_block_with_more_fields_keeps_the_kernel(fitted):
    @building_block
    class Labelled(SquaredError):
        label: str = "of a kind that no kernel takes"

    np.testing.assert_array_equal(fitted(loss=Labelled()).coefs_[0], fitted(loss="squared_error").coefs_[0])
