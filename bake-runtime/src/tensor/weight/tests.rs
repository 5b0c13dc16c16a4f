//! Weights of every type against the same numbers in f32 and in f64.

use candle_core::quantized::QTensor;

use super::*;
use crate::tensor::gradient_check::noise;

const TYPES: [GgmlDType; 8] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

fn floats(shape: &[usize], seed: u64) -> Tensor {
    noise(shape, seed).to_dtype(DType::F32).unwrap()
}

fn quantised(dtype: GgmlDType, dims: [usize; 2], seed: u64) -> (Weight, QTensor) {
    let blocks = QTensor::quantize(&floats(&dims, seed), dtype).unwrap();
    (Weight::quantised(dtype, &blocks.data().unwrap(), dims).unwrap(), blocks)
}

/// A weight of every type but f32.
pub(crate) fn narrow_weights(dims: [usize; 2], seed: u64) -> Vec<Weight> {
    let halves = [DType::BF16, DType::F16];
    let halves = halves.map(|dtype| floats(&dims, seed).to_dtype(dtype).unwrap());
    let halves = halves.map(|matrix| Weight::new(matrix).unwrap());
    halves.into_iter().chain(TYPES.map(|dtype| quantised(dtype, dims, seed).0)).collect()
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn blocks_are_widened_to_candles_bits() {
    for dtype in TYPES {
        let (weight, blocks) = quantised(dtype, [5, 512], 1);
        let want = blocks.dequantize(&Device::Cpu).unwrap();
        assert_eq!(numbers(&weight.wide().unwrap()), numbers(&want), "{dtype:?}");
        let ids = [4, 0, 4];
        let rows = want.index_select(&Tensor::new(&ids, &Device::Cpu).unwrap(), 0).unwrap();
        assert_eq!(numbers(&weight.gather(&ids).unwrap()), numbers(&rows), "{dtype:?}");
        assert_eq!(weight.bytes(), blocks.storage_size_in_bytes());
        assert!(weight.gather(&[5]).is_err());
    }
}

#[test]
fn sixteen_bits_are_widened_exactly() {
    fn check<T: candle_core::WithDType + Into<f32>>(of_bits: fn(u16) -> T) {
        let narrow: Vec<T> = (0..=u16::MAX).map(of_bits).collect();
        let matrix = Tensor::from_slice(&narrow, (256, 256), &Device::Cpu).unwrap();
        let mut wide = vec![0f32; 1 << 16];
        let weight = Weight::new(matrix).unwrap();
        weight.with_narrow(|rows| widen_all(rows, 0..256, &mut wide)).unwrap();
        for (x, of) in wide.into_iter().zip(narrow) {
            let of: f32 = of.into();
            assert!(x.to_bits() == of.to_bits() || x.is_nan() && of.is_nan(), "{x} {of}");
        }
    }
    check(half::bf16::from_bits);
    check(half::f16::from_bits);
}

/// The products of `x` `[rows, inputs]` and the transpose of `w` `[outputs, inputs]`: `[rows,
/// outputs]`. In f64, and not by candle, whose products in f64 are not optimised for tests.
fn products(x: &[f32], w: &[f32], inputs: usize) -> Vec<f64> {
    let mut all = Vec::new();
    for x in x.chunks(inputs) {
        all.extend(w.chunks(inputs).map(|w| {
            let products = x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w));
            products.sum::<f64>()
        }));
    }
    all
}

/// The products of `dy` `[rows, outputs]` and `w` `[outputs, inputs]`: `[rows, inputs]`, in f64.
fn back_products(dy: &[f32], w: &[f32], outputs: usize) -> Vec<f64> {
    let inputs = w.len() / outputs;
    let mut all = Vec::new();
    for dy in dy.chunks(outputs) {
        let mut sums = vec![0.0; inputs];
        for (&dy, w) in dy.iter().zip(w.chunks(inputs)) {
            sums.iter_mut().zip(w).for_each(|(sum, &w)| *sum += f64::from(dy) * f64::from(w));
        }
        all.extend(sums);
    }
    all
}

/// The products, after what was there before if they are added to it.
fn added(products: &[f64], before: Option<&[f32]>) -> Vec<f64> {
    let before = |i: usize| before.map_or(0.0, |before| f64::from(before[i]));
    products.iter().enumerate().map(|(i, product)| product + before(i)).collect()
}

fn near(got: &[f32], want: &[f64], what: &str) {
    let largest = want.iter().fold(1e-3, |m: f64, x| m.max(x.abs()));
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() <= 1e-5 * largest, "{what}: {got} {want}");
    }
}

