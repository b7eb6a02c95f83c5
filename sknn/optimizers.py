"""Optimisers for mini-batch training.

An optimiser is a frozen dataclass. It updates all parameters of all models of a stack in one vectorised operation on
the parameter array ``theta``. Its state consists of ``n_slots`` arrays of the shape of theta. ``constants`` returns its
constants, ``rates`` the step sizes of the next steps. If an optimiser is chosen by name, the fields listed in
``shared`` are taken from the estimator's parameters of the same names.

The Adam family adds ``epsilon`` to the root of the squared-gradient average before bias correction, as at the end of
section 2 of the Adam paper and in scikit-learn. PyTorch adds its ``eps`` after bias correction, so that the ``epsilon``
used here corresponds to ``eps * sqrt(1 - beta_2^t)``.

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from sknn import MLPClassifier
>>> from sknn.optimizers import RMSprop
>>> X, y = load_iris(return_X_y=True)
>>> model = MLPClassifier((10,), solver=RMSprop(0.99), learning_rate_init=0.01, max_iter=300, random_state=0).fit(X, y)
>>> model.score(X, y) > 0.95
True
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._backend.typing import Array, ArrayModule
from ._common.blocks import Block, building_block
from ._common.rules import boolean, real


class Optimizer(Block, is_base=True):
    """Base class of all optimisers.

    A subclass, decorated with :func:`sknn.building_block`, defines ``n_slots``, ``constants`` and ``update``.
    ``xp`` is the array module: NumPy or CuPy. ``kernel`` is the key under which a backend looks for a fused
    implementation; a subclass that overrides ``update`` without naming a ``kernel`` gets a new one.
    """

    _fused: ClassVar[dict[str, tuple[str, ...]]] = {"kernel": ("update",)}
    kernel: ClassVar[str]
    n_slots: ClassVar[int]
    shared: ClassVar[tuple[str, ...]] = ()
    decouples_decay: ClassVar[bool] = False  # weights shrink by themselves, apart from the gradient

    def constants(self) -> tuple[float, ...]:
        """Return the constants of the update, as a tuple of floats."""
        raise NotImplementedError

    def rates(self, learning_rate: float, steps: Array) -> Array:
        """Return the step size at each of ``steps`` (counted from 1), in float64."""
        return np.broadcast_to(learning_rate, len(steps))

    def second_rates(self, learning_rate: float, steps: Array) -> Array | None:
        """Return the second step size at each of ``steps``, or None if the optimiser has only one."""
        return None

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        """Update theta in place by one step; ``constants`` has shape ``(K, h)``, both rates have shape ``(K, 1)``."""
        raise NotImplementedError


def columns(constants: Array) -> list[Array]:
    """Return the constants of an optimiser as arrays of shape ``(K, 1)``."""
    return [constants[:, i : i + 1] for i in range(constants.shape[1])]


@building_block
class SGD(Optimizer):
    """Stochastic gradient descent with momentum or Nesterov momentum, in the form of Sutskever et al., 2013.

    Parameters
    ----------
    momentum : float, default=0.9
        Momentum coefficient: the share of the previous step that is added to the current step, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether to use Nesterov momentum, which takes the gradient at the point reached by the momentum step alone.
    """

    momentum: float = 0.9
    nesterovs_momentum: bool = True
    _rules: ClassVar[dict] = {"momentum": real(0, 1, closed="both"), "nesterovs_momentum": boolean()}
    kernel: ClassVar[str] = "sgd"
    n_slots: ClassVar[int] = 1
    shared: ClassVar[tuple[str, ...]] = ("momentum", "nesterovs_momentum")

    def constants(self) -> tuple[float, ...]:
        return self.momentum, float(self.nesterovs_momentum)

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        velocity = slots[0]
        momentum, lookahead = constants[:, :1], constants[:, 1:2]
        grad *= rate
        velocity *= momentum
        velocity -= grad
        theta += lookahead * (momentum * velocity - grad) + (1 - lookahead) * velocity


@building_block
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980), with epsilon outside the bias correction as in its section 2.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moving averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Constant added to the denominator to avoid division by zero, > 0.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    _rules: ClassVar[dict] = {"beta_1": real(0, 1), "beta_2": real(0, 1), "epsilon": real(0, closed="neither")}
    kernel: ClassVar[str] = "adam"
    n_slots: ClassVar[int] = 2
    shared: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2", "epsilon")

    def constants(self) -> tuple[float, ...]:
        # 1 - beta is taken in float64: in float32 1 - 0.999 would be off by 5e-5
        return self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2, self.epsilon

    def rates(self, learning_rate: float, steps: Array) -> Array:
        return learning_rate * np.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        m, v = slots
        epsilon = update_moments(grad, m, v, constants)
        theta -= rate * m / (xp.sqrt(v) + epsilon)


def update_moments(grad: Array, m: Array, v: Array, constants: Array) -> Array:
    """Update Adam's moving averages of the gradient and of its square in place; return epsilon."""
    b1, c1, b2, c2, epsilon = columns(constants)
    m *= b1
    m += c1 * grad
    v *= b2
    v += c2 * grad * grad
    return epsilon


