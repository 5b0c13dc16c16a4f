// Root mean square norm, one block a row: y = x r w with r = 1 / sqrt(mean(x^2) + eps).
// Cost: two reads of x and one write for each element; the backward pass reads x and dy twice.
#include "prelude.cuh"

const int NORM_THREADS = 256;

DEVICE float inverse_root(const float* x, int width, float eps, unsigned char* memory) {
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) squares += x[i] * x[i];
    return (float)(1.0 / sqrt(joined(Sum(squares), memory).value / width + eps));
}

KERNEL(NORM_THREADS, norm_forward, const float* x, const float* weight, float* y, int width,
    float eps) {
    SHARED(memory);
    x += (size_t)blockIdx.x * width;
    y += (size_t)blockIdx.x * width;
    float r = inverse_root(x, width, eps, memory);
    for (int i = threadIdx.x; i < width; i += blockDim.x) y[i] = x[i] * r * weight[i];
}

// With h = w dy: dx = onto + r h - x r^3 mean(h x). There may be no `onto`.
KERNEL(NORM_THREADS, norm_backward, const float* x, const float* dy, const float* weight,
    const float* onto, float* dx, int width, float eps) {
    SHARED(memory);
    size_t first = (size_t)blockIdx.x * width;
    x += first, dy += first, dx += first;
    float r = inverse_root(x, width, eps, memory), along = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) along += weight[i] * dy[i] * x[i];
    double mean = joined(Sum(along), memory + joining_bytes<Sum>()).value / width;
    float slope = (float)mean * r * r * r;
    for (int i = threadIdx.x; i < width; i += blockDim.x) 
        dx[i] = (onto ? onto[first + i] : 0.0f) + (weight[i] * dy[i] * r - x[i] * slope);
}
