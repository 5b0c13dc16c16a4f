//! A program whose `main` returns the library's error tells its user what to do.
//!
//! This test is such a program: it runs itself with an empty store.

use std::process::Command;

bake::bake! {
    bake Office {
        target keys from "tests/docs/keys.md"
    }
}

/// Set in the process that plays this program.
const RUN: &str = "BAKE_TEST_PROGRAM";

fn main() -> Result<(), bake::Error> {
    if std::env::var_os(RUN).is_some() {
        println!("{}", Office::load()?.chat("I lost my key")?);
        return Ok(());
    }
    let store = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let output =
        Command::new(program).env(RUN, "1").env("BAKE_CACHE_DIR", store.path()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).trim_end(),
        format!(
            "Error: `Office` has not been baked as it is declared now: {} has no adapter for it; \
             run `cargo bake`, or call `Office::bake()`",
            store.path().display()
        )
    );
    println!("what `main` returns is printed as a sentence");
    Ok(())
}
