// The gate of the feed-forward layer: y = x s up with s = 1 / (1 + e^-z); one thread an element.
// SiLU has z = x. GELU's approximation by a hyperbolic tangent, x / 2 (1 + tanh(u)) with u = sqrt(2
// / pi) (x + 0.044715 x^3), has z = 2 u. Cost: two reads and one write for each element; the
// backward pass has three reads and two writes.
#include "prelude.cuh"

const float GELU = 1.5957691216f;         // 2 sqrt(2 / pi)
const float GELU_CUBE = 0.0713548162726f; // 0.044715 of it

DEVICE float gate_exponent(float x, int gelu) { return gelu ? x * (GELU + GELU_CUBE * x * x) : x; }

DEVICE float gate_slope(float x, int gelu) { return gelu ? GELU + 3.0f * GELU_CUBE * x * x : 1.0f; }

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

KERNEL(256, gate_forward, const float* gate, const float* up, float* y, unsigned elements,
    int gelu) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < elements) y[i] = gate[i] * sigmoid(gate_exponent(gate[i], gelu)) * up[i];
}

// d_up = dy gate s, d_gate = dy up s (1 + gate z' (1 - s)).
KERNEL(256, gate_backward, const float* gate, const float* up, const float* dy, float* d_gate,
    float* d_up, unsigned elements, int gelu) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= elements) return;
    float s = sigmoid(gate_exponent(gate[i], gelu));
    d_up[i] = dy[i] * gate[i] * s;
    d_gate[i] = dy[i] * up[i] * s * (1.0f + gate[i] * gate_slope(gate[i], gelu) * (1.0f - s));
}
