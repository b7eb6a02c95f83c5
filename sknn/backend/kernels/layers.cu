// Batches, activations, dropout. Stacks of models lie along the second axis of the grid.

// out[s, i] = table[order[s, first + i]], by words of four bytes
extern "C" __global__ void gather(const unsigned* table, const long long* order, const long long* clock, unsigned* out,
                                  int n_ordered, int n_rows, int n_words)
{
    long long i = thread_number();
    if (i >= (long long)n_rows * n_words) return;
    unsigned row = (unsigned)i / n_words, word = (unsigned)i % n_words;
    long long source = order[of_model(n_ordered) + clock[1] + row];
    out[of_model((long long)n_rows * n_words) + i] = table[source * n_words + word];
}

extern "C" __global__ void advance(long long* clock, int n_rows)
{
    clock[0] += 1;
    clock[1] += n_rows;
}

// z += b; y = f(z), y being z where the activation allows it
extern "C" __global__ void bias_activation(real* z, const real* b, int b_stride, int kind, real p, real q, real* y,
                                           int n, int n_units)
{
    long long i = thread_number();
    if (i >= n) return;
    long long at = of_model(n) + i;
    real value = z[at] + b[of_model(b_stride) + (unsigned)i % n_units];
    if (y != z) z[at] = value;
    y[at] = activation(kind, value, p, q);
}

// dz *= f'(z), and db = its sum over the rows
extern "C" __global__ void activation_backward(real* dz, const real* v, int kind, real p, real q, real* db,
                                               int db_stride, int n_rows, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    real sum = 0;
    for (int row = threadIdx.y; row < n_rows && unit < n_units; row += LANES) {
        long long at = of_model((long long)n_rows * n_units) + (long long)row * n_units + unit;
        if (kind != IDENTITY) dz[at] *= activation_slope(kind, v[at], p, q);
        sum += dz[at];
    }
    sum = lane_sum(sum);
    if (threadIdx.y == 0 && unit < n_units) db[of_model(db_stride) + unit] = sum;
}

__device__ __forceinline__ real dropped(real value, bool keep, double rate)
{
    return (real)(value * (keep ? 1 / (1 - rate) : 0.0));
}

// A thread draws one element of each quarter of a model's n: see philox.py.
extern "C" __global__ void dropout(const real* x, int x_stride, const double* rates, int n_streams, int stream,
                                   const unsigned* keys, const long long* clock, bool* keep, real* out, int n)
{
    int quarter = (int)(((long long)n + 3) / 4);
    long long i = thread_number();
    if (i >= quarter) return;
    unsigned long long step = clock[0] + clock[2];
    unsigned words[4] = {(unsigned)i, (unsigned)stream, (unsigned)step, (unsigned)(step >> 32)};
    philox(words, keys[2 * blockIdx.y], keys[2 * blockIdx.y + 1]);
    double rate = rates[of_model(n_streams) + stream];
    unsigned long long bound = (unsigned long long)(rate * 4294967296.0);
    for (int part = 0; part < 4; ++part) {
        long long element = i + (long long)part * quarter;
        if (element >= n) return;
        bool kept = words[part] >= bound;
        keep[of_model(n) + element] = kept;
        out[of_model(n) + element] = dropped(x[of_model(x_stride) + element], kept, rate);
    }
}

extern "C" __global__ void dropout_backward(real* d, const double* rates, int n_streams, int stream, const bool* keep,
                                            int n)
{
    long long i = thread_number();
    if (i >= n) return;
    long long at = of_model(n) + i;
    d[at] = dropped(d[at], keep[at], rates[of_model(n_streams) + stream]);
}
