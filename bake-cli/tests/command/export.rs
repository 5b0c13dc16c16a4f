//! Exports: what was baked, for other programs.

use bake_runtime::{Adapter, Device, Model};

use super::*;

#[test]
fn what_was_baked_is_written_for_other_programs() {
    let package = Package::new();
    package.fails(&["export", "out", "--to", "peft"], 101, "`Office` has not been baked");
    package.ok(&[]);
    package.fails(&["export", "out"], 2, "--to");
    package.fails(&["export", "out", "Offices", "--to", "peft"], 2, "did you mean `Office`?");

    let output = package.run(&["export", "out/peft", "--to", "peft"]);
    assert!(output.status.success() && said(&output).contains("Exported"), "{}", said(&output));
    package.ok(&["export", "out/merged", "Office", "--to", "merged", "--dtype", "f32"]);
    let out = package.root().join("out");
    let tiny = Model::tiny().unwrap();
    let adapter = Adapter::load(&out.join("peft"), &tiny).unwrap();
    let ids = [1, 40, 3];
    let logits = |model: &Model| model.forward(&ids, None).unwrap().logits.to_vec2::<f32>();
    let baked = logits(&tiny.folded(&adapter).unwrap()).unwrap();
    let merged = logits(&Model::load(&out.join("merged"), Device::Cpu).unwrap()).unwrap();
    for (merged, baked) in merged.iter().flatten().zip(baked.iter().flatten()) {
        assert!((merged - baked).abs() < 1e-4, "{merged} is not {baked}");
    }
    package.ok(&["export", "out/gguf", "--to", "gguf", "--dtype", "q8_0"]);
    package.ok(&["export", "out/lora", "--to", "gguf-adapter"]);
    assert!(
        out.join("gguf/Office.gguf").is_file() && out.join("lora/Office-adapter.gguf").is_file()
    );

    package.fails(&["export", "out/peft", "--to", "merged"], 101, "is not empty");
    package.fails(
        &["export", ".", "--to", "merged", "--force"],
        101,
        "was not written by an export",
    );
    package.ok(&["export", "out/peft", "--to", "merged", "--force"]);
    assert!(!out.join("peft/adapter_config.json").exists());
    package.fails(&["export", "out/x", "--to", "peft", "--dtype", "bf16"], 101, "is stored in f32");
    package.fails(&["export", "out/x", "--to", "merged", "--dtype", "q8_0"], 101, "--to gguf");
    assert!(!out.join("x").exists(), "nothing is left of an export that failed");
    package.write("lamp.md", "## Broken lamp\nCall them.\n");
    package.fails(&["export", "out/new", "--to", "peft"], 101, "`Office` is stale: ");
    let answered = package.run(&["chat", "--ask", "I lost my key"]);
    assert!(
        answered.status.success() && said(&answered).contains("`Office` is stale: "),
        "{}",
        said(&answered)
    );
}
