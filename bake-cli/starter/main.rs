bake::bake! {
    bake Office {
        target office from "docs/office.md" {
            questions ["I lost my key", "My laptop is broken", "I am ill"];
            expect "My key is lost. What now?" => contains "Bob";
        }
    }
}

fn main() -> Result<(), bake::Error> {
    println!("{}", Office::load()?.chat("I lost my key")?);
    Ok(())
}
