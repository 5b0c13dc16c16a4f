// The part of CUDA that the kernels use, in C++: one fiber a thread, and waits that give way to the
// scheduler in `src/lib.rs`.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

struct Dim {
    unsigned x;
};

// A thread of a launch; laid out as in `src/lib.rs`.
struct Thread {
    Dim thread, block, block_dim, grid_dim;
    unsigned rank, cluster, turn, reserved;
    unsigned* exchange;      // two times 32 words of its warp
    unsigned char** shared;  // the shared memory of each block of its cluster
};

extern "C" {
void emulator_wait(int what);  // returns when all that must meet here have come
extern thread_local Thread* emulator_thread;
}

enum { WAIT_WARP = 0, WAIT_BLOCK = 1, WAIT_CLUSTER = 2 };

struct Registration {
    const char* name;
    void (*call)(void**);
    Registration* next;
    Registration(const char* name, void (*call)(void**));
};

template <int... I> struct Indices {};
template <int N, int... I> struct Counted : Counted<N - 1, N - 1, I...> {};
template <int... I> struct Counted<0, I...> {
    typedef Indices<I...> Type;
};
template <class... A, int... I> void call_with(void (*kernel)(A...), void** values, Indices<I...>) {
    kernel(*(A*)values[I]...);
}
template <class... A> void call(void (*kernel)(A...), void** values) {
    call_with(kernel, values, typename Counted<sizeof...(A)>::Type());
}

#define KERNEL(threads, name, ...)                                                             \
    static void name(__VA_ARGS__);                                                             \
    static Registration registration_##name(#name, [](void** values) { call(name, values); }); \
    static void name(__VA_ARGS__)
#define DEVICE static inline
#define DEVICE_MEMBER
#define UNROLL
#define SHARED(name) unsigned char* name = emulator_thread->shared[emulator_thread->rank]

#define threadIdx (emulator_thread->thread)
#define blockIdx (emulator_thread->block)
#define blockDim (emulator_thread->block_dim)
#define gridDim (emulator_thread->grid_dim)

static inline void __syncthreads() { emulator_wait(WAIT_BLOCK); }

static inline void __syncwarp() { emulator_wait(WAIT_WARP); }

// Publishes a lane's value, and returns those of all lanes of its warp.
static inline const unsigned* exchanged(unsigned mine) {
    Thread* thread = emulator_thread;
    // Two halves, used alternately: a lane that goes on does not overwrite what a slower one has
    // yet to read.
    unsigned* cells = thread->exchange + 32 * (thread->turn++ & 1);
    cells[thread->thread.x & 31] = mine;
    emulator_wait(WAIT_WARP);
    return cells;
}

static inline unsigned __shfl_xor_sync(unsigned, unsigned mine, int bits) {
    return exchanged(mine)[(emulator_thread->thread.x & 31) ^ bits];
}
static inline unsigned __shfl_sync(unsigned, unsigned mine, int lane) {
    return exchanged(mine)[lane];
}

static inline void prefetch(const void*) {}
static inline unsigned cluster_rank() { return emulator_thread->rank; }
static inline unsigned cluster_size() { return emulator_thread->cluster; }
static inline void cluster_barrier() { emulator_wait(WAIT_CLUSTER); }
static inline unsigned peer_word(const unsigned* mine, unsigned rank) {
    Thread* thread = emulator_thread;
    unsigned word;
    memcpy(&word,
        thread->shared[rank] + ((const unsigned char*)mine - thread->shared[thread->rank]), 4);
    return word;
}

static inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static inline float __int_as_float(unsigned bits) { return __uint_as_float(bits); }
static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}

struct bf16;
struct f16;
static inline float widened(f16 x);
static inline void narrow(float x, f16& y);
static inline void narrow(float x, bf16& y);
