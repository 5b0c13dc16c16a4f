// Causal attention of many sequences, without padding and without a matrix of scores (Dao 2023,
// arXiv 2307.08691): softmax(s q k^T) v with the layer's scale s, in f32. Keys in a cache are found
// through slots.
//
// A sequence is four numbers: its first query row, how many it has, its first key, and how many.
// Its queries are the last of its keys' positions: query i sees the first `keys - queries + i + 1`,
// and of these the last `window`. A tile is a sequence and the first of its rows or keys. Each key
// head serves `heads / key_heads` query heads, which are adjacent.
//
// Cost of the forward pass: 4 width FLOPs for each query, key that it sees, and head; the backward
// pass has 14 width, since scores are computed three times. Keys and values are read from memory
// once for each tile of queries.
#include "prelude.cuh"

const int QUERIES = 16;            // of a tile
const int KEYS = 32;               // that a warp processes together, one per lane
const int ATTENTION_THREADS = 128; // four warps; each has every fourth row of a tile
const int WARPS = ATTENTION_THREADS / 32;
const int OWN = QUERIES / WARPS;   // rows of a warp
const int PARTS = 8;               // of a head's width that a lane has: 256 at most

struct Sequence {
    int first_query, queries, first_key, keys;
};

// Whether the token at `position` sees that at `key`: itself and those before it, `window` in all.
DEVICE bool sees(int position, int key, int window) {
    return key <= position && position - key < window;
}

// The first key of the first chunk of which the token at `position` sees one.
DEVICE int first_chunk(int position, int window) {
    return position < window ? 0 : (position - window + 1) / KEYS * KEYS;
}

// Rows of one head in shared memory, padded by one number so that lanes that read one column of
// many rows do not conflict.
DEVICE int padded(int width) { return width + 1; }

// Brings rows of a head into shared memory, `rows` of them; those from `end` on are zero.
DEVICE void gather(float* to, const float* from, const unsigned* slots, int first, int rows,
    int end, int stride, int head, int width) {
    for (int i = threadIdx.x; i < rows * width; i += blockDim.x) {
        int row = i / width, column = i % width;
        float x = 0.0f;
        if (row < end) {
            size_t slot = slots ? slots[first + row] : first + row;
            x = from[slot * stride + (size_t)head * width + column];
        }
        to[row * padded(width) + column] = x;
    }
}

DEVICE float dot(const float* a, const float* b, int width) {
    float sum = 0.0f;
    for (int i = 0; i < width; i++) sum += a[i] * b[i];
    return sum;
}

DEVICE float warp_max(float x) {
    for (int bits = 16; bits; bits >>= 1) x = fmaxf(x, shuffled(x, bits));
    return x;
}

DEVICE float warp_sum(float x) {
    for (int bits = 16; bits; bits >>= 1) x += shuffled(x, bits);
    return x;
}

// sums[part] += sum over `count` rows of weights[row] rows[row][lane + 32 part].
DEVICE void accumulate(float* sums, const float* weights, const float* rows, int count, int width) {
    int lane = threadIdx.x & 31;
    for (int row = 0; row < count; row++) {
        float weight = weights[row];
        UNROLL for (int part = 0; part < PARTS; part++)
            if (lane + 32 * part < width)
                sums[part] += weight * rows[row * padded(width) + lane + 32 * part];
    }
}

DEVICE void put(float* to, const float* sums, float scale, int width) {
    int lane = threadIdx.x & 31;
    UNROLL for (int part = 0; part < PARTS; part++)
        if (lane + 32 * part < width) to[lane + 32 * part] = sums[part] * scale;
}

