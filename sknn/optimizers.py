"""Optimisers: one vectorised update over the flat parameter buffer, for all models of a stack.

An optimiser is a frozen dataclass. ``slots`` buffers of theta's shape carry its memory; ``hyper`` lists its numbers as
the kernels want them, one row a model; ``rates`` gives the step size of each coming step. Chosen by name, an optimiser
takes the fields in ``shared`` from the estimator's parameters of these names.

Where a guard against division by zero is added to a root of squared gradients, that root is of the raw average: the
order of computation at the end of section 2 of Adam's paper, and scikit-learn's. PyTorch adds it after the correction
for the start, so that its ``eps`` is this ``epsilon / sqrt(1 - beta_2^t)``.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._common.blocks import Block, building_block
from ._common.rules import boolean, real


class Optimizer(Block):
    """Base of all optimisers."""

    kernel: ClassVar[str]
    n_slots: ClassVar[int]
    shared: ClassVar[tuple] = ()
    decouples_decay: ClassVar[bool] = False  # weights shrink by themselves, apart from the gradient

    def hyper(self):
        """Return the numbers that the update reads, as a tuple."""
        raise NotImplementedError

    def rates(self, learning_rate, steps):
        """Return the step size at each of ``steps`` (counted from 1), float64."""
        return np.broadcast_to(learning_rate, len(steps))

    def second_rates(self, learning_rate, steps):
        """Return another step size at each of ``steps``, or None for an optimiser that needs one only."""
        return None

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        """Move theta by one step; ``hyper (K, h)``, ``rate, second_rate (K, 1)``."""
        raise NotImplementedError


def columns(hyper):
    """Return the numbers of an optimiser, each ``(K, 1)``."""
    return [hyper[:, i : i + 1] for i in range(hyper.shape[1])]


@building_block
class SGD(Optimizer):
    """Stochastic gradient descent with (Nesterov's) momentum, in the form of Sutskever et al., 2013.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the last step that is taken again, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether the gradient is taken as that of the point to which this share alone would lead.
    """

    momentum: float = 0.9
    nesterovs_momentum: bool = True
    _rules: ClassVar[dict] = {"momentum": real(0, 1, closed="both"), "nesterovs_momentum": boolean()}
    kernel: ClassVar[str] = "sgd"
    n_slots: ClassVar[int] = 1
    shared: ClassVar[tuple] = ("momentum", "nesterovs_momentum")

    def hyper(self):
        return self.momentum, float(self.nesterovs_momentum)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        velocity = slots[0]
        momentum, lookahead = hyper[:, :1], hyper[:, 1:2]
        grad *= rate
        velocity *= momentum
        velocity -= grad
        theta += lookahead * (momentum * velocity - grad) + (1 - lookahead) * velocity


@building_block
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980), epsilon outside the bias correction as in its section 2.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Guard against division by zero.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    _rules: ClassVar[dict] = {"beta_1": real(0, 1), "beta_2": real(0, 1), "epsilon": real(0, closed="neither")}
    kernel: ClassVar[str] = "adam"
    n_slots: ClassVar[int] = 2
    shared: ClassVar[tuple] = ("beta_1", "beta_2", "epsilon")

    def hyper(self):
        # 1 - beta is taken in float64: in float32 1 - 0.999 would be off by 5e-5
        return self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2, self.epsilon

    def rates(self, learning_rate, steps):
        return learning_rate * np.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        m, v = slots
        epsilon = update_moments(grad, m, v, hyper)
        theta -= rate * m / (xp.sqrt(v) + epsilon)


def update_moments(grad, m, v, hyper):
    """Move Adam's averages of the gradient and of its square on by one step; return epsilon."""
    b1, c1, b2, c2, epsilon = columns(hyper)
    m *= b1
    m += c1 * grad
    v *= b2
    v += c2 * grad * grad
    return epsilon


@building_block
class AdamW(Adam):
    """Adam with decoupled decay: ``alpha`` shrinks weights by a factor of ``1 - learning rate * alpha`` a step.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Guard against division by zero.
    """

    decouples_decay: ClassVar[bool] = True


@building_block
class AMSGrad(Adam):
    """Adam whose average squared gradient never falls.

    Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", ICLR 2018; with Adam's correction for the start,
    which their algorithm 2 leaves out, applied to the step size as PyTorch applies it.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Guard against division by zero.
    """

    kernel: ClassVar[str] = "amsgrad"
    n_slots: ClassVar[int] = 3

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        m, v, greatest = slots
        epsilon = update_moments(grad, m, v, hyper)
        xp.maximum(greatest, v, out=greatest)
        theta -= rate * m / (xp.sqrt(greatest) + epsilon)


@building_block
class NAdam(Adam):
    """Adam with Nesterov's momentum, which grows from half of ``beta_1`` to ``beta_1``.

    Dozat, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop, with the schedule of its section 3:
    ``mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)``.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Guard against division by zero.
    momentum_decay : float, default=0.004
        How fast the momentum grows.
    """

    momentum_decay: float = 0.004
    _rules: ClassVar[dict] = Adam._rules | {"momentum_decay": real(0)}
    kernel: ClassVar[str] = "nadam"

    def rates(self, learning_rate, steps):
        """Return the factor of the gradient."""
        return learning_rate * self._correction(steps) * (1 - self._momentum(steps)) / (1 - self._product(steps))

    def second_rates(self, learning_rate, steps):
        """Return the factor of the averaged gradient."""
        return learning_rate * self._correction(steps) * self._momentum(steps + 1) / (1 - self._product(steps + 1))

    def _correction(self, steps):
        return np.sqrt(1 - self.beta_2**steps)

    def _momentum(self, steps):
        return self.beta_1 * (1 - 0.5 * 0.96 ** (steps * self.momentum_decay))

    def _product(self, steps):
        return np.cumprod(self._momentum(np.arange(1, steps[-1] + 1)))[steps - 1]

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        m, v = slots
        epsilon = update_moments(grad, m, v, hyper)
        theta -= (rate * grad + second_rate * m) / (xp.sqrt(v) + epsilon)


@building_block
class Adagrad(Optimizer):
    """Step sizes that fall with the root of the sum of squared gradients.

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", JMLR 12,
    2011. The sum starts at 0, as in PyTorch.

    Parameters
    ----------
    epsilon : float, default=1e-10
        Guard against division by zero.
    """

    epsilon: float = 1e-10
    _rules: ClassVar[dict] = {"epsilon": real(0, closed="neither")}
    kernel: ClassVar[str] = "adagrad"
    n_slots: ClassVar[int] = 1

    def hyper(self):
        return (self.epsilon,)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        total = slots[0]
        total += grad * grad
        theta -= rate * grad / (xp.sqrt(total) + hyper[:, :1])


@building_block
class Adadelta(Optimizer):
    """Steps in the unit of the parameters: by the ratio of average squared steps to average squared gradients.

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701. The paper has ``learning_rate_init=1``.

    Parameters
    ----------
    rho : float, default=0.9
        Decay rate of both averages: PyTorch's default; the paper and Keras have 0.95.
    epsilon : float, default=1e-6
        What both averages start from, in effect.
    """

    rho: float = 0.9
    epsilon: float = 1e-6
    _rules: ClassVar[dict] = {"rho": real(0, 1), "epsilon": real(0, closed="neither")}
    kernel: ClassVar[str] = "adadelta"
    n_slots: ClassVar[int] = 2

    def hyper(self):
        return self.rho, 1 - self.rho, self.epsilon

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        gradients, steps = slots
        rho, rest, epsilon = columns(hyper)
        gradients *= rho
        gradients += rest * grad * grad
        step = xp.sqrt((steps + epsilon) / (gradients + epsilon)) * grad
        steps *= rho
        steps += rest * step * step
        theta -= rate * step


@building_block
class RMSprop(Optimizer):
    """Gradients over the root of their average square.

    Tieleman and Hinton, "Lecture 6.5: RMSProp", Coursera, 2012; centred as in Graves, arXiv:1308.0850, section 4.2.

    Parameters
    ----------
    rho : float, default=0.9
        Decay rate of the average: Hinton's and Keras's; PyTorch's ``alpha`` is 0.99.
    momentum : float, default=0.0
        Momentum of the scaled gradients.
    epsilon : float, default=1e-8
        Guard against division by zero, outside the root as in PyTorch.
    centered : bool, default=False
        Whether to take the variance of the gradient and not its average square.
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

    def hyper(self):
        return self.rho, 1 - self.rho, self.momentum, self.epsilon, float(self.centered)

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        squares, mean, velocity = slots
        rho, rest, momentum, epsilon, centered = columns(hyper)
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
    """The sign of an average gradient, with decoupled decay.

    Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023: learning rates a third to a tenth of
    Adam's, ``alpha`` as many times larger.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9, 0.99
        Share of the average in the sign, and its decay rate.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    _rules: ClassVar[dict] = {"beta_1": real(0, 1), "beta_2": real(0, 1)}
    kernel: ClassVar[str] = "lion"
    n_slots: ClassVar[int] = 1
    decouples_decay: ClassVar[bool] = True

    def hyper(self):
        return self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2

    @staticmethod
    def update(xp, theta, grad, slots, hyper, rate, second_rate):
        m = slots[0]
        b1, c1, b2, c2 = columns(hyper)
        theta -= rate * xp.sign(b1 * m + c1 * grad)
        m *= b2
        m += c2 * grad


@building_block
class FullBatch(Optimizer):
    """Stands for a solver that takes no steps of its own here, L-BFGS: no numbers, no memory."""

    kernel: ClassVar[str] = "full_batch"
    n_slots: ClassVar[int] = 0

    def hyper(self):
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
