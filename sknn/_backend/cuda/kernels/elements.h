// Elements: activations, losses and optimisers of one number, without any header: the same on a GPU and in a C++ compiler.
//
// `real` is float or double, chosen by -DREAL. The enumerations name the blocks that have an element: their
// names, in lower case, are the `kernel` and `link_name` of the building blocks. Comparisons are written so that NaN
// goes through. Formulas are those of sknn's activations, losses and optimizers, where their sources are.

#ifdef __CUDACC__
#define ELEMENT __device__ __forceinline__
#else
#define ELEMENT static inline
#endif

typedef REAL real;

ELEMENT real at_least(real low, real x) { return x < low ? low : x; }
ELEMENT real at_most(real high, real x) { return x > high ? high : x; }
ELEMENT real sign(real x) { return x > 0 ? real(1) : x < 0 ? real(-1) : x; }

// ---- activations --------------------------------------------------------------------------

enum Activation {
    IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU, MISH, SOFTPLUS
};

const real FAR = real(1e4);                                              // where everything has saturated
const real LOGISTIC_LOW = sizeof(real) == 4 ? real(-87.722839355) : real(-708.782712893384);  // exp(-z) is finite
const real ROOT_OF_HALF = real(0.70710678118654752440);
const real NORMAL_DENSITY = real(0.39894228040143267794);                // 1 / sqrt(2 pi)
const real TANH_SCALE = real(0.79788456080286535588);                    // sqrt(2 / pi)
const real TANH_CUBIC = real(0.044715);

ELEMENT real sigmoid(real z)
{
    real decay = exp(-fabs(z));
    return (z >= 0 ? real(1) : decay) / (1 + decay);
}

ELEMENT real softplus(real z) { return at_least(0, z) + log1p(exp(-fabs(z))); }

ELEMENT real near_zero(real z) { return at_most(FAR, at_least(-FAR, z)); }

ELEMENT real normal_cdf(real z) { return real(0.5) * (1 + erf(z * ROOT_OF_HALF)); }

ELEMENT real gelu_tanh(real z) { return tanh(TANH_SCALE * (z + TANH_CUBIC * z * z * z)); }

// y = f(z)
ELEMENT real activation(int kind, real z, real a, real b)
{
    switch (kind) {
    case LOGISTIC: return 1 / (1 + exp(-at_least(LOGISTIC_LOW, z)));
    case TANH: return tanh(z);
    case RELU: return at_least(0, z);
    case LEAKY_RELU: return z > 0 ? z : z * a;
    case ELU:
    case SELU: return a * (z > 0 ? z : b * expm1(z));
    case GELU: return at_least(-FAR, z) * normal_cdf(near_zero(z));
    case GELU_TANH: return at_least(-FAR, z) * real(0.5) * (1 + gelu_tanh(near_zero(z)));
    case SILU: return at_least(-FAR, z) * sigmoid(z);
    case MISH: return at_least(-FAR, z) * tanh(softplus(z));
    case SOFTPLUS: return softplus(z);
    default: return z;
    }
}

ELEMENT real gelu_slope(real z) { return normal_cdf(z) + z * exp(real(-0.5) * z * z) * NORMAL_DENSITY; }

ELEMENT real gelu_tanh_slope(real z)
{
    real t = gelu_tanh(z);
    real inner = TANH_SCALE * (1 + 3 * TANH_CUBIC * z * z);
    return real(0.5) * (1 + t) + z * real(0.5) * (1 - t * t) * inner;
}

ELEMENT real silu_slope(real z)
{
    real share = sigmoid(z);
    return share * (1 + near_zero(z) * (1 - share));
}

ELEMENT real mish_slope(real z)
{
    real t = tanh(softplus(z));
    return t + near_zero(z) * sigmoid(z) * (1 - t * t);
}

// f'(z), from y = f(z) for the activations that may overwrite z, else from z
ELEMENT real activation_slope(int kind, real v, real a, real b)
{
    switch (kind) {
    case LOGISTIC: return v * (1 - v);
    case TANH: return 1 - v * v;
    case RELU: return v > 0 ? real(1) : real(0);
    case LEAKY_RELU: return v > 0 ? real(1) : a;
    case ELU:
    case SELU: return v > 0 ? a : v + a * b;
    case GELU: return gelu_slope(near_zero(v));
    case GELU_TANH: return gelu_tanh_slope(near_zero(v));
    case SILU: return silu_slope(v);
    case MISH: return mish_slope(v);
    case SOFTPLUS: return -expm1(-v);
    default: return 1;
    }
}

// ---- dropout ------------------------------------------------------------------------------

