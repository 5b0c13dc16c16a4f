use bake_spec::Config;
use bake_spec::lock::Locked;
use std::fs;

use bake_spec::store::{ADAPTER_FILES, hash_folder};

use super::*;

/// A package with one bake, an empty store beside it, and the environment of its build script.
struct Fixture {
    dir: tempfile::TempDir,
    environment: Environment,
}

fn declared(settings: &str) -> String {
    format!("bake! {{ bake Support {{ target keys from \"docs/keys.md\"; {settings} }} }}")
}

fn fixture(source: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let [package, out, store] = ["package", "out", "store"].map(|name| dir.path().join(name));
    let environment = Environment {
        package,
        out,
        profile: "debug".into(),
        values: BTreeMap::new(),
        store: Store::new(store),
    };
    let fixture = Fixture { dir, environment };
    for (path, text) in [("Cargo.toml", ""), ("docs/keys.md", "Ask Bob."), ("src/main.rs", source)]
    {
        fixture.write(path, text);
    }
    fixture
}

impl Fixture {
    fn write(&self, path: &str, text: &str) {
        let path = self.environment.package.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts an adapter beside the declaration, and records it in the lock as it is declared now.
    fn bake(&self) -> Hash {
        ADAPTER_FILES.iter().for_each(|file| self.write(&format!("bakes/Support/{file}"), file));
        let package = &self.environment.package;
        let recipe = sources::find(package, None).unwrap().remove(0).declared.remove(0).recipe;
        let config =
            Config::parse(include_str!("../../../models/tiny/config.json"), "config.json").unwrap();
        let identity = Identity::of(package, &recipe.model).unwrap();
        let adapter = hash_folder(&package.join("bakes/Support")).unwrap();
        let mut locked = Locked::new(&recipe, identity.files, &identity, &config);
        locked.adapter = adapter;
        let mut lock = Lock::default();
        lock.insert("Support", locked);
        lock.write(package).unwrap();
        adapter
    }

    /// Puts a model into `models/small`.
    fn copy_tiny(&self) {
        let (from, to) = (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny"),
            self.environment.package.join("models/small"),
        );
        fs::create_dir_all(&to).unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }

    fn lines(&self, bake: &str) -> Vec<String> {
        let mut environment = self.environment.clone();
        environment.values.insert("BAKE", bake.to_owned());
        lines(&environment).unwrap()
    }
}

/// The values of an instruction's lines.
fn told<'a>(lines: &'a [String], instruction: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(&format!("cargo::{instruction}="))).collect()
}

/// The value of a variable for the macro.
fn set(lines: &[String], variable: &str) -> Option<String> {
    told(lines, "rustc-env")
        .iter()
        .find_map(|line| Some(line.strip_prefix(variable)?.strip_prefix('=')?.to_owned()))
}

fn kind(lines: &[String]) -> String {
    assert!(
        ["BAKE_FOLDER_Support", "BAKE_HASH_Support"].iter().all(|name| set(lines, name).is_none()),
        "{lines:?}"
    );
    set(lines, "BAKE_KIND_Support").unwrap()
}

#[test]
fn an_adapter_is_embedded_if_the_declaration_says_so() {
    for (settings, profile, embedded) in [
        ("", "debug", true),
        ("embed always;", "release", true),
        ("embed release;", "debug", false),
        ("embed release;", "release", true),
        ("embed never;", "release", false),
    ] {
        let mut fixture = fixture(&declared(settings));
        fixture.environment.profile = profile.into();
        let hash = fixture.bake();
        let lines = fixture.lines("locked");
        let folder = if embedded {
            fixture.environment.out.join("bake/Support")
        } else {
            fixture.environment.package.join("bakes/Support")
        };
        assert_eq!(set(&lines, "BAKE_MODE").unwrap(), "locked");
        assert_eq!(
            set(&lines, "BAKE_FOLDER_Support").unwrap(),
            folder.to_str().unwrap(),
            "{settings} {profile}"
        );
        assert_eq!(set(&lines, "BAKE_HASH_Support").unwrap(), hash.to_string());
        assert_eq!(
            set(&lines, "BAKE_KIND_Support").unwrap(),
            if embedded { "embedded" } else { "folder" }
        );
        assert!(
            Store::holds(&folder, &hash) && fixture.environment.out.exists() == embedded,
            "{settings} {profile}"
        );
    }
}