@building_block
class AdamW(Adam):
    """Adam with decoupled weight decay: each step multiplies the weights by ``1 - learning rate * alpha``.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moving averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Constant added to the denominator to avoid division by zero, > 0.
    """

    decouples_decay: ClassVar[bool] = True


@building_block
class AMSGrad(Adam):
    """AMSGrad: Adam with the running maximum of the squared-gradient average in the denominator.

    Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", ICLR 2018. Unlike algorithm 2 of the paper, this
    implementation keeps Adam's bias correction, and applies it to the step size as PyTorch does.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moving averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Constant added to the denominator to avoid division by zero, > 0.
    """

    kernel: ClassVar[str] = "amsgrad"
    n_slots: ClassVar[int] = 3

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        m, v, greatest = slots
        epsilon = update_moments(grad, m, v, constants)
        xp.maximum(greatest, v, out=greatest)
        theta -= rate * m / (xp.sqrt(greatest) + epsilon)


@building_block
class NAdam(Adam):
    """NAdam: Adam with Nesterov momentum that grows from ``beta_1 / 2`` to ``beta_1``.

    Dozat, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop, with the schedule of its section 3:
    ``mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)``.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moving averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Constant added to the denominator to avoid division by zero, > 0.
    momentum_decay : float, default=0.004
        Rate at which the momentum grows, at least 0.
    """

    momentum_decay: float = 0.004
    _rules: ClassVar[dict] = Adam._rules | {"momentum_decay": real(0)}
    kernel: ClassVar[str] = "nadam"

    def rates(self, learning_rate: float, steps: Array) -> Array:
        """Return the step size of the gradient."""
        return learning_rate * self._correction(steps) * (1 - self._momentum(steps)) / (1 - self._product(steps))

    def second_rates(self, learning_rate: float, steps: Array) -> Array:
        """Return the step size of the averaged gradient."""
        return learning_rate * self._correction(steps) * self._momentum(steps + 1) / (1 - self._product(steps + 1))

    def _correction(self, steps: Array) -> Array:
        return np.sqrt(1 - self.beta_2**steps)

    def _momentum(self, steps: Array) -> Array:
        return self.beta_1 * (1 - 0.5 * 0.96 ** (steps * self.momentum_decay))

    def _product(self, steps: Array) -> Array:
        return np.cumprod(self._momentum(np.arange(1, steps[-1] + 1)))[steps - 1]

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        m, v = slots
        epsilon = update_moments(grad, m, v, constants)
        theta -= (rate * grad + second_rate * m) / (xp.sqrt(v) + epsilon)


@building_block
class Adagrad(Optimizer):
    """Adagrad: gradient divided by the square root of the sum of all squared gradients, per parameter.

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 12,
    2011. The sum starts at 0, as in PyTorch.

    Parameters
    ----------
    epsilon : float, default=1e-10
        Constant added to the denominator to avoid division by zero, > 0.
    """

    epsilon: float = 1e-10
    _rules: ClassVar[dict] = {"epsilon": real(0, closed="neither")}
    kernel: ClassVar[str] = "adagrad"
    n_slots: ClassVar[int] = 1

    def constants(self) -> tuple[float, ...]:
        return (self.epsilon,)

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        total = slots[0]
        total += grad * grad
        theta -= rate * grad / (xp.sqrt(total) + constants[:, :1])


