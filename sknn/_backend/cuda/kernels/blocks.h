// How the threads of a block work together: a block of tiles has 32 columns and some lanes of rows.

const int COLUMNS = 32;
const int LANES = 16;                                                    // of rows
const unsigned ALL = 0xFFFFFFFFu;

// the number of this thread in the first axis of the grid
__device__ __forceinline__ long long thread_number() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// where the numbers of this model begin, in a stack that the second axis of the grid counts
__device__ __forceinline__ long long of_model(long long size) { return blockIdx.y * size; }

__device__ __forceinline__ double warp_sum(double value)
{
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL, value, distance);
    return value;
}

__device__ __forceinline__ float warp_sum(float value)
{
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL, value, distance);
    return value;
}

__device__ __forceinline__ real warp_max(real value)
{
    for (int distance = 16; distance > 0; distance /= 2) {
        real other = __shfl_xor_sync(ALL, value, distance);
        value = other > value ? other : value;
    }
    return value;
}

// The sum over a block of one axis, for all of its threads; always in the same order.
__device__ __forceinline__ double block_sum(double value)
{
    __shared__ double of_warps[32];
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    double sum = 0;
    for (int warp = 0; warp < blockDim.x / 32; ++warp) sum += of_warps[warp];
    return sum;
}

// The rows of this block: one of the chunks that the third axis of the grid counts.
struct Chunk {
    long long first, last;
};

__device__ __forceinline__ Chunk own_chunk(int n_rows)
{
    long long size = (n_rows + gridDim.z - 1) / gridDim.z, first = size * blockIdx.z;
    return {first, first + size < n_rows ? first + size : n_rows};
}

// The sum over the lanes of a tile, for each of its columns.
__device__ __forceinline__ real lane_sum(real value)
{
    __shared__ real of_lanes[LANES][COLUMNS];
    __syncthreads();
    of_lanes[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    real sum = 0;
    for (int lane = 0; lane < LANES; ++lane) sum += of_lanes[lane][threadIdx.x];
    return sum;
}