#[test]
fn a_damaged_copy_in_the_package_is_mentioned_although_the_store_has_the_adapter() {
    let fixture = fixture(&declared(""));
    let hash = fixture.bake();
    let Environment { package, store, .. } = &fixture.environment;
    let lock = Lock::read(package).unwrap().unwrap();
    store.adopt(&package.join("bakes/Support"), &hash, &lock.bakes["Support"].recipe).unwrap();
    assert_eq!(told(&fixture.lines(""), "warning"), [""; 0]);
    fixture.write("bakes/Support/bake.json", "changed");
    for (mode, severity) in [("", "warning"), ("locked", "error")] {
        let lines = fixture.lines(mode);
        assert_eq!(set(&lines, "BAKE_HASH_Support").unwrap(), hash.to_string());
        let [said] = told(&lines, severity)[..] else { panic!("{lines:?}") };
        assert!(said.contains("`cargo bake` copies them from the store again"), "{said}");
    }
}

#[test]
fn a_copy_stays_until_the_adapter_changes() {
    let fixture = fixture(&declared(""));
    fixture.bake();
    let lines = fixture.lines("");
    let copy = fixture.environment.out.join("bake/Support");
    // Not the adapter's, so that it tells whether the folder is still the same.
    fs::write(copy.join(".mark"), "").unwrap();
    assert_eq!(fixture.lines(""), lines);
    assert!(copy.join(".mark").exists());
    fs::write(copy.join(ADAPTER_FILES[0]), "damage").unwrap();
    assert_eq!(fixture.lines(""), lines);
    assert_eq!(fs::read_to_string(copy.join(ADAPTER_FILES[0])).unwrap(), ADAPTER_FILES[0]);
    assert_eq!(fs::read_dir(fixture.environment.out.join("bake")).unwrap().count(), 1);
}

#[test]
fn a_stale_adapter_is_embedded_and_the_macro_reports_it() {
    let fixture = fixture(&declared(""));
    let unsaid = |lines: &[String]| {
        assert!(told(lines, "warning").is_empty() && told(lines, "error").is_empty(), "{lines:?}")
    };
    let lines = fixture.lines("locked");
    assert_eq!(kind(&lines), "it has not been baked; run `cargo bake`");
    unsaid(&lines);
    let hash = fixture.bake();
    fixture.write("docs/keys.md", "Ask Alice.");
    let lines = fixture.lines("locked");
    let short = |text| bake_spec::text::document::hash(text).short();
    let (was, now) = (short("Ask Bob."), short("Ask Alice."));
    assert_eq!(
        kind(&lines),
        format!(
            "it is stale: `keys`: docs/keys.md has changed (was {was}, now {now}); run `cargo bake`"
        )
    );
    unsaid(&lines);
    // A stale adapter goes on answering where that is not an error.
    let lines = fixture.lines("");
    assert_eq!(set(&lines, "BAKE_KIND_Support").unwrap(), "embedded");
    assert_eq!(set(&lines, "BAKE_HASH_Support").unwrap(), hash.to_string());
    unsaid(&lines);
    let lines = fixture.lines("stub");
    assert_eq!(kind(&lines), "the program was built without adapters (BAKE=stub)");
    unsaid(&lines);
    fixture.write("bake.lock", "version = 1\n\"\n");
    let lines = fixture.lines("locked");
    assert!(kind(&lines).contains("bake.lock is damaged on line 2"), "{lines:?}");
    unsaid(&lines);
}

