//! Finite differences, for the tests of kernels.

use candle_core::{Device, Result, Tensor};
use rand::{RngExt as _, SeedableRng as _};

/// Numbers without a pattern, from −1 to 1, in f64.
pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let data: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Compares every gradient of `Σ f(inputs) · dy`, for a fixed random dy, with central
/// differences.
pub(crate) fn check(
    inputs: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
    backward: impl Fn(&[Tensor], &Tensor) -> Result<Vec<Tensor>>,
) {
    let dy = noise(f(inputs).unwrap().dims(), 99);
    let value = |inputs: &[Tensor]| -> f64 {
        (f(inputs).unwrap() * &dy).unwrap().sum_all().unwrap().to_scalar().unwrap()
    };
    let gradients = backward(inputs, &dy).unwrap();
    assert_eq!(gradients.len(), inputs.len());
    for (which, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.dims(), inputs[which].dims());
        let got: Vec<f64> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        let data: Vec<f64> = inputs[which].flatten_all().unwrap().to_vec1().unwrap();
        let scale = got.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
        for (i, got) in got.into_iter().enumerate() {
            let at = |by: f64| {
                let mut moved = data.clone();
                moved[i] += by;
                let mut inputs = inputs.to_vec();
                inputs[which] =
                    Tensor::from_vec(moved, inputs[which].shape(), &Device::Cpu).unwrap();
                value(&inputs)
            };
            let want = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (got - want).abs() <= 1e-6 * scale,
                "input {which}, element {i}: {got} against {want}"
            );
        }
    }
}
