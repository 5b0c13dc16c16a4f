//! Elementary functions that the compiler turns into vector code, and the loops around them.
//!
//! Only additions, multiplications, comparisons and bit operations, without fused multiply-add:
//! every processor, and the scalar tail of a vector loop, gives the same bits.

use candle_core::WithDType;

/// A floating point type of the processor's kernels: `f32` in use, `f64` where tests compare with
/// finite differences.
pub(crate) trait Real: WithDType + std::ops::Neg<Output = Self> {
    fn exp(self) -> Self;
    fn sqrt(self) -> Self;
    fn real(x: f64) -> Self;
    fn larger(self, other: Self) -> Self;

    /// The numbers themselves where they are `f32`, for which there are special kernels.
    fn f32s(_: &[Self]) -> Option<&[f32]> {
        None
    }

    /// The numbers themselves where they are `f32`.
    fn f32s_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Real for f32 {
    #[inline(always)]
    fn exp(self) -> Self {
        exp(self)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    fn real(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    fn f32s(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }

    fn f32s_mut(numbers: &mut [Self]) -> Option<&mut [f32]> {
        Some(numbers)
    }
}

impl Real for f64 {
    fn exp(self) -> Self {
        self.exp()
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }

    fn real(x: f64) -> Self {
        x
    }

    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

/// Runs a loop with the widest vector instructions that the processor has.
///
/// The closure must be marked `#[inline(always)]`, and so must what it calls: what is not inlined
/// is compiled without them.
#[inline]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Lanes of a sum: enough for two vectors of AVX-512, so that additions overlap.
const LANES: usize = 32;

/// Elements whose sum is kept in `f32` before it goes into an `f64`, which bounds the rounding of
/// long rows.
const BLOCK: usize = 1024;

/// `Σ f(a, b)` over two slices of one length.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [0f32; LANES];
        let (full_a, rest_a) = a.as_chunks::<LANES>();
        let (full_b, rest_b) = b.as_chunks::<LANES>();
        for (a, b) in full_a.iter().zip(full_b) {
            for i in 0..LANES {
                lanes[i] += f(a[i], b[i]);
            }
        }
        for (lane, (&a, &b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
            *lane += f(a, b);
        }
        total += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
    }
    total
}

/// `Σ a · b` over two slices of one length.
#[inline(always)]
pub(crate) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let ((full_a, rest_a), (full_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in full_a.iter().zip(full_b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane += a * b;
    }
    lanes.iter().fold(T::zero(), |sum, &x| sum + x)
}

/// The largest element; minus infinity of none.
#[inline(always)]
pub(crate) fn maximum<T: Real>(a: &[T]) -> T {
    let mut lanes = [T::real(f64::NEG_INFINITY); LANES];
    let (full, rest) = a.as_chunks::<LANES>();
    for a in full {
        for i in 0..LANES {
            lanes[i] = a[i].larger(lanes[i]);
        }
    }
    lanes.iter().chain(rest).fold(T::real(f64::NEG_INFINITY), |m, &x| x.larger(m))
}

/// Replaces a row of scores by `softmax(row)`, in place.
#[inline(always)]
pub(crate) fn softmax<T: Real>(row: &mut [T]) {
    let max = maximum(row);
    // Two loops: the first is vector code even for short rows, such as those of attention in
    // training.
    for x in row.iter_mut() {
        *x = (*x - max).exp();
    }
    let mut lanes = [T::real(0.0); LANES];
    let (full, rest) = row.as_chunks::<LANES>();
    for chunk in full {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    let sum = lanes.iter().chain(rest).fold(T::real(0.0), |s, &x| s + x);
    let scale = T::real(1.0) / sum;
    for x in row.iter_mut() {
        *x *= scale;
    }
}

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts: the first has so few bits that its product with a whole number below 2^9 is
/// exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding it rounds to a whole number, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `x = n ln 2 + r` with |r| ≤ ln 2 / 2.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32) {
    let rounded = x * LOG2_E + ROUND;
    let n = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let whole = rounded - ROUND;
    (n, (x - whole * LN2_HIGH) - whole * LN2_LOW)
}

/// `e^r - 1` for |r| ≤ ln 2 / 2: a minimax polynomial (Cephes, `expf`).
#[inline(always)]
fn expm1_reduced(r: f32) -> f32 {
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    p * r * r + r
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `e^x`, to 2 units in the last place. Zero below −104, infinite above 88.73.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Not `clamp`, so that a NaN stays one without a branch.
    let x = if x < -110.0 { -110.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let (n, r) = reduce(x);
    let half = n >> 1;
    (expm1_reduced(r) + 1.0) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `e^x − 1`, to 2 units in the last place, for x ≤ 88.
#[inline(always)]
pub(crate) fn expm1(x: f32) -> f32 {
    let x = if x < -40.0 { -40.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let (n, r) = reduce(x);
    let scale = power_of_two(n);
    scale * expm1_reduced(r) + (scale - 1.0)
}

/// `φ(u) = e^u − 1 − u ≥ 0`, by its series where the difference would lose precision.
#[inline(always)]
pub(crate) fn phi(u: f32) -> f32 {
    let s = 1.0 / 40320.0;
    let s = s * u + 1.0 / 5040.0;
    let s = s * u + 1.0 / 720.0;
    let s = s * u + 1.0 / 120.0;
    let s = s * u + 1.0 / 24.0;
    let s = s * u + 1.0 / 6.0;
    let s = s * u + 0.5;
    let series = s * u * u;
    let difference = expm1(u) - u;
    if u.abs() < 0.5 { series } else { difference }
}

/// `ψ(x) = x e^x − (e^x − 1) ≥ 0`, by its series where the difference would lose precision.
#[inline(always)]
pub(crate) fn psi(x: f32) -> f32 {
    let s = 1.0 / 5760.0;
    let s = s * x + 1.0 / 840.0;
    let s = s * x + 1.0 / 144.0;
    let s = s * x + 1.0 / 30.0;
    let s = s * x + 1.0 / 8.0;
    let s = s * x + 1.0 / 3.0;
    let s = s * x + 0.5;
    let series = s * x * x;
    let e = expm1(x);
    let difference = x * (e + 1.0) - e;
    if x.abs() < 0.5 { series } else { difference }
}

/// `ln(1 + t)`, for t > −1, to 3 units in the last place.
#[inline(always)]
pub(crate) fn log1p(t: f32) -> f32 {
    // 1 + t = m 2^n with √½ ≤ m < √2. Where n is 0, m − 1 is t itself, which the sum has rounded.
    let sum = 1.0 + t;
    let bits = sum.to_bits().wrapping_sub(0x3f35_04f3) as i32;
    let n = bits >> 23;
    let m = f32::from_bits(((bits & 0x007f_ffff) + 0x3f35_04f3) as u32);
    let f = if n == 0 { t } else { m - 1.0 };
    // ln(1 + f) = 2 artanh(s) with s = f / (2 + f); the lost digits of the sum are put back to
    // first order.
    let lost = if n == 0 { 0.0 } else { (t - (sum - 1.0)) / sum };
    let s = f / (2.0 + f);
    let z = s * s;
    let p = 2.0 / 11.0;
    let p = p * z + 2.0 / 9.0;
    let p = p * z + 2.0 / 7.0;
    let p = p * z + 2.0 / 5.0;
    let p = p * z + 2.0 / 3.0;
    let n = n as f32;
    let series = s * z * p + 2.0 * s;
    n * LN2_HIGH + (series + (n * LN2_LOW + lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance of `got` from `want` in units in the last place of `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        let rounded = want as f32;
        let unit =
            f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(got) - want).abs() / unit
    }

    fn sweep(from: f32, to: f32, f: impl Fn(f32) -> f32, reference: impl Fn(f64) -> f64) -> f64 {
        const STEPS: usize = 400_000;
        let worst = |x: f32| ulps(f(x), reference(f64::from(x)));
        (0..=STEPS)
            .map(|i| worst(from + (to - from) * (i as f32 / STEPS as f32)))
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_as_exact_as_they_say() {
        assert!(sweep(-87.0, 88.7, exp, f64::exp) <= 2.0);
        assert!(sweep(-40.0, 88.0, expm1, f64::exp_m1) <= 2.0);
        assert!(sweep(-1e-3, 1e-3, expm1, f64::exp_m1) <= 2.0);
        assert!(sweep(-0.999, 3.0, log1p, f64::ln_1p) <= 3.0);
        assert!(sweep(-1e-3, 1e-3, log1p, f64::ln_1p) <= 3.0);
        assert!(sweep(3.0, 1e9, log1p, f64::ln_1p) <= 3.0);
    }

    #[test]
    fn extremes_are_what_they_should_be() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(200.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-100.0) > 0.0, "subnormal results are kept");
        assert_eq!(expm1(0.0), 0.0);
        assert_eq!(expm1(-1e30), -1.0);
        assert_eq!((phi(0.0), psi(0.0), log1p(0.0)), (0.0, 0.0, 0.0));
    }

    #[test]
    fn differences_keep_their_digits_near_zero_and_are_never_negative() {
        let reference_phi = |u: f64| {
            if u.abs() < 1e-2 {
                u * u / 2.0 + u.powi(3) / 6.0 + u.powi(4) / 24.0
            } else {
                u.exp_m1() - u
            }
        };
        let reference_psi = |x: f64| {
            if x.abs() < 1e-2 {
                x * x / 2.0 + x.powi(3) / 3.0 + x.powi(4) / 8.0
            } else {
                x * x.exp() - x.exp_m1()
            }
        };
        for i in -40_000..=40_000 {
            let x = i as f32 * 1e-3;
            for (got, want) in
                [(phi(x), reference_phi(x.into())), (psi(x), reference_psi(x.into()))]
            {
                assert!(got >= 0.0, "{x}: {got}");
                assert!((f64::from(got) - want).abs() <= 2e-6 * want, "{x}: {got} {want}");
            }
            let tiny = x * 1e-4;
            assert!(
                (f64::from(phi(tiny)) - reference_phi(tiny.into())).abs()
                    <= 1e-6 * reference_phi(tiny.into())
            );
        }
    }

    #[test]
    fn sums_and_softmax_of_any_length() {
        for n in [0, 1, 31, 32, 33, 1024, 1025, 5000] {
            let a: Vec<f32> = (0..n).map(|i| (i % 17) as f32 - 8.0).collect();
            let want: f64 = a.iter().map(|&x| f64::from(x * x)).sum();
            assert_eq!(vectorised(|| sum2(&a, &a, |x, y| x * y)), want);
            assert_eq!(maximum(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut p = a.clone();
            vectorised(|| softmax(&mut p));
            let sum: f64 = p.iter().map(|&x| f64::from(x)).sum();
            assert!(n == 0 || (sum - 1.0).abs() < 1e-5, "{n}: {sum}");
        }
    }
}
