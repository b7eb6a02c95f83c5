// Updates of parameters. Grid: (blocks, models), with grid-stride loops; `add_up` reduces the partial sums of blocks.

const int MOST_SLOTS = 3;

__device__ __forceinline__ long long n_threads() { return (long long)gridDim.x * blockDim.x; }

__device__ __forceinline__ long long now(const long long* clock) { return clock[0] * gridDim.y + blockIdx.y; }

// One step of an optimiser, with the L2 penalty; parts (models, blocks) become that penalty.
extern "C" __global__ void update(int kind, real* theta, const real* grad, real* slots, int n_slots, const real* hyper,
                                  int n_hyper, const real* rates, const real* second_rates, const real* alpha,
                                  const real* scale, int n_decayed, const long long* clock, double* parts, int n)
{
    real decay = alpha[blockIdx.y] * scale[now(clock)];
    real rate = rates[now(clock)], second_rate = second_rates[now(clock)];
    const real* h = hyper + of_model(n_hyper);
    double squares = 0;
    for (long long i = thread_number(); i < n; i += n_threads()) {
        long long at = of_model(n) + i;
        real w = theta[at], g = grad[at], s[MOST_SLOTS];
        if (i < n_decayed) {
            squares += (double)w * w;
            g += decay * w;
        }
        for (int slot = 0; slot < MOST_SLOTS; ++slot)
            if (slot < n_slots) s[slot] = slots[(long long)slot * gridDim.y * n + at];
        theta[at] = updated(kind, w, g, s, h, rate, second_rate);
        for (int slot = 0; slot < MOST_SLOTS; ++slot)
            if (slot < n_slots) slots[(long long)slot * gridDim.y * n + at] = s[slot];
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) parts[of_model(gridDim.x) + blockIdx.x] = 0.5 * decay * squares;
}

// The gradient of the L1 penalty; parts become that penalty.
extern "C" __global__ void add_l1(const real* theta, real* grad, const real* l1, const real* scale, int n_decayed,
                                  const long long* clock, double* parts, int n)
{
    real strength = l1[blockIdx.y] * scale[now(clock)];
    double total = 0;
    for (long long i = thread_number(); i < n_decayed; i += n_threads()) {
        real w = theta[of_model(n) + i];
        grad[of_model(n) + i] += strength * sign(w);
        total += fabs(w);
    }
    total = block_sum(total);
    if (threadIdx.x == 0) parts[of_model(gridDim.x) + blockIdx.x] = strength * total;
}

extern "C" __global__ void sum_of_squares(const real* values, double* parts, int n)
{
    double squares = 0;
    for (long long i = thread_number(); i < n; i += n_threads()) {
        real value = values[of_model(n) + i];
        squares += (double)value * value;
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0) parts[of_model(gridDim.x) + blockIdx.x] = squares;
}

// Shorten each model's gradient, of which parts hold the squares, to its limit where it is longer.
extern "C" __global__ void shorten(real* grad, const double* parts, int n_parts, const real* limit, int n)
{
    double squares = 0;
    for (int part = threadIdx.x; part < n_parts; part += blockDim.x) squares += parts[of_model(n_parts) + part];
    squares = block_sum(squares);
    real length = (real)sqrt(squares), bound = limit[blockIdx.y];
    real factor = bound / at_least(bound, length);
    for (long long i = thread_number(); i < n; i += n_threads()) grad[of_model(n) + i] *= factor;
}

// Shorten the columns of W (models, fan_in, units) to a limit where they are longer.
extern "C" __global__ void limit_norms(real* W, int stride, const real* limit, int fan_in, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    real* own = W + of_model(stride);
    real squares = 0;
    for (int i = threadIdx.y; i < fan_in && unit < n_units; i += LANES) {
        real w = own[(long long)i * n_units + unit];
        squares += w * w;
    }
    real length = sqrt(lane_sum(squares)), bound = limit[blockIdx.y];
    real factor = bound / at_least(bound, length);
    for (int i = threadIdx.y; i < fan_in && unit < n_units; i += LANES) own[(long long)i * n_units + unit] *= factor;
}

// Decoupled decay of the first numbers of each model.
extern "C" __global__ void shrink(real* theta, const real* shrinkage, const long long* clock, int n_decayed, int n)
{
    real factor = shrinkage[now(clock)];
    for (long long i = thread_number(); i < n_decayed; i += n_threads()) theta[of_model(n) + i] *= factor;
}

// Move the average of values on; that of the first steps is their plain mean.
extern "C" __global__ void average(const real* values, real* mean, int mean_stride, const double* decay,
                                   const long long* clock, int n)
{
    double newest = 1.0 / (clock[0] + clock[2] + 1), share = 1 - decay[blockIdx.y];
    real rate = (real)(share > newest ? share : newest);
    for (long long i = thread_number(); i < n; i += n_threads()) {
        real* kept = mean + of_model(mean_stride) + i;
        *kept += rate * (values[of_model(n) + i] - *kept);
    }
}
