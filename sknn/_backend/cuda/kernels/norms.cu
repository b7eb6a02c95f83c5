// Normalisation by the rows of a batch, which `bounds` cut into parts with moments (models, parts, units) of their own.

// Block (x, y, z): some units, a model, a part. Weighted mean, biased variance and one over the standard deviation.
extern "C" __global__ void batch_moments(const real* x, const real* weight, int weight_stride, const long long* bounds,
                                         real eps, real* mean, real* variance, real* inverse, int n_rows, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x, part = blockIdx.z;
    int first = (int)bounds[part], last = unit < n_units ? (int)bounds[part + 1] : first;
    const real* values = x + of_model((long long)n_rows * n_units) + unit;
    const real* weights = weight + of_model(weight_stride);
    real total = 0, sum = 0, squares = 0;
    for (int row = first + threadIdx.y; row < last; row += LANES) {
        total += weights[row];
        sum += weights[row] * values[(long long)row * n_units];
    }
    total = lane_sum(total);
    real share = 1 / (total > 0 ? total : real(1)), center = lane_sum(sum) * share;
    for (int row = first + threadIdx.y; row < last; row += LANES) {
        real deviation = values[(long long)row * n_units] - center;
        squares += weights[row] * deviation * deviation;
    }
    real spread = lane_sum(squares) * share;
    if (threadIdx.y > 0 || unit >= n_units) return;
    long long at = (of_model(gridDim.z) + part) * n_units + unit;
    mean[at] = center;
    variance[at] = spread;
    inverse[at] = 1 / sqrt(spread + eps);
}

// A block a model: running moments move on by the parts of a batch, one after the other.
extern "C" __global__ void track_moments(const real* mean, const real* variance, const real* weight, int weight_stride,
                                         const long long* bounds, int n_parts, real momentum, real* means,
                                         int means_stride, real* variances, int variances_stride, real* updates,
                                         int updates_stride, int n_units)
{
    const real* weights = weight + of_model(weight_stride);
    real seen = updates[of_model(updates_stride)];
    for (int part = 0; part < n_parts; ++part) {
        double sum = 0;
        for (int row = (int)bounds[part] + threadIdx.x; row < bounds[part + 1]; row += blockDim.x) sum += weights[row];
        real total = (real)block_sum(sum);
        if (!(total > 0)) continue;
        seen += 1;
        real newest = 1 / seen, rate = momentum > newest ? momentum : newest;
        real correction = total >= 2 ? total / (total - 1) : real(1);
        for (int unit = threadIdx.x; unit < n_units; unit += blockDim.x) {
            long long from = (of_model(n_parts) + part) * n_units + unit;
            real* center = means + of_model(means_stride) + unit;
            real* spread = variances + of_model(variances_stride) + unit;
            *center += rate * (mean[from] - *center);
            *spread += rate * (correction * variance[from] - *spread);
        }
    }
    if (threadIdx.x == 0) updates[of_model(updates_stride)] = seen;
}

// x = (x - mean) * inverse in each part; y = gain * x. Strides are those between models; inverse is contiguous.
extern "C" __global__ void standardize(real* x, const real* mean, int mean_stride, const real* inverse,
                                       const real* gain, int gain_stride, const long long* bounds, int n_parts, real* y,
                                       int n_rows, int n_units)
{
    long long i = thread_number();
    if (i >= (long long)n_rows * n_units) return;
    int row = (int)((unsigned)i / n_units), unit = (int)((unsigned)i % n_units), part = 0;
    while (part + 1 < n_parts && row >= bounds[part + 1]) ++part;
    long long at = of_model((long long)n_rows * n_units) + i;
    real center = mean[of_model(mean_stride) + (long long)part * n_units + unit];
    real standard = (x[at] - center) * inverse[(of_model(n_parts) + part) * n_units + unit];
    x[at] = standard;
    y[at] = gain[of_model(gain_stride) + unit] * standard;
}

