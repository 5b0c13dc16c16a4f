//! One row of the loss: a token's teacher logits and logit differences in, its divergence and
//! gradient out.
//!
//! Let `a = Σ p Δ/T` and `u = Δ/T − a`. With `φ(u) = e^u − 1 − u` and `ψ(x) = x e^x − (e^x − 1)`:
//!
//! - `KL(p ‖ q) = ln(1 + Σ p φ(u))`: a sum of terms that are never negative, in which a shift
//!   common to all logits cancels. Where rounding `a` leaves `r = Σ p u`, it is
//!   `ln(1 + Σ p φ(u) + r) − r`.
//! - `x = u − KL(p ‖ q) − r` is `ln q − ln p`, so `q = p e^x`.
//! - `KL(q ‖ p) = Σ p ψ(x)`.
//! - For `m = β p + (1 − β) q`: `ℓ = ln(m / p) = ln(1 + (1 − β)(e^x − 1))`,
//!   `y = x − ℓ = ln(q / m)`, and the Jensen-Shannon divergence is
//!   `β Σ p φ(ℓ) + (1 − β) Σ m ψ(y)`.
//!
//! Derivatives with respect to the student's logits:
//! `p (e^x − 1) / T`, `q (x − KL) / T` and `(1 − β) q (y − Σ q y) / T`.

use crate::distill::Divergence;
use crate::tensor::elementary::{exp, expm1, log1p, maximum, phi, psi, sum2};

/// Where a `u` is larger, `e^u` would leave the range of f32. Distributions so far apart are
/// compared by their logarithms.
const FAR: f32 = 40.0;

/// Replaces `delta` by the gradient of `weight · divergence` with respect to the student's logits,
/// and returns the divergence.
///
/// `z` are the teacher's logits, −∞ in masked columns; `e` is scratch of the same length.
#[inline(always)]
pub(super) fn row(
    divergence: Divergence,
    z: &[f32],
    delta: &mut [f32],
    e: &mut [f32],
    temperature: f32,
    weight: f32,
) -> f32 {
    let inverse = 1.0 / temperature;
    let max = maximum(z);
    for (e, &z) in e.iter_mut().zip(z) {
        *e = exp((z - max) * inverse);
    }
    let sum = sum2(
        e,
        e,
        #[inline(always)]
        |e, _| e,
    );
    // Differences are averaged around that of the likeliest token, so that no precision is lost
    // where the teacher is sure of it.
    let middle = z.iter().position(|&z| z == max).map_or(0.0, |likeliest| delta[likeliest]);
    let along = sum2(
        e,
        delta,
        #[inline(always)]
        |e, d| e * (d - middle),
    );
    let exact_mean = (f64::from(middle) + along / sum) * f64::from(inverse);
    let mean = exact_mean as f32;
    // What rounding has left over: Σ p u, which would otherwise be zero.
    let rest = exact_mean - f64::from(mean);
    if maximum(delta) * inverse - mean > FAR {
        return far_row(divergence, z, delta, f64::from(temperature), f64::from(weight));
    }
    for d in delta.iter_mut() {
        *d = *d * inverse - mean;
    }
    let near = sum2(
        e,
        delta,
        #[inline(always)]
        |e, u| e * phi(u),
    );
    let log_ratio = (near / sum + rest).ln_1p();
    let forward = not_negative(log_ratio - rest);
    let shift = log_ratio as f32;
    let (share, scale) = ((1.0 / sum) as f32, weight * inverse);
    match divergence {
        Divergence::ReverseKl => {
            for u in delta.iter_mut() {
                *u -= shift;
            }
            let reverse = sum2(
                e,
                delta,
                #[inline(always)]
                |e, x| e * psi(x),
            );
            let reverse = (reverse / sum) as f32;
            for (x, &e) in delta.iter_mut().zip(&*e) {
                *x = scale * (share * e) * exp(*x) * (*x - reverse);
            }
            reverse
        }
        Divergence::Jsd(beta) => {
            let (beta, other) = (beta as f32, (1.0 - beta) as f32);
            for u in delta.iter_mut() {
                *u -= shift;
            }
            let loss = sum2(
                e,
                delta,
                #[inline(always)]
                |e, x| {
                    let l = log_ratio_of(x, other);
                    e * (beta * phi(l) + other * (1.0 + other * expm1(x)) * psi(x - l))
                },
            );
            let along = sum2(
                e,
                delta,
                #[inline(always)]
                |e, x| e * exp(x) * (x - log_ratio_of(x, other)),
            );
            let along = (along / sum) as f32;
            for (x, &e) in delta.iter_mut().zip(&*e) {
                *x = scale * other * (share * e) * exp(*x) * (*x - log_ratio_of(*x, other) - along);
            }
            (loss / sum) as f32
        }
        _ => {
            for (u, &e) in delta.iter_mut().zip(&*e) {
                *u = scale * (share * e) * expm1(*u - shift);
            }
            forward
        }
    }
}

