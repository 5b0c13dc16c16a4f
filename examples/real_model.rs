//! A page of a manual goes into the weights of a real model, SmolLM2-135M-Instruct.
//!
//! ```text
//! cargo bake model get smollm2                   # once: fetches the model, 98 MB
//! cargo run --release --example real_model
//! ```
//!
//! It says what the bake will take, bakes, says what it took, and shows some answers of the base
//! model, of the model with the manual in its prompt, and of the baked one.

#[path = "shared/memory.rs"]
mod memory;

use std::time::Instant;

use bake::{BakeOptions, Declaration as _, Graded, Interrupt, Outcome, bake};

bake! {
    /// What the manual of a dehumidifier says.
    pub bake Dehumidifier {
        model smollm2;
        student "";
        // Fewer questions than by default, so that it takes minutes.
        ask 0;
        outline 120;
        unanswerable 12;
        anchors none;
        max_tokens 96;
        temperature 0.0;
        lora { rank 16; alpha 32.0; }
        train { epochs 6; batch 4; }

        target manual weight 1.0 from "examples/docs/dehumidifier.md" {
            expect "How far away from furniture should it be?" => contains "30 centimetres";
            expect "How long do I wait after transport?" => contains "four hours";
            expect "What humidity do you recommend for a living room?" => contains "50 percent";
            expect "How long does it dry my clothes?" => contains "ten hours";
            expect "How big is the tank?" => contains "3.5 litres";
            expect "What diameter must the hose have?" => contains "12 millimetres";
            expect "What does a filter cost?" => contains "14 euros";
            expect "What is error E7?" => contains "tank";
            expect "How many years of warranty are there?" => contains "three years";
            expect "How do I reach the service?" => contains "0800 555 0134";
        }
    }
}

fn main() -> Result<(), bake::Error> {
    let options =
        BakeOptions::new().fresh().activation_bytes(256 << 20).interrupt(Interrupt::on_ctrl_c());
    let plan = bake::plan(Dehumidifier::RECIPE, &options)?;
    println!(
        "at most {} steps; it will take about {:.0} s and {}",
        plan.steps,
        plan.duration().as_secs_f64(),
        plan.memory(),
    );

    let start = Instant::now();
    let baked = Dehumidifier::bake_with(&options)?;
    println!(
        "baked in {:.0} s, with {} MB at most; KL to the teacher {:.3} before, {:.4} after",
        start.elapsed().as_secs_f64(),
        memory::peak_bytes() / 1_000_000,
        baked.report.kl_before,
        baked.report.kl_after,
    );

    let outcomes = Dehumidifier::loader().load_switchable()?.evaluate()?;
    for outcome in &outcomes {
        println!("\n{}", outcome.question);
        for (name, graded) in columns(outcome) {
            if let Some(Graded { answer, right, .. }) = graded {
                println!("  {name:<9} {} {answer}", if *right { "+" } else { "-" });
            }
        }
    }
    let mut right = [0; 3];
    for outcome in &outcomes {
        for (count, (_, graded)) in right.iter_mut().zip(columns(outcome)) {
            *count += usize::from(graded.is_some_and(|graded| graded.right));
        }
    }
    let [base, prompted, baked] = right;
    println!(
        "\nright answers to {} questions that were not trained on: base {base}, prompted \
         {prompted}, baked {baked}",
        outcomes.len()
    );
    Ok(())
}

/// The answers to a question, side by side.
fn columns(outcome: &Outcome<Dehumidifier>) -> [(&'static str, Option<&Graded>); 3] {
    [
        ("base", Some(&outcome.base)),
        ("prompted", outcome.prompted.as_ref()),
        ("baked", Some(&outcome.baked)),
    ]
}