// out [rows, heads, width]. One block a tile of queries and a head.
KERNEL(ATTENTION_THREADS, attention_forward, const float* q, const float* k, const float* v,
    const unsigned* slots, const Sequence* sequences, const int* tiles, float* out, int heads,
    int key_heads, int width, float scale, int window) {
    SHARED(memory);
    float *query = (float*)memory, *key = query + QUERIES * padded(width);
    float* value = key + KEYS * padded(width);
    float* weights = value + KEYS * padded(width) + (threadIdx.x >> 5) * KEYS;
    int tile = blockIdx.x / heads, head = blockIdx.x % heads;
    int key_head = head / (heads / key_heads), lane = threadIdx.x & 31;
    Sequence sequence = sequences[tiles[2 * tile]];
    int first = tiles[2 * tile + 1], rows = sequence.queries - first;
    gather(query, q, nullptr, sequence.first_query + first, QUERIES, rows, heads * width, head,
        width);
    float max[OWN], sum[OWN], sums[OWN][PARTS];
    UNROLL for (int own = 0; own < OWN; own++) {
        max[own] = -3e38f;
        sum[own] = 0.0f;
        UNROLL for (int part = 0; part < PARTS; part++) sums[own][part] = 0.0f;
    }
    // The position of the tile's first row.
    int before = sequence.keys - sequence.queries + first;
    int seen = before + (rows < QUERIES ? rows : QUERIES);
    for (int from = first_chunk(before, window); from < seen; from += KEYS) {
        __syncthreads();
        int end = sequence.keys - from, at = sequence.first_key + from;
        gather(key, k, slots, at, KEYS, end, key_heads * width, key_head, width);
        gather(value, v, slots, at, KEYS, end, key_heads * width, key_head, width);
        __syncthreads();
        UNROLL for (int own = 0; own < OWN; own++) {
            int row = (threadIdx.x >> 5) + WARPS * own;
            bool visible = row < rows && sees(before + row, from + lane, window);
            float score = NEG_INFINITY;
            if (visible)
                score = scale * dot(query + row * padded(width), key + lane * padded(width), width);
            float top = fmaxf(max[own], warp_max(score));
            float shrink = expf(max[own] - top), weight = expf(score - top);
            max[own] = top;
            sum[own] = sum[own] * shrink + warp_sum(weight);
            UNROLL for (int part = 0; part < PARTS; part++) sums[own][part] *= shrink;
            __syncwarp();
            weights[lane] = weight;
            __syncwarp();
            accumulate(sums[own], weights, value, KEYS, width);
        }
    }
    UNROLL for (int own = 0; own < OWN; own++) {
        int row = (threadIdx.x >> 5) + WARPS * own;
        if (row >= rows) continue;
        size_t at = (size_t)(sequence.first_query + first + row) * heads + head;
        put(out + at * width, sums[own], 1.0f / sum[own], width);
    }
}

// With P the probabilities: dP = dO V^T, dS = P (dP - rowsum(P dP)), dQ = scale dS K. Leaves for
// the keys' side of it, for each row and head, log(sum e^(s q k^T)) and rowsum(P dP) in `rows_of`
// [rows, heads, 2]. Whole sequences only. One block a tile of queries and a head.
KERNEL(ATTENTION_THREADS, attention_backward_queries, const float* q, const float* k,
    const float* v, const float* dy, const Sequence* sequences, const int* tiles, float* dq,
    float* rows_of, int heads, int key_heads, int width, float scale, int window) {
    SHARED(memory);
    float *query = (float*)memory, *slope = query + QUERIES * padded(width);
    float *key = slope + QUERIES * padded(width), *value = key + KEYS * padded(width);
    float* weights = value + KEYS * padded(width) + (threadIdx.x >> 5) * KEYS;
    int tile = blockIdx.x / heads, head = blockIdx.x % heads;
    int key_head = head / (heads / key_heads), lane = threadIdx.x & 31;
    Sequence sequence = sequences[tiles[2 * tile]];
    int first = tiles[2 * tile + 1], rows = sequence.queries - first;
    gather(query, q, nullptr, sequence.first_query + first, QUERIES, rows, heads * width, head,
        width);
    gather(slope, dy, nullptr, sequence.first_query + first, QUERIES, rows, heads * width, head,
        width);
    float max[OWN], sum[OWN], along[OWN], sums[OWN][PARTS];
    UNROLL for (int own = 0; own < OWN; own++) {
        max[own] = -3e38f;
        sum[own] = along[own] = 0.0f;
        UNROLL for (int part = 0; part < PARTS; part++) sums[own][part] = 0.0f;
    }
    int seen = first + (rows < QUERIES ? rows : QUERIES);
    // First the sums of each row, then what needs them.
    for (int pass = 0; pass < 2; pass++) {
        for (int from = first_chunk(first, window); from < seen; from += KEYS) {
            __syncthreads();
            int end = sequence.keys - from, at = sequence.first_key + from;
            gather(key, k, nullptr, at, KEYS, end, key_heads * width, key_head, width);
            gather(value, v, nullptr, at, KEYS, end, key_heads * width, key_head, width);
            __syncthreads();
            UNROLL for (int own = 0; own < OWN; own++) {
                int row = (threadIdx.x >> 5) + WARPS * own;
                bool visible = row < rows && sees(first + row, from + lane, window);
                float score = NEG_INFINITY, dp = 0.0f;
                if (visible) {
                    int mine = row * padded(width), theirs = lane * padded(width);
                    score = scale * dot(query + mine, key + theirs, width);
                    dp = dot(slope + mine, value + theirs, width);
                }
                if (pass == 0) {
                    float top = fmaxf(max[own], warp_max(score));
                    float shrink = expf(max[own] - top), weight = expf(score - top);
                    max[own] = top;
                    sum[own] = sum[own] * shrink + warp_sum(weight);
                    along[own] = along[own] * shrink + warp_sum(weight * dp);
                } else {
                    __syncwarp();
                    weights[lane] =
                        expf(score - max[own]) / sum[own] * (dp - along[own] / sum[own]);
                    __syncwarp();
                    accumulate(sums[own], weights, key, KEYS, width);
                }
            }
        }
    }
    UNROLL for (int own = 0; own < OWN; own++) {
        int row = (threadIdx.x >> 5) + WARPS * own;
        if (row >= rows) continue;
        size_t at = (size_t)(sequence.first_query + first + row) * heads + head;
        put(dq + at * width, sums[own], scale, width);
        if (lane == 0) {
            rows_of[2 * at] = max[own] + logf(sum[own]);
            rows_of[2 * at + 1] = along[own] / sum[own];
        }
    }
}

