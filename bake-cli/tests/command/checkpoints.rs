//! Numbered checkpoints: what is said of them, and what takes them.

use super::*;

fn declared(settings: &str) -> String {
    MAIN.replace("checkpoint_every 1;", settings).replace(
        "lora {",
        "gate { expects 0.0; } expect keys \"My key is lost\" => contains \"Bob\"; lora {",
    )
}

#[test]
fn checkpoints_are_listed_asked_and_exported_by_their_numbers() {
    let package = Package::new();
    // What is baked already is not baked again for them.
    package.write("src/main.rs", &declared(""));
    package.ok(&[]);
    assert!(package.status()["bakes"][0].get("checkpoints").is_none());
    package.fails(&["chat", "--checkpoint", "1", "--ask", "Hi"], 101, "without numbered check");
    let lock = package.read("bake.lock");
    package.write("src/main.rs", &declared("keep_every 1;"));
    assert_eq!(package.states(), ["fresh"; 3]);
    let fresh = said(&package.run(&[]));
    assert!(fresh.contains("Fresh") && fresh.contains("baked without `keep_every 1`"), "{fresh}");
    assert_eq!(package.read("bake.lock"), lock);

    let baked = said(&package.run(&["--fresh"]));
    assert!(baked.contains("kept 2 checkpoints"), "{baked}");
    assert!(!said(&package.run(&[])).contains("keep_every"));
    json::check("status", &package.ok(&["status", "--json"]));
    assert_eq!(package.status()["bakes"][0]["checkpoints"], 2);
    assert!(package.ok(&["status"]).contains("2 checkpoints (see `cargo bake show metrics`)"));
    let metrics = package.ok(&["show", "metrics", "--json"]);
    json::check("metrics", &metrics);
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let second = &metrics["bakes"][0]["checkpoints"][1];
    assert_eq!((&second["number"], &second["epoch"]), (&2.into(), &2.into()));
    let shown = package.ok(&["show", "metrics"]);
    assert!(shown.contains("   1  epoch 1: "), "{shown}");
    assert!(shown.lines().any(|line| line.ends_with("; the adapter")), "{shown}");

    let weights = |number: &str, args: &[&str]| {
        let folder = format!("out/{number}");
        package.ok(&[&["export", &folder, "--to", "peft"], args].concat());
        let file = package.root().join(folder).join("adapter_model.safetensors");
        std::fs::read(file).unwrap()
    };
    let [first, second] = ["1", "2"].map(|number| weights(number, &["--checkpoint", number]));
    // Nothing is held out of this bake, so its last epoch is the adapter.
    assert!(first != second && second == weights("last", &[]));
    package.ok(&["chat", "--checkpoint", "1", "--ask", "I lost my key"]);
    let tested = package.ok(&["test", "--checkpoint", "1"]);
    assert!(tested.contains("at checkpoint 1, epoch 1: "), "{tested}");
    let tested = package.ok(&["test", "--checkpoint", "1", "--json"]);
    json::check("test", &tested);
    assert_eq!(
        serde_json::from_str::<Value>(&tested).unwrap()["bakes"][0]["checkpoint"]["epoch"],
        1
    );
    for verb in [
        &["chat", "--ask", "Hi"][..],
        &["chat", "--ask", "Hi", "--who", "base"],
        &["test"],
        &["export", "out/none", "--to", "peft"],
    ] {
        let args = [verb, &["--checkpoint", "3"]].concat();
        package.fails(&args, 101, "`Office` has no checkpoint 3; there are 1 (epoch 1: ");
    }

    // A vendored copy has none of its own, and a shared one has none at all.
    package.ok(&["vendor"]);
    assert!(!package.root().join("bakes/Office/checkpoints").exists());
    package.ok(&["chat", "--checkpoint", "2", "--ask", "I lost my key"]);
    std::fs::remove_dir_all(package.store()).unwrap();
    package.ok(&["chat", "--ask", "I lost my key"]);
    let args = ["chat", "--checkpoint", "2", "--ask", "I lost my key"];
    package.fails(&args, 101, "checkpoint 2 of `Office` is not on this machine");
}
