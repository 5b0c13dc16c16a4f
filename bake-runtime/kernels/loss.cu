// The distillation loss of a chunk of tokens, around its matrix products. The formulas are those of
// src/distill/divergence.rs:
//
//   p = softmax(z / T), q = softmax((z + delta) / T), a = sum p delta / T, u = delta / T - a,
//   phi(u) = e^u - 1 - u, psi(x) = x e^x - (e^x - 1)
//   KL(p || q) = log(1 + sum p phi(u)),  x = u - KL = log(q / p),  KL(q || p) = sum p psi(x)
//   m = b p + (1 - b) q, l = log(m / p) = log(1 + (1 - b)(e^x - 1)), y = x - l,
//   JSD = b sum p phi(l) + (1 - b) sum m psi(y)
//
// and their derivatives with respect to the student's logits times T, which `loss_finish`
// multiplies by weight / T after the last product:
//
//   p (e^x - 1)        q (x - KL(q || p))        (1 - b) q (y - sum q y)
//
// Cost of `loss_rows` for each logit: two floats read from memory and two or four bytes written
// where the row is staged (in the shared memory of a cluster of blocks), and about 50 instructions.
// Where it is not staged, z and delta are read once for each pass, four to six times. Every thread
// sees the same elements in every pass, and sums go through doubles between threads.
#include "prelude.cuh"

enum Divergence { FORWARD_KL, REVERSE_KL, JSD };

// Where a u is larger, e^u would leave the range of a float. Rows so far apart are compared by
// their logarithms.
const float FAR = 40.0f;

// The difference in masked columns: one that no exponential makes infinite, so that times a
// probability of zero it vanishes.
const float NO_WORD = -1e30f;

// The most threads of a block, and its shared memory for reductions; what is staged follows it.
const int ROW_THREADS = 512;
const int JOINING_BYTES = 6 * 33 * 24;

// e^u - 1 and phi(u), each in a form that stays precise.
DEVICE float expm1_phi(float u, float& phi) {
    if (fabsf(u) < 0.5f) {
        float s = 1.0f / 40320.0f;
        s = s * u + 1.0f / 5040.0f;
        s = s * u + 1.0f / 720.0f;
        s = s * u + 1.0f / 120.0f;
        s = s * u + 1.0f / 24.0f;
        s = s * u + 1.0f / 6.0f;
        s = s * u + 0.5f;
        phi = s * u * u;
        return u + phi;
    }
    float e = expf(u) - 1.0f;
    phi = e - u;
    return e;
}

DEVICE float expm1_of(float x) {
    float phi;
    return expm1_phi(x, phi);
}

DEVICE float phi_of(float u) {
    float phi;
    expm1_phi(u, phi);
    return phi;
}

DEVICE float psi_of(float x) {
    if (fabsf(x) < 0.5f) {
        float s = 1.0f / 5760.0f;
        s = s * x + 1.0f / 840.0f;
        s = s * x + 1.0f / 144.0f;
        s = s * x + 1.0f / 30.0f;
        s = s * x + 1.0f / 8.0f;
        s = s * x + 1.0f / 3.0f;
        s = s * x + 0.5f;
        return s * x * x;
    }
    float e = expf(x);
    return x * e - (e - 1.0f);
}

// The normaliser of a softmax whose exponentials are relative to each thread's own maximum, the sum
// of exponentials times differences, and the largest difference.
struct Moments {
    float max, delta_max;
    double sum, along;
    DEVICE_MEMBER Moments(
        float max = -3e38f, float delta_max = -3e38f, double sum = 0.0, double along = 0.0)
        : max(max), delta_max(delta_max), sum(sum), along(along) {}
    DEVICE_MEMBER void join(const Moments& other) {
        float top = fmaxf(max, other.max);
        double mine = expf(max - top), its = expf(other.max - top);
        sum = sum * mine + other.sum * its;
        along = along * mine + other.along * its;
        max = top;
        delta_max = fmaxf(delta_max, other.delta_max);
    }
};

// Four neighbours of a row.
template <class T> struct alignas(4 * sizeof(T)) Four {
    T at[4];
};

