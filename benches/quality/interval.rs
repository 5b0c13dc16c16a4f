//! How sure a share is.

/// The interval in which the share of successes lies with a probability of 95 %, by Wilson's score
/// (doi:10.1080/01621459.1927.10502953): with p = k / n and z = 1.96,
///
/// (p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n)
///
/// Of no trials nothing is known.
pub(crate) fn wilson(right: usize, of: usize) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let p = right as f64 / n;
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let around = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - around) / scale).max(0.0), ((middle + around) / scale).min(1.0))
}
