//! What is printed as JSON, against its description.

use super::*;

/// What is wrong with a value according to a schema, of which only the keywords that ours uses are
/// supported. The schema allows further fields, which a later version may add; this version has
/// none that is not described.
fn wrong(value: &Value, schema: &Value, root: &Value, at: &str) -> Vec<String> {
    for word in schema.as_object().unwrap().keys() {
        let known = [
            "$defs",
            "$id",
            "$ref",
            "$schema",
            "const",
            "description",
            "enum",
            "items",
            "anyOf",
            "properties",
            "required",
            "title",
            "type",
        ];
        assert!(known.contains(&word.as_str()), "{word} is not checked");
    }
    let mut errors = Vec::new();
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(path.strip_prefix('#').unwrap()).expect("it is defined");
        errors.extend(wrong(value, target, root, at));
    }
    if let Some(constant) = schema.get("const").filter(|constant| *constant != value) {
        errors.push(format!("{at}: {value} is not {constant}"));
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array)
        && !all.contains(value)
    {
        errors.push(format!("{at}: {value} is none of {all:?}"));
    }
    let types = match schema.get("type") {
        None => Vec::new(),
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
        Some(one) => vec![one.as_str().unwrap()],
    };
    let has_type = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is not checked"),
    };
    if !types.is_empty() && !types.iter().any(has_type) {
        errors.push(format!("{at}: {value} is not of type {types:?}"));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let all: Vec<_> = choices.iter().map(|one| wrong(value, one, root, at)).collect();
        if !all.iter().any(Vec::is_empty) {
            errors.push(format!("{at}: no form fits: {all:?}"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    if let (Some(properties), Some(object)) = (properties, value.as_object()) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                errors.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, value) in object {
            match properties.get(name) {
                Some(schema) => errors.extend(wrong(value, schema, root, &format!("{at}/{name}"))),
                None => errors.push(format!("{at}: {name} is not described")),
            }
        }
    }
    if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
        for (i, value) in array.iter().enumerate() {
            errors.extend(wrong(value, items, root, &format!("{at}/{i}")));
        }
    }
    errors
}

/// Checks that what a command printed is as the schema describes it under a name.
pub(crate) fn check(name: &str, text: &str) {
    let schema: Value = serde_json::from_str(include_str!("../../json.schema.json")).unwrap();
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
    let form = schema.pointer(&format!("/$defs/{name}")).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(wrong(&value, form, &schema, name), Vec::<String>::new(), "{value}");
    assert_eq!(value["version"], 1, "{name}");
}

#[test]
fn listings_are_as_they_are_described() {
    let package = Package::new();
    check("status", &package.ok(&["status", "--json"]));
    package.ok(&[]);
    for (name, args) in [
        ("list", &["list"][..]),
        ("status", &["status"]),
        ("status", &["check"]),
        ("test", &["test"]),
        ("plan", &["plan"]),
        ("products", &["show", "stimuli"]),
        ("products", &["show", "rollouts"]),
        ("metrics", &["show", "metrics"]),
        ("explain", &["explain", "rank"]),
        ("pages", &["explain"]),
        ("gc", &["gc", "--dry-run", "--days", "0"]),
        ("gc", &["gc"]),
        ("models", &["model", "list"]),
    ] {
        check(name, &package.ok(&[args, &["--json"]].concat()));
    }
}

/// The list of kinds of errors in the schema.
const KINDS: &str = "/$defs/error/properties/error/properties/kind/anyOf/0/enum";

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let package = Package::new();
    let schema: Value = serde_json::from_str(include_str!("../../json.schema.json")).unwrap();
    let kinds = schema.pointer(KINDS).and_then(Value::as_array).unwrap();
    let error = |args: &[&str], code: i32| {
        let output = package.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        check("error", &text);
        let error = serde_json::from_str::<Value>(&text).unwrap()["error"].clone();
        assert!(kinds.contains(&error["kind"]), "{error}");
        error
    };
    for args in [
        &["status", "Ofice", "--json"][..],
        &["status", "-p", "ofice", "--json"],
        &["explain", "rnk", "--json"],
        &["explain", "B0099", "--json"],
    ] {
        assert_eq!(error(args, 2)["kind"], "not_found", "{args:?}");
    }
    assert_eq!(error(&["status", "--no-such", "--json"], 2)["kind"], "usage");
    let misspelt = error(&["stauts", "--json"], 2);
    let meant = "`stauts` is not a command; did you mean `cargo bake status`?";
    assert_eq!((&misspelt["kind"], &misspelt["message"]), (&"usage".into(), &meant.into()));
    package.write("bake.lock", "damaged");
    assert_eq!(error(&["status", "--json"], 101)["kind"], "lock");
    std::fs::remove_file(package.root().join("bake.lock")).unwrap();
    package.write("src/main.rs", &MAIN.replace("target lamp", "target lamp wieght 2"));
    let mistakes = error(&["plan", "--json"], 101);
    assert_eq!((&mistakes["kind"], &mistakes["code"]), (&"declaration".into(), &"B0002".into()));
    let first = &mistakes["mistakes"][0];
    assert_eq!((&first["line"], &first["column"]), (&11.into(), &21.into()));
}

#[test]
fn json_is_taken_where_the_help_says_so_and_nowhere_else() {
    let package = Package::new();
    let commands = [
        "list",
        "status",
        "plan",
        "check",
        "test",
        "show",
        "chat",
        "explain",
        "export",
        "fmt",
        "model",
        "model get",
        "model list",
        "model remove",
        "new",
        "gc",
        "vendor",
        "push",
        "pull",
        "completions",
    ];
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        let help = package.ok(&[&words[..], &["--help"]].concat());
        let output = package.run(&[&words[..], &["--json", "--no-such-option"]].concat());
        let wrong = said(&output);
        assert_eq!(output.status.code(), Some(2));
        let refused = wrong.contains("does not take `--json`");
        assert_eq!(help.contains("--json"), !refused, "{command}: {wrong}");
    }
    assert!(!package.ok(&["--help"]).contains("--json"));
    for (args, command) in [
        (&["--json", "list"][..], "list"),
        (&["-q", "--json", "status"], "status"),
        (&["--json", "model", "list"], "model list"),
        (&["--json", "explain", "rank"], "explain"),
    ] {
        let meant = format!("put `--json` after the command: `cargo bake {command} --json`");
        package.fails(args, 2, &meant);
    }
    package.fails(&["--json", "fmt"], 2, "`cargo bake` does not take `--json`; these do: ");
    let those = "these do: list, status, plan, check, test, show, explain, model list, gc";
    let message = format!("`cargo bake` does not take `--json`; {those}");
    let output = package.run(&["--json"]);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["error"]["message"], message);
    let output = package.run(&["fmt", "--json"]);
    assert!(said(&output).contains("`cargo bake fmt` does not take `--json`"));
}