// The part of a row that one block works on.
template <bool STAGED> struct Part {
    const float* z;               // the row's logits of the teacher
    const float* delta;           // the student's minus the teacher's
    const unsigned char* masked;  // masked columns, or null
    float *exps, *deltas;         // of this block's columns, where the row is staged
    size_t ahead;                 // how far behind this row the next one lies; 0: there is none
    int first, count, vocabulary;
    float z_scale, delta_scale;
    bool aligned;

    DEVICE_MEMBER Four<float> four(const float* row, int i) const {
        if (aligned && first + i + 4 <= vocabulary) return *(const Four<float>*)(row + first + i);
        Four<float> x;
        for (int j = 0; j < 4; j++)
            x.at[j] = first + i + j < vocabulary ? row[first + i + j] : 0.0f;
        return x;
    }

    DEVICE_MEMBER bool word(int i) const {
        return first + i < vocabulary && !(masked && masked[first + i]);
    }

    DEVICE_MEMBER Four<float> logits(int i) const {
        Four<float> x = four(z, i);
        for (int j = 0; j < 4; j++) x.at[j] = word(i + j) ? x.at[j] * z_scale : NEG_INFINITY;
        return x;
    }

    DEVICE_MEMBER Four<float> differences(int i) const {
        if (STAGED) return *(const Four<float>*)(deltas + i);
        Four<float> x = four(delta, i);
        for (int j = 0; j < 4; j++) x.at[j] = word(i + j) ? x.at[j] * delta_scale : NO_WORD;
        return x;
    }

    // e^(z - max), where max is this thread's own.
    DEVICE_MEMBER Four<float> exponentials(int i, float max) const {
        if (STAGED) return *(const Four<float>*)(exps + i);
        Four<float> x = logits(i);
        for (int j = 0; j < 4; j++) x.at[j] = expf(x.at[j] - max);
        return x;
    }

    DEVICE_MEMBER void stage(float* place, int i, const Four<float>& x) const {
        *(Four<float>*)(place + i) = x;
    }
};

// Every group of four columns of this block that is this thread's.
#define GROUPS(i, part) for (int i = 4 * threadIdx.x; i < part.count; i += 4 * blockDim.x)

// The first passes: this thread's maximum goes into `max`.
template <bool STAGED> DEVICE Moments moments_of(const Part<STAGED>& part, float& max) {
    Moments mine;
    // Differences are summed around that of the likeliest token, so that no precision is lost where
    // the teacher is sure of it.
    float middle = 0.0f;
    GROUPS(i, part) {
        // Both are asked for before either is used.
        Four<float> d = STAGED ? part.four(part.delta, i) : part.differences(i), z = part.logits(i);
        if (STAGED) {
            for (int j = 0; j < 4; j++)
                d.at[j] = z.at[j] > NEG_INFINITY ? d.at[j] * part.delta_scale : NO_WORD;
            part.stage(part.exps, i, z);
            part.stage(part.deltas, i, d);
        }
        for (int j = 0; j < 4; j++) {
            if (z.at[j] > mine.max) {
                mine.max = z.at[j];
                middle = d.at[j];
            }
            if (z.at[j] > NEG_INFINITY) mine.delta_max = fmaxf(mine.delta_max, d.at[j]);
        }
    }
    if (STAGED && part.ahead) {
        // The next row is fetched into the second-level cache while this one is processed.
        for (int j = 32 * threadIdx.x; j < part.count; j += 32 * blockDim.x) {
            prefetch(part.z + part.ahead + part.first + j);
            prefetch(part.delta + part.ahead + part.first + j);
        }
    }
    max = mine.max;
    float sum = 0.0f, along = 0.0f;
    GROUPS(i, part) {
        Four<float> e = part.exponentials(i, max), d = part.differences(i);
        if (STAGED) {
            for (int j = 0; j < 4; j++) e.at[j] = expf(e.at[j] - max);
            part.stage(part.exps, i, e);
        }
        for (int j = 0; j < 4; j++) {
            sum += e.at[j];
            along += e.at[j] * (d.at[j] - middle);
        }
    }
    mine.sum = sum;
    mine.along = along + (double)middle * sum;
    return mine;
}

// The nearest number to x that a type can represent. NaN stays NaN.
template <class T> DEVICE float held(float x, const T&) { return x; }
DEVICE float held(float x, const f16&) {
    return x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
}

