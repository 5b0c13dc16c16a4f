// Dropout: y = kept x, or 0 where the 32 random bits of an element are below the threshold; one
// thread four elements, which are the four words of one counter of Philox4x32-10 (Salmon et al.
// 2011, SC'11). Cost: a read and a write for each element.
#include "prelude.cuh"

DEVICE unsigned upper_half(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}

KERNEL(256, dropout, const float* x, float* y, unsigned elements, unsigned layer,
    unsigned projection, unsigned key0, unsigned key1, unsigned threshold, float kept) {
    unsigned counter = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned words[4] = {counter, layer, projection, 0};
    for (int round = 0; round < 10; round++) {
        unsigned even = words[0], odd = words[2];
        words[0] = upper_half(0xCD9E8D57u, odd) ^ words[1] ^ key0;
        words[2] = upper_half(0xD2511F53u, even) ^ words[3] ^ key1;
        words[1] = 0xCD9E8D57u * odd;
        words[3] = 0xD2511F53u * even;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    UNROLL for (int word = 0; word < 4; word++) {
        unsigned i = 4 * counter + word;
        if (i < elements) y[i] = words[word] < threshold ? 0.0f : x[i] * kept;
    }
}
