"""Functions for loops that LLVM vectorises: exp, expm1, log1p, the normal distribution, and activations.

Numba's own functions call libm one element at a time. These are inlined arithmetic and selects, in the float type of
``x``. Activations need exp of numbers below zero only, so nothing overflows. NaN goes through every select.

The coefficients are minimax fits of our own, by the exchange algorithm of Remez in 60 digits; the largest relative
error of each approximation, before rounding, in float32 and float64, is given beside it. Arguments are reduced as in
Cody and Waite, "Software Manual for the Elementary Functions", 1980, with log(2) in two parts.

``contract`` lets products and sums be fused. ``reassoc`` would undo the splitting and rounding of arguments.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

inlined = njit(forceinline=True, error_model="numpy", fastmath={"contract"})

EXPONENT_SHIFT = {types.float32: 23, types.float64: 52}  # bits of the fraction
FAR = 1e4  # where every activation has reached its limit


# ---- numbers in the float type of x -----------------------------------------------------


@intrinsic
def like(typing_context, x, value):
    """Return ``value`` in the type of ``x``."""

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[1], value, x)

    return x(x, value), generate


@intrinsic
def exponent_from_fraction(typing_context, x):
    """Return the number whose exponent bits are the lowest bits of x."""

    def generate(context, builder, signature, arguments):
        shift = EXPONENT_SHIFT[x]
        bits = builder.bitcast(arguments[0], ir.IntType(x.bitwidth))
        return builder.bitcast(builder.shl(bits, ir.Constant(bits.type, shift)), arguments[0].type)

    return x(x), generate


def polynomial(single, double):
    """Return a function of x: the polynomial with these coefficients of 1, x, x^2, ... in float32 and float64."""

    @intrinsic
    def evaluate(typing_context, x):
        def generate(context, builder, signature, arguments):
            coefficients = single if x == types.float32 else double
            *others, total = [context.get_constant(x, coefficient) for coefficient in coefficients]
            for coefficient in reversed(others):
                total = builder.fadd(builder.fmul(total, arguments[0]), coefficient)
            return total

        return x(x), generate

    return evaluate


def constant(single, double):
    """Return a function of x: one number for float32, another for float64."""
    return polynomial([single], [double])


# ---- exp and expm1 below zero -----------------------------------------------------------

# A sum with ROUNDER has no bits left for a fraction, and those of the integer n + BIAS + 127 (or 1023) are its lowest:
# shifted to where the exponent is, they are 2^(n + BIAS). BIAS keeps that normal where exp is not.

LOG2_E = constant(1.44269504, 1.4426950408889634)
LN2_HIGH = constant(0.693359375, 0.693145751953125)
LN2_LOW = constant(-2.12194440054690583e-4, 1.42860682030941723e-6)
ROUNDER = constant(1.5 * 2**23 + 127 + 64, 1.5 * 2**52 + 1023 + 512)
POWER_OF_MINUS_BIAS = constant(2.0**-64, 2.0**-512)
EXP_IS_ZERO = constant(-105.0, -747.0)
EXPM1_IS_MINUS_ONE = constant(-20.0, -40.0)

# (exp(r) - 1 - r) / r^2 for |r| < 0.352; of exp(r) - 1 the error is at most 4.4e-10 and 3.3e-19
EXP_REST = polynomial(
    [0.5, 0.166666662636278467, 0.0416664709525315575, 0.00833342510394886106, 0.00139346414725306112,
     0.000198236049142832005],
    [0.5, 0.166666666666666773, 0.041666666666666563, 0.00833333333332070219, 0.00138888888889497016,
     0.000198412698891548371, 0.0000248015871882125485, 2.75572406087439764e-6, 2.75573913755333743e-7,
     2.51104534826292128e-8, 2.08789688443688634e-9],
)  # fmt: skip


@inlined
def reduced(high, low):
    """Return (exp(r) - 1, 2^(n + BIAS)) for high + low = n log(2) + r, a double-double."""
    shifted = (high + low) * LOG2_E(high) + ROUNDER(high)
    n = shifted - ROUNDER(high)
    r = (high - n * LN2_HIGH(high)) - n * LN2_LOW(high) + low
    return r + r * r * EXP_REST(r), exponent_from_fraction(shifted)


@inlined
def exp(high, low):
    """Return exp(high + low) for high <= 0."""
    high = EXP_IS_ZERO(high) if high < EXP_IS_ZERO(high) else high
    rest, power = reduced(high, low)
    return (like(high, 1.0) + rest) * power * POWER_OF_MINUS_BIAS(high)


@inlined
def expm1(x):
    """Return exp(x) - 1 for x <= 0."""
    x = EXPM1_IS_MINUS_ONE(x) if x < EXPM1_IS_MINUS_ONE(x) else x
    rest, power = reduced(x, like(x, 0.0))
    power *= POWER_OF_MINUS_BIAS(x)
    return power * rest + (power - like(x, 1.0))


# ---- log1p from 0 to 1 ------------------------------------------------------------------

# (2 atanh(s) / s - 2) / s^2 as a polynomial of s^2 for s < 1 / 3; of log1p the error is at most 4.5e-9 and 1.3e-18
ATANH_REST = polynomial(
    [0.666664164597437809, 0.400215211554821253, 0.28001852078585174, 0.280119398200563467],
    [0.666666666666663097, 0.400000000001551191, 0.285714285481179629, 0.222222239536364406, 0.181817444797188328,
     0.153865483746622465, 0.133011216550608098, 0.121049425029308459, 0.0834498265416417336, 0.170097351115651421],
)  # fmt: skip


@inlined
def log1p(x):
    """Return log(1 + x) for 0 <= x <= 1: 2 atanh(s), where s = x / (2 + x)."""
    s = x / (like(x, 2.0) + x)
    square = s * s
    return x - s * (x - square * ATANH_REST(square))


# ---- the normal distribution ------------------------------------------------------------

# The square of x is split into an exact part and the rest: rounded, it would cost exp half of x^2 in ulp.

NORMAL_TAIL_IS_ZERO = constant(14.5, 39.0)
HALF_WIDTH_ROUNDER = constant(1.5 * 2**15, 1.5 * 2**32)
# exp(-x^2 / 2) / P(Z > x) = sqrt(2 pi) x + P / Q for 0 <= x <= 14.5 and 39: the error is at most 6.8e-10 and 4.1e-18.
# Rounding of Q cancels where x is large, because the fraction is small there.
SQRT_TWO_PI = constant(2.50662827463100050, 2.50662827463100050)
TAIL_P = polynomial(
    [2.00000000133923039, 1.26126941057729088, 0.416796427820401591, 0.0749053601582095601,
     0.00626802353068746316],
    [2.0, 2.47754874241064331, 1.56937327435340599, 0.645340381079381425, 0.187098962551941194,
     0.0393676623340042487, 0.00599550820343501168, 0.000638067893496639898, 0.0000432958348440558595,
     1.44420337232929677e-6],
)  # fmt: skip
TAIL_Q = polynomial(
    [1.0, 1.08606433848058491, 0.566403528602142031, 0.171009220910948727, 0.0298952132355222309,
     0.00250033499420371644],
    [1.0, 1.69420394771795567, 1.41965745124437509, 0.761736377732343023, 0.287361987697293473,
     0.0793217398271027727, 0.0162110739490707129, 0.00242640675435161832, 0.000255704568801505117,
     0.00001727253907589785, 5.76153786766023526e-7],
)  # fmt: skip


@inlined
def normal(x):
    """Return (P(Z <= x), exp(-x^2 / 2)) for a standard normal Z."""
    size = abs(x)
    size = NORMAL_TAIL_IS_ZERO(x) if size > NORMAL_TAIL_IS_ZERO(x) else size
    high = (size + HALF_WIDTH_ROUNDER(x)) - HALF_WIDTH_ROUNDER(x)
    rest = (size - high) * (size + high)
    density = exp(like(x, -0.5) * (high * high), like(x, -0.5) * rest)
    q = TAIL_Q(size)
    tail = density * (q / (SQRT_TWO_PI(x) * size * q + TAIL_P(size)))
    other = like(x, 1.0) - tail
    return (other if x > like(x, 0.0) else tail), density


# ---- activations and their derivatives --------------------------------------------------


@inlined
def not_far_below(x):
    """Return x, bounded from below, so that its product with zero is not NaN."""
    return like(x, -FAR) if x < like(x, -FAR) else x


@inlined
def not_far(x):
    """Return x, bounded from below and above."""
    return like(x, FAR) if x > like(x, FAR) else not_far_below(x)


@inlined
def odds(x):
    """Return p and q, the larger one being 1, for which exp(x) = p / q."""
    zero, one = like(x, 0.0), like(x, 1.0)
    decay = exp(-abs(x), zero)
    return (decay if x < zero else one), (one if x < zero else decay)


@inlined
def logistic(x):
    p, q = odds(x)
    return p / (p + q)


@inlined
def tanh(x):
    # of the size alone, because expm1 is exact near 0, where 1 - exp would not be
    decay = expm1(-like(x, 2.0) * abs(x))
    size = -decay / (like(x, 2.0) + decay)
    return -size if x < like(x, 0.0) else size


@inlined
def elu(x, alpha):
    zero = like(x, 0.0)
    below = alpha * expm1(zero if x > zero else x)
    return x if x > zero else below


@inlined
def softplus(x):
    zero = like(x, 0.0)
    return (zero if x < zero else x) + log1p(exp(-abs(x), zero))


@inlined
def softplus_slope(y):
    """Return the derivative of softplus from its output y."""
    return -expm1(-y)


@inlined
def silu(x):
    return not_far_below(x) * logistic(x)


@inlined
def silu_slope(x):
    p, q = odds(x)
    share = p / (p + q)
    return share + share * not_far(x) * (q / (p + q))


# With w = exp(x) = p / q, tanh(log(1 + w)) = ((1 + w)^2 - 1) / ((1 + w)^2 + 1).


@inlined
def mish(x):
    p, q = odds(x)
    two = like(x, 2.0)
    above = p * (p + two * q)
    return not_far_below(x) * (above / (above + two * q * q))


@inlined
def mish_slope(x):
    p, q = odds(x)
    two = like(x, 2.0)
    above = p * (p + two * q)
    below = above + two * q * q
    return above / below + not_far(x) * (two * p * q) * (two * q * (p + q)) / (below * below)


@inlined
def gelu(x):
    share, _ = normal(x)
    return not_far_below(x) * share


@inlined
def gelu_slope(x):
    share, decay = normal(x)
    return share + not_far(x) * decay * like(x, 0.3989422804014327)  # the density, 1 / sqrt(2 pi) at 0


# (1 + tanh(u)) / 2 = logistic(2 u) = p / (p + q), where 2 u is TANH_SCALE (x + TANH_CUBE x^3). Rounding of 2 u is left
# in the tail, 2 |u| ulp of it: the formula itself is far off there.

TANH_SCALE, TANH_CUBE = 1.5957691216057308, 0.044715  # 2 sqrt(2 / pi)


@inlined
def gelu_tanh(x):
    near = not_far(x)
    inner = like(x, TANH_SCALE) * near * (like(x, 1.0) + like(x, TANH_CUBE) * near * near)
    return not_far_below(x) * logistic(inner)


@inlined
def gelu_tanh_slope(x):
    near, one = not_far(x), like(x, 1.0)
    bend = like(x, TANH_CUBE) * near * near
    p, q = odds(like(x, TANH_SCALE) * near * (one + bend))
    share = p / (p + q)
    return share + share * (q / (p + q)) * near * like(x, TANH_SCALE) * (one + like(x, 3.0) * bend)
