// Rotary position embedding: (a, b) -> (a cos - b sin, b cos + a sin) for the pairs
// (x[i], x[i + half]) of every head, one thread a pair. With direction -1 it turns back, which is
// the gradient. Cost: one read and one write for each element.
#include "prelude.cuh"

// x and y [rows, heads, 2 half]; turns [context, half] pairs of cosine and sine; the position of
// each row.
KERNEL(256, rope_turn, const float* x, const float* turns, const unsigned* positions, float* y,
    int rows, int heads, int half, float direction) {
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i >= (size_t)rows * heads * half) return;
    size_t pair = i % half, head = i / half, row = head / heads, low = head * 2 * half + pair;
    const float* turn = turns + 2 * (positions[row] * (size_t)half + pair);
    float a = x[low], b = x[low + half], cosine = turn[0], sine = direction * turn[1];
    y[low] = a * cosine - b * sine;
    y[low + half] = b * cosine + a * sine;
}
