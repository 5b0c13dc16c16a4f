// All kernels, as one module.
#include "attention.cu"
#include "dropout.cu"
#include "gate.cu"
#include "loss.cu"
#include "norm.cu"
#include "rope.cu"
