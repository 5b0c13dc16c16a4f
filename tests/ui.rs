//! What the compiler says to mistakes in a declaration.

use std::path::Path;

/// trybuild compiles the cases in a package of its own, which is where their documents must be.
fn put_documents() -> std::io::Result<()> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target"));
    let docs = target.join("tests/trybuild/bake/docs");
    std::fs::create_dir_all(&docs)?;
    for entry in std::fs::read_dir("tests/docs")? {
        let path = entry?.path();
        std::fs::copy(&path, docs.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

#[test]
fn every_mistake_is_named_where_it_is() {
    put_documents().unwrap();
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