// Philox4x32-10: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011
ELEMENT void philox(unsigned counter[4], unsigned key_0, unsigned key_1)
{
    for (int i = 0; i < 10; ++i) {
        unsigned long long p = counter[0] * 0xD2511F53ull, q = counter[2] * 0xCD9E8D57ull;
        counter[0] = (unsigned)(q >> 32) ^ counter[1] ^ key_0;
        counter[2] = (unsigned)(p >> 32) ^ counter[3] ^ key_1;
        counter[1] = (unsigned)q;
        counter[3] = (unsigned)p;
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
}

// ---- losses -------------------------------------------------------------------------------

enum Loss {
    SOFTMAX_LOG_LOSS, BINARY_LOG_LOSS, SIGMOID_SQUARED_ERROR, SQUARED_ERROR, POISSON, ABSOLUTE_ERROR, HUBER, QUANTILE
};

ELEMENT real binary_log_loss(real z, real y, real smoothing, real* gradient)
{
    real decay = exp(-fabs(z));
    y = (1 - smoothing) * y + smoothing / 2;
    *gradient = (z >= 0 ? real(1) : decay) / (1 + decay) - y;
    return at_least(0, z) - y * z + log1p(decay);
}

ELEMENT real sigmoid_squared_error(real z, real y, real low, real high, real* gradient)
{
    real p = sigmoid(z);
    real error = p - (low + (high - low) * y);
    *gradient = error * p * (1 - p);
    return real(0.5) * error * error;
}

const real LARGEST_LOG_MEAN = 40;  // as in losses.py

ELEMENT real poisson(real z, real y, real* gradient)
{
    real bounded = at_most(LARGEST_LOG_MEAN, z);
    real mean = exp(bounded);
    *gradient = mean - y;
    return (y > 0 ? y * log(y) : real(0)) - y * z - y + mean * (1 + (z - bounded));
}

ELEMENT real huber(real error, real delta, real* gradient)
{
    *gradient = at_most(delta, at_least(-delta, error));
    return *gradient * (error - real(0.5) * *gradient);
}

ELEMENT real quantile(real error, real share, real* gradient)
{
    *gradient = error > 0 ? 1 - share : error < 0 ? -share : 0 * error;
    return *gradient * error;
}

// share of one output in the loss of a row, and the gradient on it
ELEMENT real output_loss(int kind, real z, real y, real a, real b, real* gradient)
{
    switch (kind) {
    case BINARY_LOG_LOSS: return binary_log_loss(z, y, a, gradient);
    case SIGMOID_SQUARED_ERROR: return sigmoid_squared_error(z, y, a, b, gradient);
    case POISSON: return poisson(z, y, gradient);
    case ABSOLUTE_ERROR: *gradient = sign(z - y); return fabs(z - y);
    case HUBER: return huber(z - y, a, gradient);
    case QUANTILE: return quantile(z - y, a, gradient);
    default: *gradient = z - y; return real(0.5) * *gradient * *gradient;
    }
}

enum Link { LINK_IDENTITY, LINK_LOGISTIC, LINK_EXP, LINK_SOFTMAX };

ELEMENT real link(int kind, real z)
{
    switch (kind) {
    case LINK_LOGISTIC: return sigmoid(z);
    case LINK_EXP: return exp(at_most(LARGEST_LOG_MEAN, z));
    default: return z;
    }
}

// ---- optimisers ---------------------------------------------------------------------------

enum Optimizer { SGD, ADAM, AMSGRAD, NADAM, ADAGRAD, ADADELTA, RMSPROP, LION };

// Return the parameter w after a step along the gradient g; s are its slots, h the numbers of the optimiser.
ELEMENT real sgd(real w, real g, real* s, const real* h, real rate)
{
    real move = rate * g, lookahead = h[1];
    s[0] = h[0] * s[0] - move;
    return w + (lookahead * (h[0] * s[0] - move) + (1 - lookahead) * s[0]);
}

ELEMENT void adam_moments(real g, real* s, const real* h)
{
    s[0] = h[0] * s[0] + h[1] * g;
    s[1] = h[2] * s[1] + h[3] * g * g;
}

ELEMENT real adam(real w, real g, real* s, const real* h, real rate)
{
    adam_moments(g, s, h);
    return w - rate * s[0] / (sqrt(s[1]) + h[4]);
}

ELEMENT real amsgrad(real w, real g, real* s, const real* h, real rate)
{
    adam_moments(g, s, h);
    s[2] = s[2] > s[1] ? s[2] : s[1];
    return w - rate * s[0] / (sqrt(s[2]) + h[4]);
}

ELEMENT real nadam(real w, real g, real* s, const real* h, real rate, real second_rate)
{
    adam_moments(g, s, h);
    return w - (rate * g + second_rate * s[0]) / (sqrt(s[1]) + h[4]);
}

ELEMENT real adagrad(real w, real g, real* s, const real* h, real rate)
{
    s[0] += g * g;
    return w - rate * g / (sqrt(s[0]) + h[0]);
}

ELEMENT real adadelta(real w, real g, real* s, const real* h, real rate)
{
    s[0] = h[0] * s[0] + h[1] * g * g;
    real move = sqrt((s[1] + h[2]) / (s[0] + h[2])) * g;
    s[1] = h[0] * s[1] + h[1] * move * move;
    return w - rate * move;
}

ELEMENT real rmsprop(real w, real g, real* s, const real* h, real rate)
{
    s[0] = h[0] * s[0] + h[1] * g * g;
    s[1] = h[0] * s[1] + h[1] * g;
    real variance = at_least(0, s[0] - h[4] * s[1] * s[1]);
    s[2] = h[2] * s[2] + g / (sqrt(variance) + h[3]);
    return w - rate * s[2];
}

ELEMENT real lion(real w, real g, real* s, const real* h, real rate)
{
    real direction = sign(h[0] * s[0] + h[1] * g);
    s[0] = h[2] * s[0] + h[3] * g;
    return w - rate * direction;
}

ELEMENT real updated(int kind, real w, real g, real* s, const real* h, real rate, real second_rate)
{
    switch (kind) {
    case SGD: return sgd(w, g, s, h, rate);
    case ADAM: return adam(w, g, s, h, rate);
    case AMSGRAD: return amsgrad(w, g, s, h, rate);
    case NADAM: return nadam(w, g, s, h, rate, second_rate);
    case ADAGRAD: return adagrad(w, g, s, h, rate);
    case ADADELTA: return adadelta(w, g, s, h, rate);
    case RMSPROP: return rmsprop(w, g, s, h, rate);
    default: return lion(w, g, s, h, rate);
    }
}
