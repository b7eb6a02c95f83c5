// Moments of columns, in float64 whatever the rows are in, and scaling by them.

const int AT_ONCE = 8;                                                   // rows of a thread
const double TRACE = 9.332636185032189e-302;                             // reference.TRACE, 2**-1000

// Sum of weights, mean in double-double (mean and rest), and squared deviations: equations of Chan, Golub and
// LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37, 1983.
struct Moments {
    double count, mean, rest, squares;
};

__device__ __forceinline__ void merge(Moments* known, Moments other)
{
    if (!(other.count > 0)) return;
    if (!(known->count > 0)) {
        *known = other;
        return;
    }
    double count = known->count + other.count;
    double distance = (other.mean - known->mean) + (other.rest - known->rest);
    double step = distance * (other.count / count), exact = step + known->rest;
    double mean = known->mean + exact;
    known->squares += other.squares + distance * step * known->count + (distance != 0 ? TRACE : 0);
    known->rest = exact - (mean - known->mean);
    known->mean = mean;
    known->count = count;
}

// The moments of some values about their mean; those of no weight may hold anything.
__device__ __forceinline__ Moments moments_of(const double* values, const double* weights)
{
    Moments made = {0, 0, 0, 0};
    double sum = 0, drift = 0;
    for (int i = 0; i < AT_ONCE; ++i) {
        made.count += weights[i];
        sum += weights[i] > 0 ? weights[i] * values[i] : 0;
    }
    if (!(made.count > 0)) return made;
    made.mean = sum / made.count;
    for (int i = 0; i < AT_ONCE; ++i) {
        double deviation = weights[i] > 0 ? values[i] - made.mean : 0;
        drift += weights[i] * deviation;
        made.squares += weights[i] * deviation * deviation + (weights[i] * deviation != 0 ? TRACE : 0);
    }
    made.rest = drift / made.count;
    made.squares -= drift * made.rest;
    return made;
}

__device__ __forceinline__ void merge_lanes(Moments* own)
{
    __shared__ Moments of_lanes[LANES][COLUMNS];
    of_lanes[threadIdx.y][threadIdx.x] = *own;
    __syncthreads();
    if (threadIdx.y > 0) return;
    for (int lane = 1; lane < LANES; ++lane) merge(own, of_lanes[lane][threadIdx.x]);
}

// Block (x, y): some columns, a chunk of rows. X has strides in elements; has_weight says whether weight is read.
extern "C" __global__ void chunk_moments(const real* X, long long row_stride, long long column_stride,
                                         const double* weight, bool has_weight, double* parts, long long n_rows,
                                         int n_columns)
{
    int column = blockIdx.x * COLUMNS + threadIdx.x;
    long long size = (n_rows + gridDim.y - 1) / gridDim.y, first = size * blockIdx.y;
    long long last = first + size < n_rows ? first + size : n_rows;
    if (column >= n_columns) last = first;
    Moments own = {0, 0, 0, 0};
    for (long long start = first + threadIdx.y; start < last; start += AT_ONCE * LANES) {
        double values[AT_ONCE], weights[AT_ONCE];
        for (int i = 0; i < AT_ONCE; ++i) {
            long long row = start + i * LANES;
            bool is_row = row < last;
            values[i] = is_row ? (double)X[row * row_stride + column * column_stride] : 0;
            bool is_known = is_row && values[i] == values[i];
            weights[i] = is_known ? (has_weight ? weight[row] : 1.0) : 0.0;
        }
        merge(&own, moments_of(values, weights));
    }
    merge_lanes(&own);
    if (threadIdx.y == 0 && column < n_columns) {
        double* out = parts + (long long)blockIdx.y * 4 * n_columns + column;
        out[0] = own.count;
        out[n_columns] = own.mean;
        out[2 * n_columns] = own.rest;
        out[3 * n_columns] = own.squares;
    }
}

// out (4, columns) = the moments of all chunks
extern "C" __global__ void merge_chunks(const double* parts, int n_chunks, double* out, int n_columns)
{
    int column = blockIdx.x * COLUMNS + threadIdx.x;
    Moments own = {0, 0, 0, 0};
    for (int chunk = threadIdx.y; chunk < n_chunks && column < n_columns; chunk += LANES) {
        const double* from = parts + (long long)chunk * 4 * n_columns + column;
        merge(&own, {from[0], from[n_columns], from[2 * n_columns], from[3 * n_columns]});
    }
    merge_lanes(&own);
    if (threadIdx.y > 0 || column >= n_columns) return;
    out[column] = own.count;
    out[n_columns + column] = own.mean;
    out[2 * n_columns + column] = own.rest;
    out[3 * n_columns + column] = own.squares;
}

// The least and the greatest of two, NaN apart.
__device__ __forceinline__ void widen(real* low, real* high, real least, real greatest)
{
    *low = least < *low ? least : *low;
    *high = greatest > *high ? greatest : *high;
}

// The least and the greatest value of each column, NaN apart, of a chunk of rows; they start at an end's opposite.
extern "C" __global__ void chunk_extremes(const real* X, long long row_stride, long long column_stride, real infinity,
                                          real* parts, long long n_rows, int n_columns)
{
    __shared__ real ends[2][LANES][COLUMNS];
    int column = blockIdx.x * COLUMNS + threadIdx.x;
    long long first = (n_rows + gridDim.y - 1) / gridDim.y * blockIdx.y;
    long long last = (n_rows + gridDim.y - 1) / gridDim.y * (blockIdx.y + 1);
    real low = infinity, high = -infinity;
    for (long long row = first + threadIdx.y; row < last && row < n_rows && column < n_columns; row += LANES) {
        real value = X[row * row_stride + column * column_stride];
        widen(&low, &high, value, value);
    }
    ends[0][threadIdx.y][threadIdx.x] = low;
    ends[1][threadIdx.y][threadIdx.x] = high;
    __syncthreads();
    if (threadIdx.y > 0 || column >= n_columns) return;
    for (int lane = 1; lane < LANES; ++lane) widen(&low, &high, ends[0][lane][threadIdx.x], ends[1][lane][threadIdx.x]);
    parts[(2LL * blockIdx.y) * n_columns + column] = low;
    parts[(2LL * blockIdx.y + 1) * n_columns + column] = high;
}

// x = (x - shift) / scale
extern "C" __global__ void shift_scale(real* x, const real* shift, const real* scale, int n_columns, int n)
{
    long long i = thread_number();
    if (i >= n) return;
    unsigned column = (unsigned)i % n_columns;
    x[i] = (x[i] - shift[column]) / scale[column];
}

// x = x * scale + shift
extern "C" __global__ void scale_shift(real* x, const real* scale, const real* shift, int n_columns, int n)
{
    long long i = thread_number();
    if (i >= n) return;
    unsigned column = (unsigned)i % n_columns;
    x[i] = x[i] * scale[column] + shift[column];
}