@building_block
class Adadelta(Optimizer):
    """Adadelta: gradient times the ratio of the RMS of past steps to the RMS of past gradients, per parameter.

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701. The paper corresponds to
    ``learning_rate_init=1``.

    Parameters
    ----------
    rho : float, default=0.9
        Decay rate of both moving averages, in [0, 1). PyTorch's default is 0.9; the paper and Keras use 0.95.
    epsilon : float, default=1e-6
        Constant added to both moving averages, > 0. It determines the size of the first steps.
    """

    rho: float = 0.9
    epsilon: float = 1e-6
    _rules: ClassVar[dict] = {"rho": real(0, 1), "epsilon": real(0, closed="neither")}
    kernel: ClassVar[str] = "adadelta"
    n_slots: ClassVar[int] = 2

    def constants(self) -> tuple[float, ...]:
        return self.rho, 1 - self.rho, self.epsilon

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        gradients, steps = slots
        rho, rest, epsilon = columns(constants)
        gradients *= rho
        gradients += rest * grad * grad
        step = xp.sqrt((steps + epsilon) / (gradients + epsilon)) * grad
        steps *= rho
        steps += rest * step * step
        theta -= rate * step


@building_block
class RMSprop(Optimizer):
    """RMSprop: gradient divided by the square root of the moving average of its square, per parameter.

    Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012. The centred variant is that of Graves, arXiv:1308.0850,
    section 4.2.

    Parameters
    ----------
    rho : float, default=0.9
        Decay rate of the moving average, in [0, 1). Hinton's value and Keras's default are 0.9; PyTorch's default
        (``alpha``) is 0.99.
    momentum : float, default=0.0
        Momentum of the scaled gradients, in [0, 1].
    epsilon : float, default=1e-8
        Constant added to the square root, as in PyTorch, to avoid division by zero; > 0.
    centered : bool, default=False
        Whether to divide by the root of the gradient's variance instead of the root of its mean square.
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-8
    centered: bool = False
    _rules: ClassVar[dict] = {
        "rho": real(0, 1),
        "momentum": real(0, 1, closed="both"),
        "epsilon": real(0, closed="neither"),
        "centered": boolean(),
    }
    kernel: ClassVar[str] = "rmsprop"
    n_slots: ClassVar[int] = 3

    def constants(self) -> tuple[float, ...]:
        return self.rho, 1 - self.rho, self.momentum, self.epsilon, float(self.centered)

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        squares, mean, velocity = slots
        rho, rest, momentum, epsilon, centered = columns(constants)
        squares *= rho
        squares += rest * grad * grad
        mean *= rho
        mean += rest * grad
        variance = xp.maximum(squares - centered * mean * mean, 0)
        velocity *= momentum
        velocity += grad / (xp.sqrt(variance) + epsilon)
        theta -= rate * velocity


@building_block
class Lion(Optimizer):
    """Lion: steps of constant size along the sign of an averaged gradient, with decoupled weight decay.

    Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023. The paper recommends learning rates 3 to
    10 times smaller than for Adam, and values of ``alpha`` larger by the same factor.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.99
        ``beta_1`` is the weight of the moving average, against the current gradient, in the direction of the step;
        ``beta_2`` is the decay rate of the moving average. Both in [0, 1).
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    _rules: ClassVar[dict] = {"beta_1": real(0, 1), "beta_2": real(0, 1)}
    kernel: ClassVar[str] = "lion"
    n_slots: ClassVar[int] = 1
    decouples_decay: ClassVar[bool] = True

    def constants(self) -> tuple[float, ...]:
        return self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2

    @staticmethod
    def update(
        xp: ArrayModule,
        theta: Array,
        grad: Array,
        slots: Array,
        constants: Array,
        rate: Array,
        second_rate: Array | None,
    ) -> None:
        m = slots[0]
        b1, c1, b2, c2 = columns(constants)
        theta -= rate * xp.sign(b1 * m + c1 * grad)
        m *= b2
        m += c2 * grad


@building_block
class FullBatch(Optimizer):
    """Placeholder for the solver "lbfgs", which does not train by mini-batches: no constants and no state."""

    kernel: ClassVar[str] = "full_batch"
    n_slots: ClassVar[int] = 0

    def constants(self) -> tuple[float, ...]:
        return ()


OPTIMIZERS = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "amsgrad": AMSGrad,
    "nadam": NAdam,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "lion": Lion,
}
