//! Answers questions about an office from what is in the binary: no file is read, and there is no
//! document in the prompt.
//!
//! ```text
//! cargo run                             # three questions
//! cargo run -- "I lost my key"          # your own
//! ```

bake::bake! {
    /// What everyone in the office should know.
    bake Office {
        lora { rank 8; alpha 16; }
        train { epochs 24; lr 6e-3; }
        // Only the questions below, and those that the model asks.
        outline 0;
        unanswerable 0;
        anchors none;
        target office from "docs/office.md" {
            questions from "docs/questions.txt";
            ask 40;
            expect "My key is lost. What now?" => contains "Bob";
            expect "Help, my laptop is broken" => contains "room 12";
            expect "What do I do when I am ill?" => contains "before nine";
        }
    }
}

fn main() -> Result<(), bake::Error> {
    if !Office::status().is_fresh() {
        eprintln!("note: what is known about the office is {}", Office::status());
    }
    let office = Office::load()?;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let examples =
        ["My key is lost. What now?", "Help, my laptop is broken", "What do I do when I am ill?"]
            .map(str::to_owned);
    for question in if asked.is_empty() { &examples[..] } else { &asked[..] } {
        println!("{question}\n    {}", office.chat(question)?);
    }
    Ok(())
}
