// All kernels, and how they are found by name.
#include "all.cu"
#include "checks.cu"

static Registration* registrations = nullptr;

Registration::Registration(const char* name, void (*call)(void**))
    : name(name), call(call), next(registrations) {
    registrations = this;
}

thread_local Thread* emulator_thread = nullptr;

static inline float widened(f16 x) {
    unsigned sign = (x.bits & 0x8000u) << 16, exponent = x.bits >> 10 & 31,
             fraction = x.bits & 1023;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * ldexpf((float)fraction, -24);
    return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

// Rounds to the nearest even number, as the hardware does.
static inline void narrow(float x, bf16& y) {
    unsigned bits = __float_as_uint(x);
    y.bits = x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline void narrow(float x, f16& y) {
    unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u;
    float size = fabsf(x);
    if (x != x) {
        y.bits = 0x7fff;
    } else if (size >= 65520.0f) {
        y.bits = sign | 0x7c00;
    } else if (size < 6.103515625e-5f) {
        y.bits = sign | (unsigned)rintf(ldexpf(size, 24));
    } else {
        bits &= 0x7fffffffu;
        y.bits = sign | (((bits + 0xfff + (bits >> 13 & 1)) >> 13) - (112 << 10));
    }
}

extern "C" {
void (*emulator_find(const char* name))(void**) {
    for (Registration* r = registrations; r; r = r->next)
        if (strcmp(r->name, name) == 0) return r->call;
    return nullptr;
}

void emulator_enter(Thread* thread) { emulator_thread = thread; }
}
