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

// dz *= f'(z), and db = its sum over the rows, or (models, chunks, units) over those of each chunk
extern "C" __global__ void activation_backward(real* dz, const real* v, int kind, real p, real q, real* db,
                                               int db_stride, int n_rows, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    Chunk rows = own_chunk(n_rows);
    real sum = 0;
    for (long long row = rows.first + threadIdx.y; row < rows.last && unit < n_units; row += LANES) {
        long long at = (of_model(n_rows) + row) * n_units + unit;
        real gradient = dz[at];
        if (kind != IDENTITY) dz[at] = gradient *= activation_slope(kind, v[at], p, q);
        sum += gradient;
    }
    sum = lane_sum(sum);
    if (threadIdx.y == 0 && unit < n_units) db[of_model(db_stride) + blockIdx.z * (long long)n_units + unit] = sum;
}

// sums (models, units) = those of all chunks together
extern "C" __global__ void fold(const real* chunks, int n_chunks, real* sums, int sums_stride, int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    real sum = 0;
    for (int chunk = threadIdx.y; chunk < n_chunks && unit < n_units; chunk += LANES)
        sum += chunks[(of_model(n_chunks) + chunk) * n_units + unit];
    sum = lane_sum(sum);
    if (threadIdx.y == 0 && unit < n_units) sums[of_model(sums_stride) + unit] = sum;
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

// ---- activations that learn, or choose -------------------------------------------------------

// z += b; y = z, or slope * z below zero; a slope for each unit or one for all
extern "C" __global__ void bias_prelu(real* z, const real* b, int b_stride, const real* slope, int slope_stride,
                                      bool is_shared, real* y, int n, int n_units)
{
    long long i = thread_number();
    if (i >= n) return;
    int unit = (int)((unsigned)i % n_units);
    long long at = of_model(n) + i;
    real value = z[at] + b[of_model(b_stride) + unit];
    z[at] = value;
    y[at] = value > 0 ? value : value * slope[of_model(slope_stride) + (is_shared ? 0 : unit)];
}

// dz *= the derivative; db and, for each unit, d_slope = their sums over the rows
extern "C" __global__ void prelu_backward(real* dz, const real* z, const real* slope, int slope_stride, bool is_shared,
                                          real* d_slope, int d_slope_stride, real* db, int db_stride, int n_rows,
                                          int n_units)
{
    int unit = blockIdx.x * COLUMNS + threadIdx.x;
    bool is_unit = unit < n_units;
    real own = is_unit ? slope[of_model(slope_stride) + (is_shared ? 0 : unit)] : real(0), sum = 0, below = 0;
    for (int row = threadIdx.y; row < n_rows && is_unit; row += LANES) {
        long long at = (of_model(n_rows) + row) * n_units + unit;
        below += dz[at] * at_most(0, z[at]);
        if (!(z[at] > 0)) dz[at] *= own;
        sum += dz[at];
    }
    sum = lane_sum(sum);
    below = lane_sum(below);
    if (threadIdx.y > 0 || !is_unit) return;
    db[of_model(db_stride) + unit] = sum;
    d_slope[of_model(d_slope_stride) + unit] = below;
}

// total[model] = the sum of that model's n values
extern "C" __global__ void total(const real* values, int n, real* sums, int sums_stride)
{
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += values[of_model(n) + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[of_model(sums_stride)] = (real)sum;
}

// y = the greatest of n_pieces neighbours, NaN if one is; choice = its number, the first of equals
extern "C" __global__ void maxout(const real* z, long long* choice, real* y, int n, int n_pieces)
{
    long long i = thread_number();
    if (i >= n) return;
    const real* pieces = z + (of_model(n) + i) * n_pieces;
    int chosen = 0;
    for (int piece = 1; piece < n_pieces; ++piece)
        if (pieces[chosen] == pieces[chosen] && !(pieces[piece] <= pieces[chosen])) chosen = piece;
    choice[of_model(n) + i] = chosen;
    y[of_model(n) + i] = pieces[chosen];
}

// dz = dy where z was chosen, else 0
extern "C" __global__ void maxout_backward(const real* dy, const long long* choice, real* dz, int n, int n_pieces)
{
    long long i = thread_number();
    if (i >= n) return;
    for (int piece = 0; piece < n_pieces; ++piece)
        dz[(of_model(n) + i) * n_pieces + piece] = dy[of_model(n) + i] * (real)(piece == choice[of_model(n) + i]);
}