#[test]
fn an_adapter_that_is_not_on_this_machine_is_reported() {
    let fixture = fixture(&declared(""));
    let hash = fixture.bake();
    let store = &fixture.environment.store;
    store.adopt(&fixture.environment.package.join("bakes/Support"), &hash, &hash).unwrap();
    fs::remove_dir_all(fixture.environment.package.join("bakes")).unwrap();
    assert_eq!(set(&fixture.lines("locked"), "BAKE_KIND_Support").unwrap(), "embedded");
    fs::remove_dir_all(store.root().join("artifacts")).unwrap();
    let why = "its adapter is neither in `bakes` nor in this machine's store; run `cargo \
        bake`, or `cargo bake pull DIR` where \
               colleagues share adapters";
    for (mode, severity, other) in [("", "warning", "error"), ("locked", "error", "warning")] {
        let lines = fixture.lines(mode);
        assert_eq!(kind(&lines), why);
        assert_eq!(told(&lines, severity), [format!("`Support`: {why} [B0017]")]);
        assert_eq!(told(&lines, other), [""; 0]);
        let place = store.root().join("artifacts").join(hash.to_string());
        assert!(told(&lines, "rerun-if-changed").contains(&place.to_str().unwrap()), "{lines:?}");
    }
}

#[test]
fn cargo_watches_what_was_read_and_only_existing_files() {
    let source = declared(
        "target more from \"docs/more\" { dataset \"../asked.csv\"; } model \"models/small\";",
    );
    let fixture = fixture(&source);
    fixture.write("docs/more/a.md", "Call the shop.");
    fixture.write("../asked.csv", "question\nWhere?");
    fixture.write("benches/speed.rs", "");
    let watched = |fixture: &Fixture| {
        let lines = fixture.lines("");
        assert!(
            VARIABLES.iter().all(|name| told(&lines, "rerun-if-env-changed").contains(name)),
            "{lines:?}"
        );
        told(&lines, "rerun-if-changed").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let again =
        fixture.environment.out.join("a declaration has mistakes").to_str().unwrap().to_owned();
    assert_eq!(
        watched(&fixture),
        [&again, "Cargo.toml", "bake.lock", "benches", "src"],
        "the model and `documents anywhere` are missing"
    );
    fixture.write("src/main.rs", &source.replace("model \"", "documents anywhere; model \""));
    fixture.copy_tiny();
    let mut want =
        vec!["../asked.csv", "Cargo.toml", "bake.lock", "benches", "docs/keys.md", "docs/more"];
    want.extend([
        "models/small/config.json",
        "models/small/model.safetensors",
        "models/small/tokenizer.json",
        "src",
    ]);
    assert_eq!(watched(&fixture), want);
    fixture.bake();
    want.splice(3..3, ["bakes", "bakes/Support"]);
    assert_eq!(watched(&fixture), want);
}

#[test]
fn an_adapter_of_another_model_is_not_embedded() {
    let fixture = fixture(&declared(""));
    fixture.bake();
    fixture.write("src/main.rs", &declared("model \"models/small\";"));
    fixture.copy_tiny();
    let lines = fixture.lines("");
    assert_eq!(
        kind(&lines),
        "it was baked for a different model than the one declared now; run `cargo bake`"
    );
}

#[test]
fn a_model_in_one_file_is_watched() {
    let fixture = fixture(&declared("model \"models/m.gguf\";"));
    let file = "../tests/fixtures/gguf/llama-tied.gguf";
    let place = fixture.environment.package.join("models/m.gguf");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), place).unwrap();
    assert!(told(&fixture.lines(""), "rerun-if-changed").contains(&"models/m.gguf"));
}

#[test]
fn a_prompt_in_a_file_is_watched() {
    let fixture = fixture(&declared("prompt { system from \"docs/rules.txt\"; }"));
    fixture.write("docs/rules.txt", "Be brief.");
    assert!(told(&fixture.lines(""), "rerun-if-changed").contains(&"docs/rules.txt"));
}

#[test]
fn what_cannot_be_read_is_reported() {
    let fixture = fixture(&declared(""));
    fixture.bake();
    fixture.write("src/main.rs", &declared("model \"models/small\";"));
    fixture.copy_tiny();
    let weights = fixture.environment.package.join("models/small/model.safetensors");
    fs::remove_file(weights).unwrap();
    fixture.write("models/small/model.safetensors.index.json", "{");
    let said = |mode, severity| {
        let lines = fixture.lines(mode);
        told(&lines, severity).join("\n")
    };
    for (mode, severity) in [("", "warning"), ("locked", "error")] {
        assert!(said(mode, severity).contains("is not an index"), "{}", said(mode, severity));
    }
    // Sources that cannot be read are not a package without bakes.
    fs::remove_file(fixture.environment.package.join("Cargo.toml")).unwrap();
    for (mode, severity) in [("", "warning"), ("locked", "error")] {
        assert!(
            said(mode, severity).contains("contains no Cargo.toml"),
            "{}",
            said(mode, severity)
        );
    }
}

