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
    assert!(
        plan["bakes"][0]["seconds"]
            .as_array()
            .unwrap()
            .iter()
            .all(|seconds| seconds.as_f64().unwrap() >= 0.0)
    );
    assert!(plan["bakes"][0]["memory_bytes"].as_u64().unwrap() > 20_000_000);
    assert_eq!(plan["bakes"][0]["targets"][0]["rollouts"]["to_make"], 2);
    assert!(package.ok(&["plan"]).contains("rollouts 0 kept, 2 to make"));
    assert!(package.ok(&["show", "rollouts"]).contains("not kept here"));
    package.ok(&[]);
    assert!(package.ok(&["plan"]).contains("the adapter is in the store"));
    let rollouts = json(&["show", "rollouts", "--json"]);
    assert_eq!(rollouts["bakes"][0]["targets"][0]["stimuli"][0]["text"], "I lost my key");
    assert_eq!(rollouts["bakes"][0]["targets"][0]["stimuli"][0]["generator"], "questions");
    assert!(rollouts["bakes"][0]["targets"][0]["stimuli"][0]["rollouts"][0].is_string());
    let metrics = json(&["show", "metrics", "--json"]);
    assert_eq!(metrics["bakes"][0]["epochs"].as_array().unwrap().len(), 2);
    assert!(package.ok(&["show", "metrics"]).contains("epoch 2"));
    assert_eq!(
        package.ok(&["chat", "--who", "prompted", "--ask", "I lost my key"]).trim(),
        "Ask Bob in the blue office."
    );
    package.fails(&["chat", "--target", "lmap", "--ask", "x"], 101, "did you mean `lamp`?");
    // Nothing is old enough to go.
    assert_eq!(json(&["gc", "--json"])["files"], 0);
    assert_eq!(package.states(), ["fresh"; 3]);
}
