"""Elements: the formulas of activations and optimisers for one number.

`cuda/kernels/elements.h` has them for the GPU, and those of losses, which are loops here (`loops.py`).

An element is a named tuple. Its fields are the numbers of the building block, and its methods are the formulas, the
same as in `sknn/activations.py` and `sknn/optimizers.py`, which name the sources. Loops take an element, or its type,
as an argument, and Numba compiles a loop anew for each type, with the methods in it. The tables at the end of each
section list the elements by the ``kernel`` of the building blocks.

Numbers are in the float type of the array, or float32 would become float64. Comparisons are written so that NaN goes
through.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numba.core import cgutils, types
from numba.extending import intrinsic, overload, register_jitable

from . import vector_math
from .vector_math import like

COMPILED_IN = "fcf7ae670ca50b8c"  # stands for the content of imported files, see tests/backend/stamps.py


def method(name):
    """Return a function for compiled loops that calls the element's method of this name."""

    def call(element, *args):
        return getattr(element, name)(*args)

    @overload(call, strict=False, jit_options={"forceinline": True})
    def chosen(element, *args):
        return getattr(element.instance_class, name)

    return call


# ---- activations ------------------------------------------------------------------------

value = method("value")  # y = f(z)
gradient = method("gradient")  # d f'(z) for d, the gradient on y, from y or from z


class Identity(NamedTuple):
    def value(self, z):
        return z

    def gradient(self, d, y):
        return d


class ReLU(NamedTuple):
    def value(self, z):
        return like(z, 0.0) if z < like(z, 0.0) else z

    def gradient(self, d, y):
        return d * (like(y, 1.0) if y > like(y, 0.0) else like(y, 0.0))


class Logistic(NamedTuple):
    def value(self, z):
        return vector_math.logistic(z)

    def gradient(self, d, y):
        return d * y * (like(y, 1.0) - y)


class Tanh(NamedTuple):
    def value(self, z):
        return vector_math.tanh(z)

    def gradient(self, d, y):
        return d * (like(y, 1.0) - y * y)


class LeakyReLU(NamedTuple):
    negative_slope: float

    def value(self, z):
        return z if z > like(z, 0.0) else z * like(z, self.negative_slope)

    def gradient(self, d, y):
        return d * (like(y, 1.0) if y > like(y, 0.0) else like(y, self.negative_slope))


class ELU(NamedTuple):
    scale: float
    alpha: float

    def value(self, z):
        return like(z, self.scale) * vector_math.elu(z, like(z, self.alpha))

    def gradient(self, d, y):
        return d * (like(y, self.scale) if y > like(y, 0.0) else y + like(y, self.scale * self.alpha))


class Softplus(NamedTuple):
    def value(self, z):
        return vector_math.softplus(z)

    def gradient(self, d, y):
        return d * vector_math.softplus_slope(y)


class GELU(NamedTuple):
    def value(self, z):
        return vector_math.gelu(z)

    def gradient(self, d, z):
        return d * vector_math.gelu_slope(z)


class GELUByTanh(NamedTuple):
    def value(self, z):
        return vector_math.gelu_tanh(z)

    def gradient(self, d, z):
        return d * vector_math.gelu_tanh_slope(z)


class SiLU(NamedTuple):
    def value(self, z):
        return vector_math.silu(z)

    def gradient(self, d, z):
        return d * vector_math.silu_slope(z)


class Mish(NamedTuple):
    def value(self, z):
        return vector_math.mish(z)

    def gradient(self, d, z):
        return d * vector_math.mish_slope(z)


# FROM_OUTPUT: the gradient needs y alone, so y may overwrite z. FROM_INPUT: the gradient needs z.
FROM_OUTPUT = {
    "identity": Identity,
    "relu": ReLU,
    "logistic": Logistic,
    "tanh": Tanh,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "selu": ELU,
    "softplus": Softplus,
}
FROM_INPUT = {
    "gelu": GELU,
    "gelu_tanh": GELUByTanh,
    "silu": SiLU,
    "mish": Mish,
}
ACTIVATIONS: dict[str, type] = FROM_OUTPUT | FROM_INPUT


# ---- optimisers -------------------------------------------------------------------------

# step(element, w, g, slots, k, i, rate, second_rate) returns parameter w after the step: g is its gradient, and
# slots[:, k, i] is the memory of the optimiser. Each number is written as soon as it is known: if all were kept until
# the end, the registers would not suffice.
step = method("step")


