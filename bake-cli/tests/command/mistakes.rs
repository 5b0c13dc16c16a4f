//! What is reported when something is wrong.

use super::*;

#[test]
fn mistakes_are_reported_with_the_next_step() {
    let package = Package::new();
    package.fails(&["Ofice"], 2, "did you mean `Office`?");
    package.fails(&["Keys"], 2, "no bake `Keys` is declared; expected `Office`");
    package.fails(&["statu"], 2, "did you mean `cargo bake status`?");
    package.fails(&["-p", "ofice"], 2, "did you mean `office`?");
    package.fails(&["--manifest-path", "no/Cargo.toml"], 101, "no/Cargo.toml");
    package.fails(&["explain", "B0099"], 2, "the codes are B0001 to B0022");
    package.fails(&["explain", "rnk"], 2, "did you mean `rank`?");
    package.fails(&["stauts"], 2, "did you mean");
    let get = "`model gte` is not a command; did you mean `cargo bake model get`?";
    package.fails(&["model", "gte", "smollm2"], 2, get);
    for (args, verb) in [
        (&["stauts", "--json"][..], "status"),
        (&["gcc", "--dry-run"], "gc"),
        (&["chekc", "--json", "Office"], "check"),
    ] {
        let meant = format!("is not a command; did you mean `cargo bake {verb}`?");
        package.fails(args, 2, &meant);
        assert!(!said(&package.run(args)).contains("as a value"), "{args:?}");
    }
    package.fails(&["status", "--jsn"], 2, "unexpected argument '--jsn'");
    package.fails(&["Office", "--dry-run"], 2, "unexpected argument '--dry-run'");
    package.fails(&["show", "nothing"], 2, "possible values: stimuli, rollouts, metrics");
    assert!(package.ok(&["explain", "b0007"]).starts_with("# B0007: "));
    assert!(
        package
            .ok(&["explain", "rank"])
            .contains("`rank`, in `lora`: a whole number from 1 to 4096. Default: `32`.")
    );

    package.write("src/main.rs", &MAIN.replace("target lamp", "target lamp wieght 2"));
    // As the compiler shows it, with the line.
    let wrong = "error[B0002]: unknown keyword `wieght`; did you mean `weight`?";
    for part in [wrong, "--> src/main.rs:11:21", "target lamp wieght 2 from", "^^^^^^"] {
        package.fails(&[], 101, part);
    }
    package.write("src/main.rs", MAIN);
    let other = "bake::bake! { bake Other { target lamp from \"lamp.md\"; } }";
    package.write("src/other.rs", &format!("fn typo( {{ {other}"));
    for part in ["error[B0001]", "--> src/other.rs:1:10"] {
        package.fails(&[], 101, part);
    }
    std::fs::remove_file(package.root().join("src/other.rs")).unwrap();
    package.fails(&["push", "s3://bucket/x"], 101, "is a URL");
    package.write("bake.lock", "<<<<<<< HEAD\nversion = 1\n");
    package.fails(&["status"], 101, "merge conflict on line 1");
    std::fs::write(package.root().join("bake.lock"), b"\xff\xfe\0").unwrap();
    package.fails(&["status"], 101, "bake.lock is not text; restore it, or delete it and run");
    package.write("bake.lock", "version = 7\n");
    package.fails(&[], 101, "update bake");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();
    package.write("src/main.rs", "fn main() {}");
    package.fails(&["status"], 101, "cargo bake new");
    package.fails(&["stauts"], 2, "did you mean `cargo bake status`?");
}
