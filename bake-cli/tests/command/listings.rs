//! What the listings say.

use super::*;

#[test]
fn listings_say_what_there_is() {
    let package = Package::new();
    let json = |args: &[&str]| serde_json::from_str::<Value>(&package.ok(args)).unwrap();
    let list = json(&["list", "--json"]);
    assert_eq!(list["bakes"][0]["file"], "src/main.rs");
    assert_eq!(list["bakes"][0]["targets"][1]["document"], "lamp.md");
    assert_eq!(list["bakes"][0]["targets"][1]["share"], 0.5);
    let plan = json(&["plan", "--json"]);
    assert_eq!((&plan["bakes"][0]["rollouts"], &plan["bakes"][0]["steps"]), (&3.into(), &2.into()));
    let seconds = plan["bakes"][0]["seconds"].as_object().unwrap();
    assert_eq!(seconds.len(), 6);
    assert!(seconds.values().all(|seconds| seconds.as_f64().unwrap() >= 0.0));
    assert!(plan["bakes"][0]["memory_bytes"].as_u64().unwrap() > 20_000_000);
    assert_eq!(plan["bakes"][0]["targets"][0]["rollouts"]["to_make"], 2);
    // Half of what is free, and at least this.
    assert!(plan["bakes"][0]["activation_bytes"].as_u64().unwrap() >= 256 << 20);
    let little = json(&["plan", "--activations", "20kB", "--json"]);
    assert_eq!(little["bakes"][0]["activation_bytes"], 20_000);
    let binary = json(&["plan", "--activations", "20KiB", "--json"]);
    assert_eq!(binary["bakes"][0]["activation_bytes"], 20_480);
    let units = "a number and kB, MB, GB, KiB, MiB or GiB, as in 512MB";
    package.fails(&["plan", "--activations", "20"], 2, units);
    let shown = package.ok(&["plan", "--activations", "20kB"]);
    assert!(shown.contains("rollouts 0 ready, 2 to make"), "{shown}");
    assert!(shown.contains("(limit for activations: 20.0 kB)"), "{shown}");
    assert!(package.ok(&["show", "rollouts"]).contains("the rest is not in this store"));
    package.ok(&[]);
    // The products that it was made from are not needed any more.
    std::fs::remove_dir_all(package.store().join("blobs")).unwrap();
    let shown = package.ok(&["plan"]);
    assert!(shown.contains("Office (fresh: nothing to do)"), "{shown}");
    assert!(!shown.contains("to make") && !shown.contains("at most"), "{shown}");
    let plan = json(&["plan", "--json"]);
    assert_eq!(plan["bakes"][0]["targets"][0]["rollouts"]["to_make"], 0);
    let lock = package.read("bake.lock");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();
    let reused = "Office (the adapter is in the store and will be reused)";
    assert!(package.ok(&["plan"]).contains(reused));
    package.write("bake.lock", &lock);
    package.ok(&["--fresh"]);
    let rollouts = json(&["show", "rollouts", "--json"]);
    assert_eq!(rollouts["bakes"][0]["targets"][0]["stimuli"][0]["text"], "I lost my key");
    assert_eq!(rollouts["bakes"][0]["targets"][0]["stimuli"][0]["generator"], "questions");
    assert!(rollouts["bakes"][0]["targets"][0]["stimuli"][0]["rollouts"][0]["text"].is_string());
    let metrics = json(&["show", "metrics", "--json"]);
    assert_eq!(metrics["bakes"][0]["epochs"].as_array().unwrap().len(), 2);
    assert!(package.ok(&["show", "metrics"]).contains("epoch 2"));
    assert_eq!(
        package.ok(&["chat", "--who", "prompted", "--ask", "I lost my key"]).trim(),
        "Ask Bob in the blue office."
    );
    package.fails(&["chat", "--target", "lmap", "--ask", "x"], 2, "did you mean `lamp`?");
    // Nothing is old enough to be removed.
    assert_eq!(json(&["gc", "--json"])["removed"], serde_json::json!([]));
    assert_eq!(package.states(), ["fresh"; 3]);
}

#[test]
fn what_is_declared_is_listed_whatever_the_lock_says() {
    let package = Package::new();
    package.write("bake.lock", "<<<<<<< HEAD\nversion = 1\n");
    assert!(package.ok(&["list"]).starts_with("Office (office, src/main.rs)"));
    package.fails(&["status"], 101, "merge conflict on line 1");
}

#[test]
fn a_condition_of_a_declaration_is_listed() {
    let package = Package::new();
    let condition = "bake::bake! {\n    #[cfg(feature = \"office\")]";
    package.write("src/main.rs", &MAIN.replace("bake::bake! {", condition));
    let shown = package.ok(&["list"]);
    assert!(shown.contains("model tiny, only under #[cfg(feature=\"office\")]"), "{shown}");
    let list: Value = serde_json::from_str(&package.ok(&["list", "--json"])).unwrap();
    assert_eq!(list["bakes"][0]["conditions"][0], "#[cfg(feature=\"office\")]");
}

#[test]
fn errors_and_settings_are_listed_and_explained() {
    let package = Package::new();
    let list = package.ok(&["explain"]);
    for entry in ["    B0007            ", "    rank             ", "    target           "] {
        assert!(list.contains(entry), "{entry}: {list}");
    }
    let list: Value = serde_json::from_str(&package.ok(&["explain", "--json"])).unwrap();
    assert_eq!(list["errors"][0]["name"], "B0001");
    let settings = list["settings"].as_array().unwrap();
    let temperature = settings.iter().find(|entry| entry["name"] == "temperature").unwrap();
    assert!(temperature["about"].as_str().unwrap().contains("(also in `persona`, `rephrase`, "));
    for code in ["B0007", "b7", "7", "E0007"] {
        assert!(package.ok(&["explain", code]).starts_with("# B0007: "), "{code}");
    }
    for (word, part) in [
        ("lora", "In `lora`:\n\n- `rank`: the LoRA rank (a whole number from 1 to 4096; default:"),
        ("train", "- `schedule`: how the learning rate falls (`constant`, `linear`, `cosine`; def"),
        ("target", "In a target's braces:"),
        ("cosine", "`cosine` is a value of `schedule`."),
        ("declines", "`declines` is a value of `expect`."),
    ] {
        let page = package.ok(&["explain", word]);
        assert!(page.contains(part), "{word}: {page}");
    }
    package.fails(&["explain", "rnak"], 2, "did you mean `rank`?");
    package.fails(&["explain", "batch_size"], 2, "did you mean `batch`?");
    package.fails(&["explain", "office"], 2, "`cargo bake explain` lists them all");
    package.fails(&["explain", "zzzzzz"], 2, "`cargo bake explain` lists them all");
}

#[test]
fn a_question_that_does_not_fit_does_not_end_a_chat() {
    use std::io::Write as _;
    let package = Package::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    command.args(["bake", "chat", "--who", "base"]).current_dir(package.root());
    command.env("BAKE_CACHE_DIR", package.store());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let long = "word ".repeat(20_000);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{long}").unwrap();
    input.write_all(b"\xff\xfe\nHello\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("error"), "{}", said(&output));
    assert!(said(&output).contains("the question is not UTF-8 text"), "{}", said(&output));
    assert!(!output.stdout.is_empty(), "the second question has an answer: {}", said(&output));
}
