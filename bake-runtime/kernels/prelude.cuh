// What all kernels share. The source is CUDA C++ for nvcc and NVRTC, without any header; with
// EMULATED it is plain C++ for the tests.
#pragma once

#ifdef EMULATED
#include "emulator.h"
#else
// A kernel and the most threads that it is launched with.
#define KERNEL(threads, name, ...) \
    extern "C" __global__ void __launch_bounds__(threads, 1) name(__VA_ARGS__)
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
#define UNROLL _Pragma("unroll")
// The shared memory of the launch, aligned to 16 bytes.
extern __shared__ __align__(16) unsigned char shared_memory[];
#define SHARED(name) unsigned char* name = shared_memory
#endif

#define NEG_INFINITY __int_as_float(0xff800000)

struct bf16 {
    unsigned short bits;
};

struct f16 {
    unsigned short bits;
};

#ifndef EMULATED
DEVICE float widened(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}
DEVICE void narrow(float x, f16& y) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); }
DEVICE void narrow(float x, bf16& y) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x)); }

// Asks for the line of memory that holds this address, for later.
DEVICE void prefetch(const void* address) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(address)));
}

// Blocks of a cluster share their shared memory: sm_90 on. Elsewhere every block is a cluster of
// its own.
#if __CUDA_ARCH__ >= 900
DEVICE unsigned cluster_rank() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
DEVICE unsigned cluster_size() {
    unsigned size;
    asm volatile("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(size));
    return size;
}
DEVICE void cluster_barrier() {
    // Not `.aligned`: earlier code may have left the lanes of a warp diverged.
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
DEVICE unsigned peer_word(const unsigned* mine, unsigned rank) {
    unsigned local = (unsigned)__cvta_generic_to_shared(mine), remote, word;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(local), "r"(rank));
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(word) : "r"(remote) : "memory");
    return word;
}
#else
DEVICE unsigned cluster_rank() { return 0; }
DEVICE unsigned cluster_size() { return 1; }
DEVICE void cluster_barrier() { __syncthreads(); }
DEVICE unsigned peer_word(const unsigned* mine, unsigned) { return *mine; }
#endif
#endif

DEVICE float widened(float x) { return x; }
DEVICE float widened(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
DEVICE void narrow(float x, float& y) { y = x; }

// Any value whose size is a multiple of four bytes, as words.
template <class T> struct Words {
    static const int count = sizeof(T) / 4;
    union {
        T value;
        unsigned words[sizeof(T) / 4];
    };
    DEVICE_MEMBER Words() {}
};

// The value of the lane whose number differs in these bits.
template <class T> DEVICE T shuffled(const T& mine, int bits) {
    Words<T> from, to;
    from.value = mine;
    for (int i = 0; i < Words<T>::count; i++)
        to.words[i] = __shfl_xor_sync(0xffffffffu, from.words[i], bits);
    return to.value;
}

// The value of lane 0.
template <class T> DEVICE T from_first_lane(const T& mine) {
    Words<T> from, to;
    from.value = mine;
    for (int i = 0; i < Words<T>::count; i++)
        to.words[i] = __shfl_sync(0xffffffffu, from.words[i], 0);
    return to.value;
}

// The value that another block of the cluster has where this one has `mine` in its shared memory.
template <class T> DEVICE T peer_value(const T* mine, unsigned rank) {
    Words<T> to;
    for (int i = 0; i < Words<T>::count; i++)
        to.words[i] = peer_word((const unsigned*)mine + i, rank);
    return to.value;
}

// Values that are combined over the threads of a warp. The order of the sums depends only on the
// number of threads.
template <class T> DEVICE T warp_joined(T mine) {
    for (int bits = 16; bits; bits >>= 1) mine.join(shuffled(mine, bits));
    return mine;
}

// The bytes of shared memory that one `joined` takes: a place for each of 32 warps, and one for the
// block.
template <class T> DEVICE int joining_bytes() { return 33 * (int)sizeof(T); }

// Values that are combined over all threads of a cluster; each thread gets the same. `places` is
// used for nothing else until the cluster has met again.
template <class T> DEVICE T joined(T mine, unsigned char* memory) {
    T* places = (T*)memory;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    mine = warp_joined(mine);
    if (lane == 0) places[warp] = mine;
    __syncthreads();
    if (warp == 0) {
        mine = lane < warps ? places[lane] : T();
        mine = warp_joined(mine);
        if (lane == 0) places[32] = mine;
    }
    cluster_barrier();
    // Every lane reads one of the at most eight blocks. Contraction may round the two sides of a
    // join apart, so all take what lane 0 has.
    T all = lane < (int)cluster_size() ? peer_value(places + 32, lane) : T();
    for (int bits = 4; bits; bits >>= 1) all.join(shuffled(all, bits));
    return from_first_lane(all);
}

// A sum that stays precise over many small terms.
struct Sum {
    double value;
    DEVICE_MEMBER Sum(double value = 0.0) : value(value) {}
    DEVICE_MEMBER void join(const Sum& other) { value += other.value; }
};

struct Sums {
    double first, second;
    DEVICE_MEMBER Sums(double first = 0.0, double second = 0.0) : first(first), second(second) {}
    DEVICE_MEMBER void join(const Sums& other) {
        first += other.first;
        second += other.second;
    }
};
