//! The loss against its definition in f64, on the processor, on the emulated GPU, and on a GPU
//! where there is one.

mod reference;

use std::path::Path;

use candle_core::Device;
use serde_json::Value;

use super::*;
use crate::device::gpu::testing::{everywhere, on_gpus};
use crate::tensor::matrix::bf16::Bf16Unit;
use crate::tensor::weight::tests::narrow_weights;
use reference::{Case, DIVERGENCES, error, numbers, reference};

#[test]
fn the_reference_implementations_values() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/loss");
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("distill.json")).unwrap()).unwrap();
    let tensors =
        candle_core::safetensors::load(dir.join("distill.safetensors"), &Device::Cpu).unwrap();
    let numbers = |name: &Value| {
        tensors[name.as_str().unwrap()].flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let mut compared = 0;
    for case in json["cases"].as_array().unwrap() {
        let input = |name: &str| tensors[case["inputs"][name].as_str().unwrap()].clone();
        let inputs = Case {
            teacher: input("h_t"),
            student: input("h_s"),
            head: input("W"),
            weights: input("w"),
            masked: None,
        };
        let losses = case["losses"].as_object().unwrap();
        compared += 2 * losses.len();
        everywhere(|device| {
            for (name, expected) in losses {
                let divergence = match name.as_str() {
                    "forward_kl" => Divergence::ForwardKl,
                    "reverse_kl" => Divergence::ReverseKl,
                    _ => Divergence::Jsd(name.strip_prefix("jsd_").unwrap().parse().unwrap()),
                };
                let got =
                    inputs.to(DType::F32, device).run(divergence, case["T"].as_f64().unwrap());
                for (part, got) in [("loss", got.0), ("grad", got.1)] {
                    let error = error(&got, &numbers(&expected["outputs"][part]));
                    // The error may be no larger than that of a plain f32 implementation.
                    let tolerance =
                        expected["plain_float32_error"][part].as_f64().unwrap().max(1e-5);
                    assert!(
                        error <= tolerance,
                        "{} {name} {part}: {error} above {tolerance}",
                        case["case"]
                    );
                }
            }
        });
    }
    assert!(compared >= 100, "only {compared} comparisons");
}

#[test]
fn any_size() {
    for (tokens, hidden, vocabulary) in
        [(1, 1, 1), (1, 8, 2), (3, 5, 7), (17, 16, 101), (5, 24, 4099)]
    {
        Case::random(tokens, hidden, vocabulary, 1.0, 1.0)
            .check(2e-5, &format!("{tokens} {hidden} {vocabulary}"));
    }
    // The length of a row decides which kernel runs, so one long row with each is enough.
    let options = DIVERGENCES.map(|divergence| (divergence, 1.0)).to_vec();
    let what = "2 3 152063";
    Case::random(2, 3, 152_063, 1.0, 1.0).check_with(options, DType::F32, 2e-5, what);
}

#[test]
fn states_in_sixteen_bits() {
    for (dtype, tolerance) in [(DType::BF16, 1e-2), (DType::F16, 2e-3)] {
        for (tokens, hidden, vocabulary) in [(1, 1, 1), (9, 16, 101), (3, 24, 4099)] {
            Case::random(tokens, hidden, vocabulary, 1.0, 1.0).check_in(
                dtype,
                tolerance,
                &format!("{tokens} {hidden} {vocabulary}"),
            );
        }
        Case::random(6, 8, 300, 20.0, 20.0).check_in(dtype, 4.0 * tolerance, "logits of ±160");
        Case::random(6, 32, 500, 1.0, 0.05).check_in(dtype, tolerance, "near");
    }
}

#[test]
fn gradients_that_sixteen_bits_cannot_hold_are_cut() {
    let case = Case::random(4, 8, 300, 400.0, 400.0);
    everywhere(|device| {
        for divergence in DIVERGENCES {
            let (loss, gradient) = case.to(DType::F16, device).run(divergence, 1.0);
            assert!(loss.iter().chain(&gradient).all(|x| x.is_finite()), "{divergence:?}");
        }
    });
}

#[test]
fn the_loss_under_a_head_of_any_type_is_that_under_the_widened_numbers() {
    let case = Case::random(9, 256, 300, 1.0, 0.1);
    for head in narrow_weights([300, 256], 3) {
        let Case { teacher, student, weights, .. } = &case;
        let states = Compared { teacher, student, head: &head, weights, masked: None };
        let got = compare(states, Options::default()).unwrap();
        let wide = head.wide().unwrap();
        let states = States { head: &wide, ..case.states() };
        let want = reference(states, Divergence::ForwardKl, 1.0);
        assert!(error(&numbers(&got.per_token), &want.0) < 1e-4, "{head:?}");
        assert!(error(&numbers(&got.gradient), &want.1) < 1e-4, "{head:?}");
    }
}