// dV = P^T dO and dK = scale dS^T Q, summed over the query heads of a key head. One block a tile of
// keys and a key head; lanes are queries.
KERNEL(ATTENTION_THREADS, attention_backward_keys, const float* q, const float* k, const float* v,
    const float* dy, const Sequence* sequences, const int* tiles, const float* rows_of, float* dk,
    float* dv, int heads, int key_heads, int width, float scale, int window) {
    SHARED(memory);
    float *key = (float*)memory, *value = key + QUERIES * padded(width);
    float *query = value + QUERIES * padded(width), *slope = query + KEYS * padded(width);
    float *p = slope + KEYS * padded(width) + (threadIdx.x >> 5) * 2 * KEYS, *ds = p + KEYS;
    int tile = blockIdx.x / key_heads, key_head = blockIdx.x % key_heads, lane = threadIdx.x & 31;
    Sequence sequence = sequences[tiles[2 * tile]];
    int first = tiles[2 * tile + 1], count = sequence.keys - first;
    int at = sequence.first_key + first;
    gather(key, k, nullptr, at, QUERIES, count, key_heads * width, key_head, width);
    gather(value, v, nullptr, at, QUERIES, count, key_heads * width, key_head, width);
    float key_sums[OWN][PARTS], value_sums[OWN][PARTS];
    UNROLL for (int own = 0; own < OWN; own++)
        UNROLL for (int part = 0; part < PARTS; part++)
            key_sums[own][part] = value_sums[own][part] = 0.0f;
    int members = heads / key_heads, last = first + QUERIES - 1;
    for (int head = key_head * members; head < (key_head + 1) * members; head++) {
        for (int from = first / KEYS * KEYS; from < sequence.queries && from - last < window;
             from += KEYS) {
            __syncthreads();
            int end = sequence.queries - from, at = sequence.first_query + from;
            gather(query, q, nullptr, at, KEYS, end, heads * width, head, width);
            gather(slope, dy, nullptr, at, KEYS, end, heads * width, head, width);
            __syncthreads();
            bool there = from + lane < sequence.queries;
            const float* row_of = rows_of + 2 * ((size_t)(at + lane) * heads + head);
            float log_sum = there ? row_of[0] : 0.0f, along = there ? row_of[1] : 0.0f;
            UNROLL for (int own = 0; own < OWN; own++) {
                int row = (threadIdx.x >> 5) + WARPS * own;
                bool visible = there && row < count && sees(from + lane, first + row, window);
                float weight = 0.0f, dp = 0.0f;
                if (visible) {
                    int mine = row * padded(width), theirs = lane * padded(width);
                    weight = expf(scale * dot(query + theirs, key + mine, width) - log_sum);
                    dp = dot(slope + theirs, value + mine, width);
                }
                __syncwarp();
                p[lane] = weight;
                ds[lane] = weight * (dp - along);
                __syncwarp();
                accumulate(value_sums[own], p, slope, KEYS, width);
                accumulate(key_sums[own], ds, query, KEYS, width);
            }
        }
    }
    UNROLL for (int own = 0; own < OWN; own++) {
        int row = (threadIdx.x >> 5) + WARPS * own;
        if (row >= count) continue;
        size_t at = ((size_t)(sequence.first_key + first + row) * key_heads + key_head) * width;
        put(dk + at, key_sums[own], scale, width);
        put(dv + at, value_sums[own], 1.0f, width);
    }
}
