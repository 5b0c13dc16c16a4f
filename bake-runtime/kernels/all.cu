// All kernels, as one module.
#include "loss.cu"