#[test]
fn the_loss_by_products_in_bf16_keeps_its_digits_near_zero() {
    for noise in [0.0, 1e-5, 1e-3, 0.1] {
        let case = Case::random(9, 256, 300, 0.3, noise);
        for head in narrow_weights([300, 256], 3) {
            let head = head.multiplied_by(Some(Bf16Unit::Emulated));
            if head.unit().is_none() {
                continue;
            }
            let Case { teacher, student, weights, .. } = &case;
            let states = Compared { teacher, student, head: &head, weights, masked: None };
            let got = compare(states, Options::default()).unwrap();
            let got = [numbers(&got.per_token), numbers(&got.gradient)];
            if noise == 0.0 {
                assert!(got.concat().iter().all(|&x| x == 0.0));
                continue;
            }
            let wide = head.wide().unwrap();
            let states = States { head: &wide, ..case.states() };
            let want = reference(states, Divergence::ForwardKl, 1.0);
            // The teacher's logits are rounded, which moves its distribution a little.
            assert!(error(&got[0], &want.0) < 2e-2, "{head:?} {noise}");
            assert!(error(&got[1], &want.1) < 2e-2, "{head:?} {noise}");
        }
    }
}

#[test]
fn states_in_f32_under_a_head_in_sixteen_bits() {
    // The differences are far below the precision of states in 16 bits, so they must be taken
    // before rounding.
    let mut case = Case::random(6, 32, 500, 1.0, 1e-4);
    for (dtype, tolerance) in [(DType::BF16, 2e-2), (DType::F16, 4e-3)] {
        let head = case.head.to_dtype(dtype).unwrap();
        case.head = head.to_dtype(DType::F32).unwrap();
        let want = reference(case.states(), Divergence::ForwardKl, 1.0);
        everywhere(|device| {
            let here =
                Case { head: head.to_device(device).unwrap(), ..case.to(DType::F32, device) };
            let got = here.run(Divergence::ForwardKl, 1.0);
            assert!(
                error(&got.0, &want.0) <= tolerance,
                "{dtype:?} loss: {}",
                error(&got.0, &want.0)
            );
            assert!(
                error(&got.1, &want.1) <= tolerance,
                "{dtype:?} gradient: {}",
                error(&got.1, &want.1)
            );
        });
    }
}

#[test]
fn states_that_are_close_keep_their_digits() {
    Case::random(6, 32, 500, 1.0, 1e-3).check(1e-4, "1e-3 apart");
    Case::random(6, 32, 500, 1.0, 1e-5)
        .check(1e-2, "1e-5 apart: the states themselves have two digits of difference");
}

#[test]
fn a_teacher_who_is_sure_keeps_the_digits_of_a_small_loss() {
    // The likeliest word has all but 1e-3 to 1e-8 of the probability, and its logit moves by 30:
    // what it moves by must not be rounded.
    let head = Tensor::from_vec(
        (0..200)
            .flat_map(|i| [if i == 7 { 1f32 } else { 0.0 }, 1.0, (i % 13) as f32 / 13.0])
            .collect(),
        (200, 3),
        &Device::Cpu,
    );
    let rows = |values: [f32; 3]| Tensor::new(&[values], &Device::Cpu).unwrap();
    let (teacher, student) = (rows([12.0, 0.0, 1.0]), rows([12.0, 30.0, 1.5]));
    let weights = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    Case { teacher, student, head: head.unwrap(), weights, masked: None }
        .check(1e-3, "a sure teacher");
}

#[test]
fn logits_that_are_large_or_shifted() {
    Case::random(6, 8, 300, 20.0, 20.0).check(2e-4, "logits of ±160");
    for shift in [20.0, -20.0, 100.0, -100.0] {
        // A column of ones in the head shifts all logits alike. Both a multiple of four and not:
        // the padding of the last group is not a token, and is not shifted.
        let case = Case::random(4, 8, if shift > 50.0 { 300 } else { 301 }, 1.0, 1.0);
        let wider = |t: &Tensor, value: f32| {
            let column = Tensor::full(value, (t.dim(0).unwrap(), 1), &Device::Cpu).unwrap();
            Tensor::cat(&[t, &column], 1).unwrap()
        };
        let (teacher, student, head) =
            (wider(&case.teacher, 0.0), wider(&case.student, shift), wider(&case.head, 1.0));
        Case { teacher, student, head, ..case }.check(2e-4, &format!("shifted by {shift}"));
    }
}