// Overwrites the differences of the row with gradients, in half of their memory where `Out` has two
// bytes.
template <class Out, bool STAGED, class F>
DEVICE void write(const Part<STAGED>& part, float out_scale, F gradient) {
    Out* out = (Out*)part.delta + part.first;
    int rounds = (part.count + 4 * blockDim.x - 1) / (4 * blockDim.x);
    for (int round = 0; round < rounds; round++) {
        int i = 4 * (round * blockDim.x + threadIdx.x);
        Four<Out> rounded;
        if (i < part.count) {
            Four<float> g = gradient(i);
            for (int j = 0; j < 4; j++)
                narrow(held(g.at[j] * out_scale, rounded.at[j]), rounded.at[j]);
        }
        // This overwrites differences that other threads may have been reading until now.
        if (!STAGED) __syncthreads();
        if (i >= part.count) continue;
        if (part.aligned) {
            *(Four<Out>*)(out + i) = rounded;
        } else {
            for (int j = 0; j < 4 && part.first + i + j < part.vocabulary; j++)
                out[i + j] = rounded.at[j];
        }
    }
}

// Rows whose logits are far apart: by logarithms. With x = log(q / p) and
// t = log(b p / ((1 - b) q)), log(q / m) = -log(1 - b) - max(t, 0) - log(1 + e^-|t|) and log(m / p)
// = x - log(q / m).
template <int DIVERGENCE, class Out, bool STAGED>
DEVICE double far_row(const Part<STAGED>& part, double teacher_sum, float beta, float out_scale,
    unsigned char* memory) {
    Moments student;
    GROUPS(i, part) {
        Four<float> z = part.logits(i), d = part.differences(i);
        for (int j = 0; j < 4; j++) student.max = fmaxf(student.max, z.at[j] + d.at[j]);
    }
    float sum = 0.0f;
    GROUPS(i, part) {
        Four<float> z = part.logits(i), d = part.differences(i);
        for (int j = 0; j < 4; j++) sum += expf(z.at[j] + d.at[j] - student.max);
    }
    student.sum = sum;
    student = joined(student, memory);
    double student_sum = student.max + log(student.sum), apart = teacher_sum - student_sum;
    struct Word {
        float p, q, x, y;
    };
    auto word_of = [&](float z, float d) {
        Word word;
        word.p = expf((float)(z - teacher_sum));
        word.q = expf((float)(z + (double)d - student_sum));
        word.x = (float)(d + apart);
        // Computed again for each token: such rows are rare, and registers are scarce.
        float log_beta = logf(beta), log_other = log1pf(-beta), t = log_beta - log_other - word.x;
        word.y = -log_other - fmaxf(t, 0.0f) - log1pf(expf(-fabsf(t)));
        return word;
    };
    float loss = 0.0f, along = 0.0f, all = 0.0f;
    GROUPS(i, part) {
        Four<float> z = part.logits(i), d = part.differences(i);
        for (int j = 0; j < 4; j++) {
            if (!(z.at[j] > NEG_INFINITY)) continue;
            Word word = word_of(z.at[j], d.at[j]);
            if (DIVERGENCE == FORWARD_KL) loss -= word.p * word.x;
            if (DIVERGENCE == REVERSE_KL) along += word.q * word.x;
            if (DIVERGENCE == JSD) {
                loss -= beta * word.p * (word.x - word.y);
                along += word.q * word.y;
            }
            all += word.q;
        }
    }
    Sums sums = joined(Sums(loss, along), memory + JOINING_BYTES / 6);
    // Divided by the sum of the rounded probabilities, so that it is their mean.
    double mean = sums.second / joined(Sum(all), memory + 2 * JOINING_BYTES / 6).value;
    write<Out>(part, out_scale, [&](int i) {
        Four<float> z = part.logits(i), d = part.differences(i), g;
        for (int j = 0; j < 4; j++) {
            Word word = word_of(z.at[j], d.at[j]);
            g.at[j] = word.q - word.p;
            if (DIVERGENCE == REVERSE_KL) g.at[j] = word.q * (float)(word.x - mean);
            if (DIVERGENCE == JSD) g.at[j] = (1.0f - beta) * word.q * (float)(word.y - mean);
            if (!(z.at[j] > NEG_INFINITY)) g.at[j] = 0.0f;
        }
        return g;
    });
    return DIVERGENCE == REVERSE_KL ? mean
        : DIVERGENCE == JSD         ? sums.first + (1.0 - beta) * mean
                                    : sums.first;
}

