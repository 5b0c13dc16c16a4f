//! What bare declarations teach: `cargo bench --bench quality -- [OPTIONS]`.
//!
//! Each document of `tests/documents` is baked with a declaration that has nothing but its path,
//! and all its questions are asked of the base model, of the model with the document in its prompt,
//! of the model with the right passage in its prompt, and of the baked model. The tables say how
//! many answers are right, with intervals of 95 %, how many are not answers at all, and how long a
//! bake takes.
//!
//! ```text
//! --model tiny|NAME|PATH     the base model: one with a name, a folder or a GGUF file [tiny]
//! --half seen|unseen|both    which documents [both]
//! --documents PATTERN        only those whose name matches; * stands for anything
//! --seeds N                  bakes of each document [3]
//! --epochs N,N,…             bakes of each document with so many epochs each
//! --rates X,X,…              and with these learning rates, times the model's hidden size
//! --rehearse N,N,…           and with each answer in one of so many epochs at least
//! --limit N                  at most so many questions of each kind of each document
//! --json FILE                writes the figures there too, and the answers about the seen half
//! --store FOLDER             where bakes are kept [in the target folder]
//! --fresh                    bakes again what is there
//! --unchecked                bakes what the check for room in the context refuses
//! ```
//!
//! Bakes that are finished are not made again, and one that was interrupted resumes; its time is
//! then not counted. Nobody who tunes anything reads what is in the other half; its answers are
//! not written anywhere.

#[path = "quality/arguments.rs"]
mod arguments;
#[path = "../tests/documents/document.rs"]
mod document;
#[path = "quality/interval.rs"]
mod interval;
#[path = "quality/json.rs"]
mod json;
#[path = "quality/run.rs"]
mod run;
#[path = "quality/score.rs"]
mod score;
#[path = "quality/table.rs"]
mod table;

use std::error::Error;

use arguments::Arguments;
use run::Bench;

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let arguments = Arguments::parse(given)?;
    let documents = arguments.documents()?;
    let bench = Bench::new(&arguments)?;
    let mut runs = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        for (training, seed) in arguments.bakes() {
            eprintln!(
                "{} of {}: {}/{}, bake {} of {}",
                number + 1,
                documents.len(),
                document.half.name(),
                document.name,
                seed + 1,
                arguments.seeds
            );
            let run = bench.run(document, training, seed)?;
            eprintln!("{}", table::line(&run));
            runs.push(run);
        }
        if let Some(path) = &arguments.json {
            json::write(path, &arguments, &runs)?;
        }
    }
    table::print(&arguments, &runs);
    Ok(())
}