#[test]
fn one_token_certain_of_another_word() {
    // Teacher and student are each certain of one token, but not of the same: ±80.
    let teacher = Tensor::new(&[[80f32, -80.0, -80.0]], &Device::Cpu).unwrap();
    let student = Tensor::new(&[[-80f32, 80.0, -80.0]], &Device::Cpu).unwrap();
    let head = Tensor::eye(3, DType::F32, &Device::Cpu).unwrap();
    let weights = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    Case { teacher, student, head, weights, masked: None }.check(1e-5, "±80");
}

#[test]
fn masked_rows_of_the_head_get_no_probability() {
    for (spread, noise) in [(1.0, 1.0), (20.0, 20.0)] {
        let mut case = Case::random(5, 8, 301, spread, noise);
        let masked: Vec<u8> =
            (0..301).map(|i| u8::from(i == 0 || i % 7 == 3 || i >= 290)).collect();
        case.masked = Some(Tensor::new(masked, &Device::Cpu).unwrap());
        case.check(2e-4, &format!("masked, {spread}"));
    }
    // The contents of such a row do not matter, and shifting all logits makes no distance.
    let mut case = Case::random(4, 3, 64, 1.0, 1.0);
    case.masked = Some(
        Tensor::new((0..64).map(|i| u8::from(i >= 60)).collect::<Vec<u8>>(), &Device::Cpu).unwrap(),
    );
    let want = reference(case.states(), Divergence::ForwardKl, 1.0);
    let huge = Tensor::full(1e4f32, (4, 3), &Device::Cpu).unwrap();
    case.head = Tensor::cat(&[&case.head.narrow(0, 0, 60).unwrap(), &huge], 0).unwrap();
    everywhere(|device| {
        let got = case.to(DType::F32, device).run(Divergence::ForwardKl, 1.0);
        assert!(error(&got.0, &want.0) < 1e-5 && error(&got.1, &want.1) < 1e-5);
    });
}

#[test]
fn tensors_of_any_strides() {
    let case = Case::random(7, 8, 50, 1.0, 1.0);
    everywhere(|device| {
        let here = case.to(DType::F32, device);
        let turned = |t: &Tensor| t.t().unwrap().contiguous().unwrap().t().unwrap();
        let other = Case {
            teacher: turned(&here.teacher),
            student: turned(&here.student),
            head: turned(&here.head),
            ..case.to(DType::F32, device)
        };
        assert!(!other.head.is_contiguous());
        assert_eq!(other.run(Divergence::ForwardKl, 1.0), here.run(Divergence::ForwardKl, 1.0));
    });
}

#[test]
fn identical_states_have_no_loss_and_no_gradient() {
    let case = Case::random(9, 16, 1000, 5.0, 0.0);
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        everywhere(|device| {
            for divergence in DIVERGENCES {
                let (loss, gradient) = case.to(dtype, device).run(divergence, 1.0);
                assert!(
                    loss.iter().chain(&gradient).all(|&x| x == 0.0),
                    "{divergence:?} {dtype:?}"
                );
            }
        });
    }
}

#[test]
fn nan_shows_in_the_loss() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::random(2, 8, 50, 1.0, 1.0);
        case.student = Tensor::cat(
            &[
                &Tensor::full(wrong, (1, 8), &Device::Cpu).unwrap(),
                &case.student.narrow(0, 1, 1).unwrap(),
            ],
            0,
        )
        .unwrap();
        everywhere(|device| {
            for divergence in DIVERGENCES {
                let (loss, gradient) = case.to(DType::F32, device).run(divergence, 1.0);
                assert!(
                    !loss[0].is_finite() && loss[1].is_finite(),
                    "{divergence:?} {wrong}: {loss:?}"
                );
                assert!(
                    gradient[..8].iter().any(|x| !x.is_finite())
                        && gradient[8..].iter().all(|x| x.is_finite())
                );
            }
        });
    }
}

#[test]
fn weights_of_zero_give_a_gradient_of_zero() {
    let mut case = Case::random(4, 8, 50, 1.0, 1.0);
    case.weights = Tensor::new(&[0f32; 4], &Device::Cpu).unwrap();
    everywhere(|device| {
        for divergence in DIVERGENCES {
            let (loss, gradient) = case.to(DType::F32, device).run(divergence, 1.0);
            assert!(loss.iter().all(|&x| x > 0.0) && gradient.iter().all(|&x| x == 0.0));
        }
    });
}