@intrinsic
def element_of_row(typing_context, kind, constants, k):
    """Return the element of a type whose numbers are row k of ``constants``, as many as it has fields."""
    n_numbers = len(kind.instance_class._fields)
    element = types.BaseTuple.from_types([constants.dtype] * n_numbers, kind.instance_class)  # type: ignore[attr-defined]

    def generate(context, builder, signature, arguments):
        rows = context.make_array(constants)(context, builder, arguments[1])
        columns = [context.get_constant(types.intp, column) for column in range(n_numbers)]
        places = [cgutils.get_item_pointer(context, builder, constants, rows, (arguments[2], j)) for j in columns]
        numbers = [context.unpack_value(builder, constants.dtype, place) for place in places]
        return context.make_tuple(builder, element, numbers)

    return element(kind, constants, types.intp), generate


class SGD(NamedTuple):
    momentum: float
    lookahead: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        move = rate * g
        slots[0, k, i] = velocity = self.momentum * slots[0, k, i] - move
        plain = like(w, 1.0) - self.lookahead
        return w + (self.lookahead * (self.momentum * velocity - move) + plain * velocity)


@register_jitable(forceinline=True)
def adam_moments(adam, g, slots, k, i):
    """Return Adam's averages of the gradient and of its square after a step."""
    slots[0, k, i] = m = adam.b1 * slots[0, k, i] + adam.c1 * g
    slots[1, k, i] = v = adam.b2 * slots[1, k, i] + adam.c2 * g * g
    return m, v


class Adam(NamedTuple):
    b1: float
    c1: float
    b2: float
    c2: float
    epsilon: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        m, v = adam_moments(self, g, slots, k, i)
        return w - rate * m / (math.sqrt(v) + self.epsilon)


class AMSGrad(NamedTuple):
    b1: float
    c1: float
    b2: float
    c2: float
    epsilon: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        before = slots[2, k, i]
        m, v = adam_moments(self, g, slots, k, i)
        slots[2, k, i] = greatest = before if before > v else v  # v where it is NaN
        return w - rate * m / (math.sqrt(greatest) + self.epsilon)


class NAdam(NamedTuple):
    b1: float
    c1: float
    b2: float
    c2: float
    epsilon: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        m, v = adam_moments(self, g, slots, k, i)
        return w - (rate * g + second_rate * m) / (math.sqrt(v) + self.epsilon)


class Adagrad(NamedTuple):
    epsilon: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        slots[0, k, i] = total = slots[0, k, i] + g * g
        return w - rate * g / (math.sqrt(total) + self.epsilon)


class Adadelta(NamedTuple):
    rho: float
    rest: float
    epsilon: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        slots[0, k, i] = gradients = self.rho * slots[0, k, i] + self.rest * g * g
        move = math.sqrt((slots[1, k, i] + self.epsilon) / (gradients + self.epsilon)) * g
        slots[1, k, i] = self.rho * slots[1, k, i] + self.rest * move * move
        return w - rate * move


class RMSprop(NamedTuple):
    rho: float
    rest: float
    momentum: float
    epsilon: float
    centered: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        slots[0, k, i] = squares = self.rho * slots[0, k, i] + self.rest * g * g
        slots[1, k, i] = mean = self.rho * slots[1, k, i] + self.rest * g
        variance = squares - self.centered * mean * mean
        variance = like(w, 0.0) if variance < like(w, 0.0) else variance
        slots[2, k, i] = velocity = self.momentum * slots[2, k, i] + g / (math.sqrt(variance) + self.epsilon)
        return w - rate * velocity


@register_jitable(forceinline=True)
def sign(x):
    size = like(x, 1.0) if x > like(x, 0.0) else x
    return like(x, -1.0) if x < like(x, 0.0) else size


class Lion(NamedTuple):
    b1: float
    c1: float
    b2: float
    c2: float

    def step(self, w, g, slots, k, i, rate, second_rate):
        direction = sign(self.b1 * slots[0, k, i] + self.c1 * g)
        slots[0, k, i] = self.b2 * slots[0, k, i] + self.c2 * g
        return w - rate * direction


OPTIMIZERS: dict[str, type] = {
    "sgd": SGD,
    "adam": Adam,
    "amsgrad": AMSGrad,
    "nadam": NAdam,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "lion": Lion,
}