template <int DIVERGENCE, class Out, bool STAGED>
DEVICE double row(const Part<STAGED>& part, float beta, float out_scale, unsigned char* memory) {
    float max;
    Moments all = joined(moments_of(part, max), memory);
    unsigned char *second = memory + JOINING_BYTES / 6, *third = second + JOINING_BYTES / 6;
    double mean = all.along / all.sum;
    float a = (float)mean;
    if (all.delta_max - a > FAR)
        return far_row<DIVERGENCE, Out>(
            part, all.max + log(all.sum), beta, out_scale, memory + JOINING_BYTES / 2);
    // This thread's exponentials times `share` are probabilities.
    float share = (float)(expf(max - all.max) / all.sum), other = 1.0f - beta;

    float near = 0.0f;
    GROUPS(i, part) {
        Four<float> e = part.exponentials(i, max), d = part.differences(i);
        for (int j = 0; j < 4; j++) near += e.at[j] * phi_of(d.at[j] - a);
    }
    // What rounding the mean to a float has left over: sum p u, which would otherwise be zero.
    double rest = mean - a;
    double log_ratio = log1p(joined(Sum((double)near * share), second).value + rest),
           forward = log_ratio - rest;
    if (forward < 0.0) forward = 0.0;
    float c = (float)log_ratio;

    if (DIVERGENCE == FORWARD_KL) {
        write<Out>(part, out_scale, [&](int i) {
            Four<float> e = part.exponentials(i, max), d = part.differences(i), g;
            for (int j = 0; j < 4; j++) g.at[j] = share * e.at[j] * expm1_of(d.at[j] - a - c);
            return g;
        });
        return forward;
    }
    float loss = 0.0f, along = 0.0f;
    GROUPS(i, part) {
        Four<float> e = part.exponentials(i, max), d = part.differences(i);
        for (int j = 0; j < 4; j++) {
            float x = d.at[j] - a - c;
            if (DIVERGENCE == REVERSE_KL) {
                loss += e.at[j] * psi_of(x);
            } else {
                float grown = expm1_of(x), l = log1pf(other * grown);
                loss += e.at[j]
                    * (beta * phi_of(l) + other * (1.0f + other * grown) * psi_of(x - l));
                along += e.at[j] * (1.0f + grown) * (x - l);
            }
        }
    }
    Sums sums = joined(Sums((double)loss * share, (double)along * share), third);
    float reverse = (float)(DIVERGENCE == JSD ? sums.second : sums.first);
    write<Out>(part, out_scale, [&](int i) {
        Four<float> e = part.exponentials(i, max), d = part.differences(i), g;
        for (int j = 0; j < 4; j++) {
            float x = d.at[j] - a - c;
            if (DIVERGENCE == REVERSE_KL) {
                g.at[j] = share * e.at[j] * expf(x) * (x - reverse);
            } else {
                float grown = expm1_of(x);
                g.at[j] = other * share * e.at[j] * (1.0f + grown)
                    * (x - log1pf(other * grown) - reverse);
            }
        }
        return g;
    });
    return sums.first;
}

template <int DIVERGENCE, class Out, bool STAGED>
DEVICE void loss_rows(const float* z, float* delta, const float* scales,
    const unsigned char* masked, float* losses, int rows, int vocabulary, float inverse_temperature,
    float beta, float out_scale) {
    SHARED(memory);
    int rank = cluster_rank(), blocks = cluster_size(), clusters = gridDim.x / blocks;
    Part<STAGED> part;
    int groups = (vocabulary + 3) / 4, share = 4 * ((groups + blocks - 1) / blocks),
        end = 4 * groups;
    part.first = share * rank < end ? share * rank : end;
    part.count = (share < end - part.first ? share : end - part.first);
    part.vocabulary = vocabulary;
    part.aligned = vocabulary % 4 == 0;
    part.masked = masked;
    part.exps = (float*)(memory + JOINING_BYTES);
    part.deltas = part.exps + share;
    for (int i = blockIdx.x / blocks; i < rows; i += clusters) {
        part.z = z + (size_t)i * vocabulary;
        part.delta = delta + (size_t)i * vocabulary;
        part.z_scale = inverse_temperature * scales[i];
        part.delta_scale = inverse_temperature * scales[rows + i];
        part.ahead = i + clusters < rows ? (size_t)clusters * vocabulary : 0;
        double loss = row<DIVERGENCE, Out>(part, beta, out_scale, memory);
        if (rank == 0 && threadIdx.x == 0)
            losses[i] = loss > 0.0 ? (float)loss : loss == loss ? 0.0f : (float)loss;
    }
    // No block may leave while another reads its shared memory.
    cluster_barrier();
}