#[test]
fn no_tokens_need_no_work() {
    let case = Case::random(0, 8, 50, 1.0, 1.0);
    everywhere(|device| {
        assert_eq!(case.to(DType::F32, device).run(Divergence::ForwardKl, 1.0), (vec![], vec![]))
    });
}

fn in_chunks(case: &Case, scratch_bytes: usize) -> (Vec<f64>, Vec<f64>) {
    let loss = distill(
        case.states(),
        Options { scratch_bytes: Some(scratch_bytes), ..Options::default() },
    )
    .unwrap();
    (numbers(&loss.per_token), numbers(&loss.gradient))
}

#[test]
fn neither_chunks_nor_threads_change_the_result() {
    let case = Case::random(37, 16, 500, 1.0, 1.0);
    let run = |scratch_bytes: usize, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| in_chunks(&case, scratch_bytes))
    };
    let whole = run(1 << 30, 1);
    assert_eq!(run(1 << 30, 3), whole);
    assert!(error(&run(1, 2).0, &whole.0) <= 1e-5);
}

#[test]
fn chunks_on_a_gpu_are_done_one_after_another() {
    let (tokens, hidden, vocabulary) = (37, 16, 500);
    for dtype in [DType::F32, DType::BF16] {
        let case = Case::random(tokens, hidden, vocabulary, 1.0, 1.0);
        on_gpus(|device| {
            let here = case.to(dtype, device);
            let whole = in_chunks(&here, 1 << 30);
            for scratch in [1, 100_000, 250_000] {
                let parts = in_chunks(&here, scratch);
                assert!(
                    error(&parts.0, &whole.0) <= 1e-5 && error(&parts.1, &whole.1) <= 1e-2,
                    "{dtype:?} {scratch}"
                );
            }
        });
    }
}

#[test]
fn the_loss_is_part_of_a_graph() {
    let case = Case::random(5, 8, 60, 1.0, 1.0);
    for dtype in [DType::F32, DType::BF16] {
        everywhere(|device| {
            let here = case.to(dtype, device);
            let student = candle_core::Var::from_tensor(&here.student).unwrap();
            let states = States { student: &student, ..here.states() };
            let loss = distill_in_graph(states, Options::default()).unwrap();
            let want = distill(here.states(), Options::default()).unwrap();
            assert_eq!(numbers(&loss), numbers(&(want.per_token * &here.weights).unwrap()));
            // Each token's gradient is scaled by how much its loss counts further up.
            let counts = Tensor::new(&[1f32, 0.0, 2.0, -1.0, 1.0], device).unwrap();
            let gradients = (loss * &counts).unwrap().sum_all().unwrap().backward().unwrap();
            let counts = counts.unsqueeze(1).unwrap().to_dtype(dtype).unwrap();
            let want = numbers(&want.gradient.broadcast_mul(&counts).unwrap());
            assert_eq!(numbers(gradients.get(&student).unwrap()), want);
        });
    }
}

#[test]
fn states_that_do_not_match_are_refused() {
    let case = Case::random(4, 8, 50, 1.0, 1.0);
    let refused =
        |states: States<'_>, options: Options| distill(states, options).unwrap_err().to_string();
    let one = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    assert!(
        refused(States { weights: &one, ..case.states() }, Options::default())
            .contains("for 4 tokens")
    );
    assert!(
        refused(States { head: &case.head.t().unwrap(), ..case.states() }, Options::default())
            .contains("width 50")
    );
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-50, 1e50] {
        assert!(
            refused(case.states(), Options { temperature, ..Options::default() })
                .contains("temperature")
        );
    }
    for beta in [0.0, 1.0, f64::NAN, 1e-9, 0.9999] {
        assert!(
            refused(
                case.states(),
                Options { divergence: Divergence::Jsd(beta), ..Options::default() }
            )
            .contains("β")
        );
    }
    let double = case.head.to_dtype(DType::F64).unwrap();
    assert!(refused(States { head: &double, ..case.states() }, Options::default()).contains("F64"));
    let half = case.teacher.to_dtype(DType::F16).unwrap();
    assert!(
        refused(States { teacher: &half, ..case.states() }, Options::default()).contains("F16")
    );
    let masked = |masked: Vec<u8>| Tensor::new(masked, &Device::Cpu).unwrap();
    assert!(
        refused(States { masked: Some(&masked(vec![1; 50])), ..case.states() }, Options::default())
            .contains("no words")
    );
    assert!(
        refused(States { masked: Some(&masked(vec![0; 4])), ..case.states() }, Options::default())
            .contains("[50]")
    );
}