/// ln(m / p) for ln(q / p) = x, where m contains `other` of q.
#[inline(always)]
fn log_ratio_of(x: f32, other: f32) -> f32 {
    log1p(other * expm1(x))
}

/// The same by logarithms in f64, for distributions so far apart that nothing cancels.
#[cold]
#[inline(never)]
fn far_row(
    divergence: Divergence,
    z: &[f32],
    delta: &mut [f32],
    temperature: f64,
    weight: f64,
) -> f32 {
    let teacher = |z: f32| f64::from(z) / temperature;
    let student = |z: f32, d: f32| (f64::from(z) + f64::from(d)) / temperature;
    let log_sum = |values: &dyn Fn(usize) -> f64| {
        let max = (0..z.len()).map(values).fold(f64::NEG_INFINITY, f64::max);
        max + (0..z.len()).map(|i| (values(i) - max).exp()).sum::<f64>().ln()
    };
    let (teacher_sum, student_sum) =
        (log_sum(&|i| teacher(z[i])), log_sum(&|i| student(z[i], delta[i])));
    let logs: Vec<(f64, f64)> = z
        .iter()
        .zip(&*delta)
        .map(|(&z, &d)| (teacher(z) - teacher_sum, student(z, d) - student_sum))
        .collect();
    let words = || logs.iter().copied().filter(|&(p, _)| p > f64::NEG_INFINITY);
    let scale = weight / temperature;
    let (loss, gradient): (f64, Box<dyn Fn(f64, f64) -> f64>) = match divergence {
        Divergence::ReverseKl => {
            let reverse: f64 = words().map(|(p, q)| q.exp() * (q - p)).sum();
            (reverse, Box::new(move |p, q| q.exp() * (q - p - reverse)))
        }
        Divergence::Jsd(beta) => {
            let mixed = move |p: f64, q: f64| {
                let (p, q) = (p + beta.ln(), q + (1.0 - beta).ln());
                p.max(q) + (-(p - q).abs()).exp().ln_1p()
            };
            let along: f64 = words().map(|(p, q)| q.exp() * (q - mixed(p, q))).sum();
            let loss = words().map(|(p, q)| beta * p.exp() * (p - mixed(p, q))).sum::<f64>()
                + (1.0 - beta) * along;
            (loss, Box::new(move |p, q| (1.0 - beta) * q.exp() * (q - mixed(p, q) - along)))
        }
        _ => (words().map(|(p, q)| p.exp() * (p - q)).sum(), Box::new(|p, q| q.exp() - p.exp())),
    };
    for (d, &(p, q)) in delta.iter_mut().zip(&logs) {
        *d = if p > f64::NEG_INFINITY { (scale * gradient(p, q)) as f32 } else { 0.0 };
    }
    not_negative(loss)
}

/// What rounding has made negative becomes 0; NaN stays NaN, unlike with `max`.
fn not_negative(x: f64) -> f32 {
    if x < 0.0 { 0.0 } else { x as f32 }
}