// d, the gradient on gain * x, becomes that on the input that was standardised to x by its batch: see operations.py.
extern "C" __global__ void standardize_backward(real* d, const real* x, const real* inverse, const real* gain,
                                                int gain_stride, const real* weight, int weight_stride,
                                                const long long* bounds, int n_parts, real* d_gain, int d_gain_stride,
                                                int n_rows, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    bool is_unit = unit < n_units;
    const real* weights = weight + of_model(weight_stride);
    long long first_row = of_model(n_rows);
    real gain_sum = 0;
    for (int part = 0; part < n_parts; ++part) {
        int first = (int)bounds[part], last = is_unit ? (int)bounds[part + 1] : first;
        real total = 0, sum = 0, along = 0;
        for (int row = first + threadIdx.y; row < last; row += LANES) {
            long long at = (first_row + row) * n_units + unit;
            total += weights[row];
            sum += d[at];
            along += d[at] * x[at];
        }
        total = lane_sum(total);
        sum = lane_sum(sum);
        along = lane_sum(along);
        gain_sum += along;
        if (!is_unit) continue;
        real share = 1 / (total > 0 ? total : real(1));
        real factor = gain[of_model(gain_stride) + unit] * inverse[(of_model(n_parts) + part) * n_units + unit];
        for (int row = first + threadIdx.y; row < last; row += LANES) {
            long long at = (first_row + row) * n_units + unit;
            d[at] = (d[at] - weights[row] * share * (sum + x[at] * along)) * factor;
        }
    }
    if (threadIdx.y == 0 && is_unit) d_gain[of_model(d_gain_stride) + unit] = gain_sum;
}

// The same where moments are fixed; d_gain may be (models, chunks, units).
extern "C" __global__ void scale_backward(real* d, const real* x, const real* inverse, const real* gain,
                                          int gain_stride, real* d_gain, int d_gain_stride, int n_rows, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    bool is_unit = unit < n_units;
    Chunk rows = own_chunk(n_rows);
    real along = 0;
    real factor = is_unit ? gain[of_model(gain_stride) + unit] * inverse[of_model(n_units) + unit] : real(0);
    for (long long row = rows.first + threadIdx.y; row < rows.last && is_unit; row += LANES) {
        long long at = (of_model(n_rows) + row) * n_units + unit;
        real gradient = d[at];
        along += gradient * x[at];
        d[at] = gradient * factor;
    }
    along = lane_sum(along);
    if (threadIdx.y == 0 && is_unit) d_gain[of_model(d_gain_stride) + blockIdx.z * (long long)n_units + unit] = along;
}

// ---- groups of neighbouring units of a row: a warp a group ----------------------------------

struct Group {
    long long first;                                                     // of its values in the stack
    int unit, size;                                                      // of its first value, and how many
    long long number;
};

__device__ __forceinline__ bool find_group(int n_rows, int n_groups, int n_units, Group* group)
{
    int i = blockIdx.x * blockDim.y + threadIdx.y;
    if (i >= n_rows * n_groups) return false;
    group->size = n_units / n_groups;
    group->unit = i % n_groups * group->size;
    group->number = of_model((long long)n_rows * n_groups) + i;
    group->first = group->number * group->size;
    return true;
}

// Each group to mean 0 and variance 1, in place; y = gain * x.
extern "C" __global__ void standardize_groups(real* x, real eps, real* inverse, const real* gain, int gain_stride,
                                              real* y, int n_rows, int n_groups, int n_units)
{
    Group group;
    if (!find_group(n_rows, n_groups, n_units, &group)) return;
    real* values = x + group.first;
    real sum = 0, squares = 0;
    for (int j = threadIdx.x; j < group.size; j += 32) sum += values[j];
    real mean = warp_sum(sum) / group.size;
    for (int j = threadIdx.x; j < group.size; j += 32) squares += (values[j] - mean) * (values[j] - mean);
    real scale = 1 / sqrt(warp_sum(squares) / group.size + eps);
    for (int j = threadIdx.x; j < group.size; j += 32) {
        values[j] = (values[j] - mean) * scale;
        y[group.first + j] = gain[of_model(gain_stride) + group.unit + j] * values[j];
    }
    if (threadIdx.x == 0) inverse[group.number] = scale;
}

// d, the gradient on gain * x, becomes that on the input that was standardised to x by its group.
extern "C" __global__ void standardize_groups_backward(real* d, const real* x, const real* inverse, const real* gain,
                                                       int gain_stride, int n_rows, int n_groups, int n_units)
{
    Group group;
    if (!find_group(n_rows, n_groups, n_units, &group)) return;
    const real* own_gain = gain + of_model(gain_stride) + group.unit;
    real sum = 0, along = 0;
    for (int j = threadIdx.x; j < group.size; j += 32) {
        real gradient = d[group.first + j] * own_gain[j];
        sum += gradient;
        along += gradient * x[group.first + j];
    }
    real mean = warp_sum(sum) / group.size, share = warp_sum(along) / group.size, scale = inverse[group.number];
    for (int j = threadIdx.x; j < group.size; j += 32) {
        long long at = group.first + j;
        d[at] = (d[at] * own_gain[j] - mean - x[at] * share) * scale;
    }
}