#[test]
fn products_are_those_of_the_widened_numbers() {
    // The last has more rows than are widened together.
    for (outputs, inputs, counts) in [(7, 256, [0, 1, 3, 40]), (300, 8192, [1, 2, 17, 20])] {
        for weight in narrow_weights([outputs, inputs], 1) {
            let wide = weight.wide().unwrap();
            let what = format!("{weight:?}");
            let exact = Weight::new(wide.clone()).unwrap();
            let wide = numbers(&wide);
            for rows in counts {
                let (x, dy) = (floats(&[rows, inputs], 2), floats(&[rows, outputs], 3));
                let (x, dy) = (numbers(&x), numbers(&dy));
                let forward = products(&x, &wide, inputs);
                let backward = back_products(&dy, &wide, outputs);
                for add in [false, true] {
                    let run = |weight: &Weight, sums| {
                        let (mut out, x) = (dy.clone(), Matrix::new(&x, rows, inputs));
                        weight.forward(sums, &mut out, add, x).unwrap();
                        out
                    };
                    let want = added(&forward, add.then_some(&dy));
                    near(&run(&weight, Sums::Fastest), &want, &what);
                    let by_row = run(&weight, Sums::RowByRow);
                    assert_eq!(by_row, run(&exact, Sums::RowByRow), "{what}");
                    let mut out = x.clone();
                    weight.backward(&mut out, add, Matrix::new(&dy, rows, outputs)).unwrap();
                    near(&out, &added(&backward, add.then_some(&x)), &what);
                }
            }
        }
    }
}

#[test]
fn tensors_that_are_not_weights_are_refused() {
    let error = |weight: Result<Weight>| weight.unwrap_err().to_string();
    assert!(
        error(Weight::new(Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap())).contains("rank")
    );
    let bytes = Tensor::zeros((2, 2), DType::U8, &Device::Cpu).unwrap();
    assert!(error(Weight::new(bytes)).contains("not in U8"));
    for (dtype, bytes, dims) in [
        (GgmlDType::Q4_0, 18, [1, 31]),
        (GgmlDType::Q4_0, 17, [1, 32]),
        (GgmlDType::Q4_0, 36, [1, 32]),
        (GgmlDType::Q2K, 84, [1, 256]),
        (GgmlDType::Q8K, 292, [1, 256]),
    ] {
        let refused = error(Weight::quantised(dtype, &vec![0; bytes], dims));
        assert!(refused.contains(&format!("{dtype:?}")), "{refused}");
    }
    let (weight, _) = quantised(GgmlDType::Q4_0, [2, 32], 1);
    assert!(weight.plain().unwrap_err().to_string().contains("processor only"));
}

#[test]
fn what_a_weight_says_of_itself() {
    let (blocks, _) = quantised(GgmlDType::Q4_0, [4, 64], 1);
    let plain = Weight::new(floats(&[4, 64], 1)).unwrap();
    let half = Weight::new(floats(&[4, 64], 1).to_dtype(DType::BF16).unwrap()).unwrap();
    assert_eq!([&blocks, &plain, &half].map(Weight::bytes), [4 * 36, 1024, 512]);
    assert_eq!([&blocks, &plain, &half].map(Weight::is_f32), [false, true, false]);
    assert!(blocks.is(&blocks.clone()) && plain.is(&plain.clone()));
    assert!(!blocks.is(&plain) && !plain.is(&half));
    assert!(!plain.is(&Weight::new(floats(&[4, 64], 1)).unwrap()));
    for precision in [Precision::fastest(), Precision::f32()] {
        assert!(precision.for_size(16 << 20).widens());
        assert!(!precision.for_size((16 << 20) + 1).widens());
        assert!(Precision { form: Some(Form::Wide), ..precision }.for_size(1 << 40).widens());
    }
    let of = |weight: Weight| weight.multiplied_by(Some(Bf16Unit::Emulated)).unit();
    assert_eq!([half, blocks].map(of), [Some(Bf16Unit::Emulated); 2]);
    let half = Weight::new(floats(&[4, 64], 1).to_dtype(DType::F16).unwrap()).unwrap();
    assert_eq!([half, plain].map(of), [None; 2]);
}

#[test]
fn products_in_bf16_are_near_those_in_f32() {
    let dims = [70, 512];
    for weight in narrow_weights(dims, 1) {
        let in_bf16 = weight.clone().multiplied_by(Some(Bf16Unit::Emulated));
        let Some(_) = in_bf16.unit() else { continue };
        let wide = numbers(&weight.wide().unwrap());
        for rows in [1, 20] {
            let (x, dy) = (numbers(&floats(&[rows, 512], 2)), numbers(&floats(&[rows, 70], 3)));
            let mut forward = vec![f32::NAN; rows * 70];
            let x_rows = Matrix::new(&x, rows, 512);
            in_bf16.forward(Sums::RowByRow, &mut forward, false, x_rows).unwrap();
            let mut by_any_sums = vec![f32::NAN; rows * 70];
            in_bf16.forward(Sums::Fastest, &mut by_any_sums, false, x_rows).unwrap();
            assert_eq!(forward, by_any_sums);
            let mut backward = vec![f32::NAN; rows * 512];
            in_bf16.backward(&mut backward, false, Matrix::new(&dy, rows, 70)).unwrap();
            for (got, want) in
                [(forward, products(&x, &wide, 512)), (backward, back_products(&dy, &wide, 70))]
            {
                let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                for (got, want) in got.iter().zip(want) {
                    assert!((f64::from(*got) - want).abs() < 1e-2 * largest, "{weight:?}");
                    assert_ne!(f64::from(*got), want);
                }
            }
        }
    }
}
