// The gate of the feed-forward layer: y = silu(gate) up with silu(x) = x s, s = 1 / (1 + e^-x); one thread an element.
// Cost: two reads and one write for each element; the backward pass has three reads and two writes.
#include "prelude.cuh"

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

KERNEL(256, gate_forward, const float* gate, const float* up, float* y, unsigned elements) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < elements) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

// d_up = dy gate s, d_gate = dy up s (1 + gate (1 - s)).
KERNEL(256, gate_backward, const float* gate, const float* up, const float* dy, float* d_gate, float* d_up, unsigned elements) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= elements) return;
    float s = sigmoid(gate[i]);
    d_up[i] = dy[i] * gate[i] * s;
    d_gate[i] = dy[i] * up[i] * s * (1.0f + gate[i] * (1.0f - s));
}
