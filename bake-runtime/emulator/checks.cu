// Kernels that test the emulator itself.
#include "prelude.cuh"

// Blocks turn their part of x around, with and without the barrier that this needs.
DEVICE void turn_around(const int* x, int* y, bool meet) {
    SHARED(memory);
    int *place = (int*)memory, i = threadIdx.x, n = blockDim.x;
    place[i] = x[blockIdx.x * n + i];
    if (meet) __syncthreads();
    y[blockIdx.x * n + i] = place[n - 1 - i];
}
KERNEL(1024, check_turn_around, const int* x, int* y) { turn_around(x, y, true); }
KERNEL(1024, check_missing_barrier, const int* x, int* y) { turn_around(x, y, false); }

// Half of a block reaches the barrier.
KERNEL(1024, check_lonely, const int* x, int* y) {
    if (threadIdx.x < 32) __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}

// The sum over a cluster, and the sum of the ranks before this block's.
KERNEL(1024, check_cluster, const int* x, int* y) {
    SHARED(memory);
    Sum all = joined(Sum(x[blockIdx.x * blockDim.x + threadIdx.x]), memory);
    y[blockIdx.x * blockDim.x + threadIdx.x] = (int)all.value * 100 + (int)cluster_rank();
    cluster_barrier();
}

// Both narrow types there and back.
KERNEL(1024, check_types, const float* x, float* y) {
    bf16 b;
    f16 h;
    narrow(x[threadIdx.x], b);
    narrow(x[threadIdx.x], h);
    y[2 * threadIdx.x] = widened(b);
    y[2 * threadIdx.x + 1] = widened(h);
}