// d_gain = the sum of d * x over the rows, or (models, chunks, units) over those of each chunk
extern "C" __global__ void gain_gradient(const real* d, const real* x, real* d_gain, int d_gain_stride, int n_rows,
                                         int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    Chunk rows = own_chunk(n_rows);
    real along = 0;
    for (long long row = rows.first + threadIdx.y; row < rows.last && unit < n_units; row += LANES) {
        long long at = (of_model(n_rows) + row) * n_units + unit;
        along += d[at] * x[at];
    }
    along = lane_sum(along);
    if (threadIdx.y == 0 && unit < n_units)
        d_gain[of_model(d_gain_stride) + blockIdx.z * (long long)n_units + unit] = along;
}

// ---- batch renormalisation --------------------------------------------------------------

// how far updates are on the way from start to end; 0 before the first
__device__ __forceinline__ real share_of_way(real updates, real start, real end)
{
    if (!(updates > 0)) return 0;
    if (updates >= end) return 1;
    return at_most(1, at_least(0, (updates - start) / at_least(1, end - start)));
}

// The correction of a batch (one part) towards the running moments, within bounds that grow by the step.
extern "C" __global__ void renorm(const real* mean, const real* inverse, const real* means, int means_stride,
                                  const real* variances, int variances_stride, const real* updates, int updates_stride,
                                  real eps, real start, real r_end, real d_end, real r_most, real d_most, real* r,
                                  real* d, int n_units)
{
    long long unit = thread_number();
    if (unit >= n_units) return;
    long long at = of_model(n_units) + unit;
    real seen = updates[of_model(updates_stride)];
    real r_max = 1 + share_of_way(seen, start, r_end) * (r_most - 1), d_max = share_of_way(seen, start, d_end) * d_most;
    real running = sqrt(variances[of_model(variances_stride) + unit] + eps);
    r[at] = at_most(r_max, at_least(1 / r_max, 1 / (inverse[at] * running)));
    d[at] = at_most(d_max, at_least(-d_max, (mean[at] - means[of_model(means_stride) + unit]) / running));
}

// ---- weights ----------------------------------------------------------------------------

// W = gain * v / |v| for each column of v (models, fan_in, units); inverse = 1 / |v|, or 0
extern "C" __global__ void normalize_weights(const real* v, int v_stride, const real* gain, int gain_stride,
                                             real* inverse, real* W, int fan_in, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    bool is_unit = unit < n_units;
    const real* own = v + of_model(v_stride);
    real squares = 0;
    for (int i = threadIdx.y; i < fan_in && is_unit; i += LANES) {
        real value = own[(long long)i * n_units + unit];
        squares += value * value;
    }
    squares = lane_sum(squares);
    if (!is_unit) return;
    real scale = squares > 0 ? 1 / sqrt(squares) : real(0), factor = gain[of_model(gain_stride) + unit] * scale;
    for (int i = threadIdx.y; i < fan_in; i += LANES) {
        long long at = (long long)i * n_units + unit;
        W[of_model((long long)fan_in * n_units) + at] = own[at] * factor;
    }
    if (threadIdx.y == 0) inverse[of_model(n_units) + unit] = scale;
}

// The gradient on W to those on v and gain.
extern "C" __global__ void normalize_weights_backward(const real* dW, const real* v, int v_stride, const real* gain,
                                                      int gain_stride, const real* inverse, real* dv, int dv_stride,
                                                      real* d_gain, int d_gain_stride, int fan_in, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    bool is_unit = unit < n_units;
    const real *own = v + of_model(v_stride), *given = dW + of_model((long long)fan_in * n_units);
    real along = 0;
    for (int i = threadIdx.y; i < fan_in && is_unit; i += LANES) {
        long long at = (long long)i * n_units + unit;
        along += given[at] * own[at];
    }
    along = lane_sum(along);
    if (!is_unit) return;
    real scale = inverse[of_model(n_units) + unit], factor = gain[of_model(gain_stride) + unit] * scale;
    along *= scale;
    for (int i = threadIdx.y; i < fan_in; i += LANES) {
        long long at = (long long)i * n_units + unit;
        dv[of_model(dv_stride) + at] = factor * (given[at] - along * scale * own[at]);
    }
    if (threadIdx.y == 0) d_gain[of_model(d_gain_stride) + unit] = along;
}
