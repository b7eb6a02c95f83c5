// Losses and links: a warp works on a row, a block on several.

// A row's share of its batch, and the place where the row begins.
struct Row {
    long long number, first;
    real share;
};

__device__ __forceinline__ bool find_row(int n_rows, int n_outputs, const real* weight, int weight_stride,
                                         const real* scale, const long long* clock, Row* row)
{
    int i = blockIdx.x * blockDim.y + threadIdx.y;
    if (i >= n_rows) return false;
    row->number = of_model(n_rows) + i;
    row->first = row->number * n_outputs;
    row->share = weight[of_model(weight_stride) + i] * scale[clock[0] * gridDim.y + blockIdx.y];
    return true;
}

// log sum exp(z) - z[y], y smoothed, and its gradient; strides are 0 where all models share targets
extern "C" __global__ void softmax_loss(const real* z, const long long* y, int y_stride, const real* weight,
                                        int weight_stride, const real* scale, const long long* clock, real smoothing,
                                        real* dz, double* row_losses, int n_rows, int n_outputs)
{
    Row row;
    if (!find_row(n_rows, n_outputs, weight, weight_stride, scale, clock, &row)) return;
    int chosen = (int)y[of_model(y_stride) + row.number - of_model(n_rows)];
    const real* raw = z + row.first;
    real top = raw[0];
    for (int j = threadIdx.x; j < n_outputs; j += 32) top = raw[j] > top ? raw[j] : top;
    top = warp_max(top);
    real norm = 0, total = 0;
    for (int j = threadIdx.x; j < n_outputs; j += 32) {
        norm += exp(raw[j] - top);
        total += raw[j];
    }
    norm = warp_sum(norm);
    total = warp_sum(total);
    for (int j = threadIdx.x; j < n_outputs; j += 32) {
        real target = (j == chosen ? 1 - smoothing : 0) + smoothing / n_outputs;
        dz[row.first + j] = (exp(raw[j] - top) / norm - target) * row.share;
    }
    real aim = (1 - smoothing) * raw[chosen];
    if (smoothing > 0) aim += smoothing * total / n_outputs;
    if (threadIdx.x == 0) row_losses[row.number] = (log(norm) + top - aim) * row.share;
}

extern "C" __global__ void elementwise_loss(const real* z, const real* y, int y_stride, const real* weight,
                                            int weight_stride, const real* scale, const long long* clock, int kind,
                                            real p, real q, real* dz, double* row_losses, int n_rows, int n_outputs)
{
    Row row;
    if (!find_row(n_rows, n_outputs, weight, weight_stride, scale, clock, &row)) return;
    const real* aims = y + of_model(y_stride) + row.first - of_model((long long)n_rows * n_outputs);
    real loss = 0;
    for (int j = threadIdx.x; j < n_outputs; j += 32) {
        real gradient;
        loss += output_loss(kind, z[row.first + j], aims[j], p, q, &gradient);
        dz[row.first + j] = gradient * row.share;
    }
    loss = warp_sum(loss);
    if (kind == SQUARED_ERROR) loss /= n_outputs;                        // the mean, as in scikit-learn
    if (threadIdx.x == 0) row_losses[row.number] = loss * row.share;
}

// losses[step, model] = the sum of that model's n parts, or that added to it
extern "C" __global__ void add_up(const double* parts, int n, const long long* clock, bool is_first, double* losses)
{
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += parts[of_model(n) + i];
    sum = block_sum(sum);
    double* loss = losses + clock[0] * gridDim.y + blockIdx.y;
    if (threadIdx.x == 0) *loss = is_first ? sum : *loss + sum;
}

extern "C" __global__ void softmax_link(real* z, int n_rows, int n_outputs)
{
    int i = blockIdx.x * blockDim.y + threadIdx.y;
    if (i >= n_rows) return;
    real* raw = z + (of_model(n_rows) + i) * n_outputs;
    real top = raw[0], norm = 0;
    for (int j = threadIdx.x; j < n_outputs; j += 32) top = raw[j] > top ? raw[j] : top;
    top = warp_max(top);
    for (int j = threadIdx.x; j < n_outputs; j += 32) {
        raw[j] = exp(raw[j] - top);
        norm += raw[j];
    }
    norm = warp_sum(norm);
    for (int j = threadIdx.x; j < n_outputs; j += 32) raw[j] /= norm;
}

extern "C" __global__ void elementwise_link(real* z, int kind, int n)
{
    long long i = thread_number();
    if (i < n) z[of_model(n) + i] = link(kind, z[of_model(n) + i]);
}