#define LOSS_ROWS(name, divergence, Out, staged)                                               \
    KERNEL(ROW_THREADS, name, const float* z, float* delta, const float* scales,               \
        const unsigned char* masked, float* losses, int rows, int vocabulary,                  \
        float inverse_temperature, float beta, float out_scale) {                              \
        loss_rows<divergence, Out, staged>(z, delta, scales, masked, losses, rows, vocabulary, \
            inverse_temperature, beta, out_scale);                                             \
    }
#define LOSS_ROWS_OF(suffix, Out, staged)                          \
    LOSS_ROWS(loss_rows_forward_##suffix, FORWARD_KL, Out, staged) \
    LOSS_ROWS(loss_rows_reverse_##suffix, REVERSE_KL, Out, staged) \
    LOSS_ROWS(loss_rows_jsd_##suffix, JSD, Out, staged)
LOSS_ROWS_OF(f32_staged, float, true)
LOSS_ROWS_OF(bf16_staged, bf16, true)
LOSS_ROWS_OF(f16_staged, f16, true)
LOSS_ROWS_OF(f32_streamed, float, false)
LOSS_ROWS_OF(bf16_streamed, bf16, false)
LOSS_ROWS_OF(f16_streamed, f16, false)

// The largest of all.
struct Largest {
    float value, unused;
    DEVICE_MEMBER Largest(float value = 0.0f) : value(value), unused(0.0f) {}
    DEVICE_MEMBER void join(const Largest& other) { value = fmaxf(value, other.value); }
};

// The operands of the first product: the teacher's states, then the differences, [2 rows, width],
// in the type of the head. Differences are taken before anything is rounded. Where the type has a
// narrow range each row is brought near 1 by a power of two, whose inverse goes into `scales` [2
// rows]. One block a row of the result.
template <class In, class Out>
DEVICE void loss_operands(const In* teacher, const In* student, Out* operands, float* scales,
    int rows, int width, int scaled) {
    SHARED(memory);
    int row = blockIdx.x, block = row;
    bool difference = row >= rows;
    if (difference) row -= rows;
    const In *t = teacher + (size_t)row * width, *s = student + (size_t)row * width;
    Out* out = operands + (size_t)block * width;
    float scale = 1.0f;
    if (scaled) {
        Largest largest;
        for (int i = threadIdx.x; i < width; i += blockDim.x) {
            float x = difference ? widened(s[i]) - widened(t[i]) : widened(t[i]);
            largest.value = fmaxf(largest.value, fabsf(x));
        }
        float top = joined(largest, memory).value;
        // Between 2^-60 and 2^60, so that its inverse is a number too; zero and NaN stay as they
        // are.
        if (top > 0.0f && top < 3e38f)
            scale = exp2f(fminf(fmaxf(-floorf(log2f(top)), -60.0f), 60.0f));
    }
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float x = difference ? widened(s[i]) - widened(t[i]) : widened(t[i]);
        narrow(x * scale, out[i]);
    }
    if (threadIdx.x == 0) scales[block] = 1.0f / scale;
}

// gradient [rows, width] = product * weight * scale. In place where both are the same memory.
template <class Out>
DEVICE void loss_finish(
    const float* product, const float* weights, Out* gradient, int rows, int width, float scale) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < (size_t)rows * width;
        i += (size_t)gridDim.x * blockDim.x)
        narrow(product[i] * (weights[i / width] * scale), gradient[i]);
}

#define LOSS_OPERANDS(name, In, Out)                                                      \
    KERNEL(256, name, const In* teacher, const In* student, Out* operands, float* scales, \
        int rows, int width, int scaled) {                                                \
        loss_operands(teacher, student, operands, scales, rows, width, scaled);           \
    }
#define LOSS_FINISH(name, Out)                                                             \
    KERNEL(256, name, const float* product, const float* weights, Out* gradient, int rows, \
        int width, float scale) {                                                          \
        loss_finish(product, weights, gradient, rows, width, scale);                       \
    }
#define LOSS_TYPE(suffix, In)                              \
    LOSS_OPERANDS(loss_operands_##suffix##_f32, In, float) \
    LOSS_OPERANDS(loss_operands_##suffix##_bf16, In, bf16) \
    LOSS_OPERANDS(loss_operands_##suffix##_f16, In, f16)   \
    LOSS_FINISH(loss_finish_##suffix, In)
LOSS_TYPE(f32, float)
LOSS_TYPE(bf16, bf16)
LOSS_TYPE(f16, f16)