#[test]
fn what_cannot_be_written_is_an_error_with_its_cause() {
    let fixture = fixture(&declared(""));
    fixture.bake();
    fs::write(&fixture.environment.out, "in the way").unwrap();
    let error = lines(&fixture.environment).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains(&fixture.environment.out.display().to_string()), "{error}");
    assert!(error.get_ref().unwrap().is::<io::Error>(), "{error}");
}

#[test]
fn mistakes_are_left_to_the_compiler() {
    for source in
        ["fn main() { bake! { }}", "bake! { bake Support { target keys form \"docs/keys.md\" } }"]
    {
        let fixture = fixture(source);
        let lines = fixture.lines("auto");
        assert_eq!(told(&lines, "rustc-env"), ["BAKE_MODE=auto"]);
        assert!(
            told(&lines, "error").is_empty() && told(&lines, "rerun-if-changed").contains(&"src")
        );
    }
    let error = Environment::new(|_| None).err().unwrap();
    assert_eq!(
        format!("{error:?}"),
        "bake_build::embed() must be called from build.rs: OUT_DIR is not set"
    );
    assert_eq!(error.kind(), ErrorKind::Build);
    let lines = fixture(&declared("")).lines("frozen");
    assert_eq!(
        told(&lines, "error"),
        ["BAKE is `frozen`, which is not a mode; set it to `locked`, `auto` or `stub`, or to \
             nothing"]
    );
}

#[test]
fn two_declarations_with_one_name_must_both_match_what_was_baked_in_a_locked_build() {
    let fixture = fixture(&declared(""));
    fixture.bake();
    fixture.write("src/other.rs", &declared("embed never;"));
    assert_eq!(set(&fixture.lines(""), "BAKE_KIND_Support").unwrap(), "folder");
    // The macro sees which of them is compiled; where a stale bake is an error, this is one.
    fixture.write("src/other.rs", &declared("student \"Hi\";"));
    assert_eq!(set(&fixture.lines(""), "BAKE_KIND_Support").unwrap(), "embedded");
    assert!(kind(&fixture.lines("locked")).starts_with("it is stale"));
}

#[test]
fn auto_bakes_first() {
    let mut fixture = fixture(&declared(""));
    let mut lines = |command: &str| {
        fixture.environment.values.insert("BAKE_COMMAND", command.to_owned());
        fixture.lines("auto")
    };
    let said = lines("/no/such/command");
    assert!(
        told(&said, "error")[0]
            .starts_with("BAKE is `auto`, and `/no/such/command` cannot be started"),
        "{said:?}"
    );
    assert!(
        told(&said, "error")[0].contains("`cargo install --path bake-cli`")
            && told(&said, "rustc-env").is_empty(),
        "{said:?}"
    );
    if cfg!(unix) {
        assert!(
            told(&lines("false"), "error")[0]
                .ends_with("failed (exit status: 1); run `cargo bake` yourself")
        );
        assert_eq!(
            kind(&lines("true")),
            "it has not been baked; run `cargo bake`",
            "it is looked again"
        );
    }
    fixture.bake();
    let (lock, later) =
        (fixture.environment.package.join("bake.lock"), fixture.dir.path().join("later"));
    fs::rename(&lock, &later).unwrap();
    // A shell reads `bake`, the first argument, as its script.
    fixture
        .write("bake", "test \"$1\" = --manifest-path && test -f \"$2\" && cp ../later bake.lock");
    fixture.environment.values.insert("BAKE_COMMAND", "sh".to_owned());
    if cfg!(unix) {
        assert_eq!(set(&fixture.lines("auto"), "BAKE_KIND_Support").unwrap(), "embedded");
    }
}
