// Runs CUDA kernels on a CPU, one block after the other. Threads of a block are fibers: each runs until it meets the
// others at a barrier or in a shuffle. What would hang or be undefined on a GPU is an error here.

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using std::exp; using std::expm1; using std::erf; using std::fabs; using std::log; using std::log1p; using std::sqrt;
using std::tanh;

#define __global__ __attribute__((visibility("hidden")))                  // or the C library's `advance` is called
#define __device__
#define __forceinline__ inline
#define __shared__ static

namespace simulator {

struct Dim { unsigned x, y, z; };
enum Status { READY, AT_BARRIER, IN_SHUFFLE, DONE };
const int WARP = 32, MOST_THREADS = 1024, STACK = 1 << 16;

// ---- switching stacks -----------------------------------------------------------------------

#if defined(__x86_64__)
asm(R"(
    .text
    .local simulator_switch
    simulator_switch:
        pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
        movq %rsp, (%rdi); movq (%rsi), %rsp
        popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
        ret
)");
extern "C" void simulator_switch(void** from, void** to);
typedef void* Context;
inline void swap_contexts(Context* from, Context* to) { simulator_switch(from, to); }
inline void prepare(Context* context, char* stack, void (*start)())
{
    void** top = (void**)(stack + STACK) - 2;                            // aligned as a call would leave it
    top[0] = (void*)start;
    top[1] = nullptr;
    *context = top - 6;
}
#else
#include <ucontext.h>
typedef ucontext_t Context;
inline void swap_contexts(Context* from, Context* to) { swapcontext(from, to); }
inline void prepare(Context* context, char* stack, void (*start)())
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK;
    makecontext(context, start, 0);
}
#endif

// ---- the threads of a block -----------------------------------------------------------------

struct Fiber {
    Context context;
    Status status;
    Dim index;
    double given;                                                        // to a shuffle
};

struct Block {
    std::vector<Fiber> fibers{MOST_THREADS};
    Context scheduler;
    char* stacks = nullptr;
    int n = 0, current = 0;
    void (*body)(void*) = nullptr;
    void* argument = nullptr;
    std::string error;
};
inline Block block;
inline Dim thread_index, block_index, block_size, grid_size;

inline void yield(Status status)
{
    Fiber& self = block.fibers[block.current];
    self.status = status;
    swap_contexts(&self.context, &block.scheduler);
}

inline void start()
{
    block.body(block.argument);
    yield(DONE);
}

inline void resume(int i)
{
    block.current = i;
    thread_index = block.fibers[i].index;
    swap_contexts(&block.scheduler, &block.fibers[i].context);
}

inline bool all_are(Status status, int first, int last)
{
    for (int i = first; i < last; ++i)
        if (block.fibers[i].status != status) return false;
    return true;
}

inline void release(int first, int last)
{
    for (int i = first; i < last; ++i) block.fibers[i].status = READY;
}

// Run a warp until all of its threads are at a barrier or done.
inline void run_warp(int first, int last, bool backward)
{
    while (block.error.empty()) {
        for (int j = first; j < last; ++j) {
            int i = backward ? last - 1 - (j - first) : j;
            if (block.fibers[i].status == READY) resume(i);
        }
        if (all_are(IN_SHUFFLE, first, last)) release(first, last);
        else if (all_are(AT_BARRIER, first, last) || all_are(DONE, first, last)) return;
        else block.error = "threads of a warp part ways before a barrier or a shuffle";
    }
}

// The order of threads changes from barrier to barrier, so that what depends on it is seen.
inline void run_block()
{
    for (int i = 0; i < block.n; ++i) {
        Fiber& fiber = block.fibers[i];
        unsigned plane = block_size.x * block_size.y;
        fiber.index = {i % block_size.x, i % plane / block_size.x, i / plane};
        fiber.status = READY;
        prepare(&fiber.context, block.stacks + (size_t)i * STACK, start);
    }
    for (bool backward = false; block.error.empty(); backward = !backward) {
        for (int first = 0; first < block.n; first += WARP)
            run_warp(first, first + WARP < block.n ? first + WARP : block.n, backward);
        if (!block.error.empty() || all_are(DONE, 0, block.n)) return;
        if (all_are(AT_BARRIER, 0, block.n)) release(0, block.n);
        else block.error = "some warps end before a barrier at which others wait";
    }
}

template <class T> T shuffle(T value, int lane_mask)
{
    block.fibers[block.current].given = value;
    yield(IN_SHUFFLE);
    T other = (T)block.fibers[block.current ^ lane_mask].given;
    yield(IN_SHUFFLE);                                                   // before anyone gives another value
    return other;
}

// ---- launching ------------------------------------------------------------------------------

struct Argument { const char* type; const void* value; };

template <class T> std::string type_of()
{
    using Plain = std::remove_cv_t<T>;
    if constexpr (std::is_pointer_v<Plain>) return type_of<std::remove_pointer_t<Plain>>() + "*";
    else if constexpr (std::is_same_v<Plain, bool>) return "b1";
    else if constexpr (std::is_floating_point_v<Plain>) return "f" + std::to_string(sizeof(Plain));
    else return (std::is_signed_v<Plain> ? "i" : "u") + std::to_string(sizeof(Plain));
}

template <class... Parameters, size_t... I>
void launch(void (*kernel)(Parameters...), const Argument* given, std::index_sequence<I...>)
{
    const std::string declared[] = {type_of<Parameters>()...};
    for (size_t i = 0; i < sizeof...(Parameters); ++i)
        if (declared[i] != given[i].type) {
            block.error = "argument " + std::to_string(i) + " must be " + declared[i] + "; got " + given[i].type;
            return;
        }
    auto body = [&] { kernel(*(const std::remove_cv_t<Parameters>*)given[I].value...); };
    block.argument = &body;
    block.body = [](void* argument) { (*(decltype(body)*)argument)(); };
    for (unsigned z = 0; z < grid_size.z; ++z)
        for (unsigned y = 0; y < grid_size.y; ++y)
            for (unsigned x = 0; x < grid_size.x && block.error.empty(); ++x) {
                block_index = {x, y, z};
                run_block();
            }
}

// Return what went wrong, or an empty string.
template <class... Parameters>
const char* run(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* size, const Argument* given, int n)
{
    grid_size = {grid[0], grid[1], grid[2]};
    block_size = {size[0], size[1], size[2]};
    block.n = size[0] * size[1] * size[2];
    block.error.clear();
    if (!block.stacks)
        block.stacks = (char*)mmap(nullptr, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (n != sizeof...(Parameters))
        block.error = "must have " + std::to_string(sizeof...(Parameters)) + " arguments; got " + std::to_string(n);
    else if (block.n > MOST_THREADS || !block.n || grid[0] > 2147483647u || grid[1] > 65535 || grid[2] > 65535)
        block.error = "a block or a grid is too large";
    else if (!grid[0] || !grid[1] || !grid[2])
        block.error = "a grid is empty";
    else
        launch(kernel, given, std::index_sequence_for<Parameters...>());
    return block.error.c_str();
}

}  // namespace simulator

#define threadIdx simulator::thread_index
#define blockIdx simulator::block_index
#define blockDim simulator::block_size
#define gridDim simulator::grid_size
#define __syncthreads() simulator::yield(simulator::AT_BARRIER)
#define __shfl_xor_sync(mask, value, lane_mask) simulator::shuffle(value, lane_mask)
#define SIMULATED(name) \
    extern "C" const char* run_##name(const unsigned* grid, const unsigned* size, \
                                      const simulator::Argument* given, int n) \
    { \
        return simulator::run(name, grid, size, given, n); \
    }
