//! From the sources, the lock and the adapters on this machine to the lines that cargo reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bake_spec::check::{Embed, Mode};
use bake_spec::diagnostics::Code;
use bake_spec::lock::{AdapterPlace, KnownModel, LOCK_FILE, State, VENDOR_DIR, state};
use bake_spec::model::{Identity, TEXT_FILES, WEIGHT_INDEX, weight_files};
use bake_spec::recipe::{ModelSource, Recipe, variables};
use bake_spec::sources::{self, Source};
use bake_spec::store::copy_folder;
use bake_spec::{DIR_VARIABLE, Hash, Lock, Store};

use crate::mode::mode;
use crate::{Error, ErrorKind};

/// The environment variables that a user can set.
const VARIABLES: [&str; 5] = ["BAKE", "CI", "DOCS_RS", DIR_VARIABLE, "BAKE_COMMAND"];

/// Everything that a build script is told.
#[derive(Clone)]
pub(crate) struct Environment {
    /// The folder of the package's `Cargo.toml`.
    package: PathBuf,
    /// The folder that the build script may write.
    out: PathBuf,
    /// `debug` or `release`.
    profile: String,
    /// The values of [`VARIABLES`], empty where they are not set.
    values: BTreeMap<&'static str, String>,
    store: Store,
}

/// What the sources declare.
struct FoundBakes {
    bakes: Vec<EmbeddedBake>,
    /// What cargo must watch for what was found to stay true.
    watched: BTreeSet<PathBuf>,
    /// Whether a declaration or the lock has to be fixed before anything can be baked. The macro
    /// says how.
    broken: bool,
    /// What could not be read, or is not what bake.lock names.
    wrong: Vec<String>,
}

struct EmbeddedBake {
    name: String,
    embed: Embed,
    adapter: KnownAdapter,
}

/// What is known of a bake's adapter.
enum KnownAdapter {
    /// It is in this folder, and these are the hashes of its files and of the model that it was
    /// baked into.
    At { folder: PathBuf, hash: Hash, model: Hash, fresh: bool },
    /// It is in the lock but not on this machine, for this reason.
    NotHere(String),
    /// There is none, for this reason.
    None(String),
}

/// The lines that tell cargo and the macro what was found.
pub(crate) fn lines(environment: &Environment) -> Result<Vec<String>, Error> {
    let mut lines = VARIABLES.map(|name| format!("cargo::rerun-if-env-changed={name}")).to_vec();
    let mode = match mode(
        environment.value("BAKE"),
        environment.value("CI"),
        environment.value("DOCS_RS"),
    ) {
        Ok(mode) => mode,
        Err(message) => {
            lines.push(format!("cargo::error={message}"));
            return Ok(lines);
        }
    };
    let mut found = environment.find(mode)?;
    if mode == Mode::Auto && !found.broken && found.bakes.iter().any(|bake| !bake.is_fresh()) {
        if let Err(message) = environment.bake() {
            lines.push(format!("cargo::error={}", one_line(&message)));
            return Ok(lines);
        }
        found = environment.find(mode)?;
    }
    lines.extend(found.watched.iter().filter_map(|path| {
        let path = path.strip_prefix(&environment.package).unwrap_or(path);
        Some(format!(
            "cargo::rerun-if-changed={}",
            path.to_str().filter(|path| !path.contains(['\r', '\n']))?
        ))
    }));
    let severity = if mode == Mode::Locked { "error" } else { "warning" };
    lines.extend(found.wrong.iter().map(|why| format!("cargo::{severity}={}", one_line(why))));
    let set = |variable: String, value: &str| format!("cargo::rustc-env={variable}={value}");
    lines.push(set(variables::MODE.to_owned(), mode.name()));
    for EmbeddedBake { name, embed, adapter } in found.bakes {
        let kind = match adapter {
            KnownAdapter::At { folder, hash, model, fresh: _ } => {
                let embedded = embed == Embed::Always
                    || (embed == Embed::Release && environment.profile == "release");
                let folder =
                    if embedded { environment.copy(&name, &folder, &hash)? } else { folder };
                lines.push(set(variables::folder(&name), text(&folder)?));
                lines.push(set(variables::hash(&name), &hash.to_string()));
                lines.push(set(variables::model(&name), &model.to_string()));
                if embedded { "embedded".to_owned() } else { "folder".to_owned() }
            }
            KnownAdapter::NotHere(why) => {
                lines.push(format!("cargo::{severity}=`{name}`: {why} [{}]", Code::NotBaked));
                why
            }
            KnownAdapter::None(why) => why,
        };
        lines.push(set(variables::kind(&name), &one_line(&kind)));
    }
    Ok(lines)
}

impl Environment {
    /// The environment of a build script, whose variables are these.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let folder = |name| {
            let missing = || {
                let message =
                    format!("bake_build::embed() must be called from build.rs: {name} is not set");
                Error::new(ErrorKind::Build, message)
            };
            variable(name).map(PathBuf::from).ok_or_else(missing)
        };
        let value = |name| variable(name).unwrap_or_default().to_string_lossy().into_owned();
        let (out, package) = (folder("OUT_DIR")?, folder("CARGO_MANIFEST_DIR")?);
        let store = match Store::user() {
            Ok(store) => store,
            Err(wrong) if variable(DIR_VARIABLE).is_some() => return Err(wrong),
            // If no store is known, adapters beside the sources are enough; this store is empty.
            Err(_) => Store::new(out.join("bake")),
        };
        // The program runs in a different folder from this script.
        let store = Store::new(package.join(store.root()));
        Ok(Self {
            package,
            out,
            profile: value("PROFILE"),
            values: VARIABLES.map(|name| (name, value(name))).into(),
            store,
        })
    }

    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn find(&self, mode: Mode) -> Result<FoundBakes, Error> {
        let (lock, damage) = match Lock::read(&self.package) {
            Ok(lock) => (lock, None),
            Err(e) => (None, Some(e.to_string())),
        };
        if lock.is_some() {
            self.store.note_package(&self.package);
        }
        let mut found = FoundBakes {
            bakes: Vec::new(),
            watched: self.sources(),
            broken: damage.is_some(),
            wrong: Vec::new(),
        };
        // The compiler reports what is not Rust, and does it better.
        let sources = sources::find(&self.package, lock.as_ref()).unwrap_or_else(|e| {
            found.wrong.push(e.to_string());
            found.broken = true;
            Vec::new()
        });
        for source in &sources {
            found.broken |= source.has_errors();
            if has_mistakes(source) {
                // The fix may be a document that does not exist yet: a file that never exists makes
                // cargo run the script again.
                found.watched.insert(self.out.join("a declaration has mistakes"));
                continue;
            }
            for declared in &source.declared {
                let recipe = &declared.recipe;
                let inputs: Vec<PathBuf> = self.inputs(recipe, &mut found.wrong).collect();
                let files = declared.files.iter().map(|file| self.package.join(file));
                let apart = |file: &PathBuf| !inputs.iter().any(|input| file.starts_with(input));
                found.watched.extend(files.filter(apart));
                found.watched.extend(inputs);
                let adapter = match &damage {
                    _ if mode == Mode::Stub => KnownAdapter::None(
                        "the program was built without adapters (BAKE=stub)".to_owned(),
                    ),
                    Some(damage) => KnownAdapter::None(damage.clone()),
                    None => self.adapter(recipe, lock.as_ref(), mode, &mut found),
                };
                let bake =
                    EmbeddedBake { name: recipe.name.to_string(), embed: declared.embed, adapter };
                // One name can have several declarations, under `#[cfg]` or in different files.
                // It is not known which of them is compiled: there is an adapter only if there is
                // one for all of them.
                match found.bakes.iter_mut().find(|other| other.name == bake.name) {
                    Some(other) if other.has_adapter() => *other = bake,
                    Some(_) => {}
                    None => found.bakes.push(bake),
                }
            }
        }
        Ok(found)
    }

    fn adapter(
        &self,
        recipe: &Recipe,
        lock: Option<&Lock>,
        mode: Mode,
        found: &mut FoundBakes,
    ) -> KnownAdapter {
        let locked = lock.and_then(|lock| lock.bakes.get(&*recipe.name));
        let identity = Identity::of(&self.package, &recipe.model);
        let state = state(recipe, KnownModel::Identity(identity.as_ref()), locked);
        let Some(locked) = locked else {
            return KnownAdapter::None(format!("{}; run `cargo bake`", state.summary()));
        };
        let fresh = state.state == State::Fresh;
        if !fresh && mode == Mode::Locked {
            return KnownAdapter::None(format!(
                "it is stale: {}; run `cargo bake`",
                state.summary()
            ));
        }
        if identity.is_some_and(|identity| !identity.matches(&locked.identity())) {
            let why = "it was baked for a different model than the one declared now; run `cargo \
                       bake`";
            return KnownAdapter::None(why.to_owned());
        }
        // A stale adapter still answers, and the macro warns at the declaration.
        let adapter_place = locked.adapter_place(&self.package, &self.store);
        if let AdapterPlace::Elsewhere { why, .. } = &adapter_place {
            found.wrong.push(format!("`{}`: {why}", recipe.name));
        }
        match adapter_place {
            AdapterPlace::Whole(folder) | AdapterPlace::Elsewhere { folder, .. } => {
                found.watched.insert(folder.clone());
                KnownAdapter::At { folder, hash: locked.adapter, model: locked.model.hash, fresh }
            }
            AdapterPlace::Unusable(why) => {
                let artifacts = self.store.root().join("artifacts");
                found.watched.insert(artifacts.join(locked.adapter.to_string()));
                KnownAdapter::NotHere(format!(
                    "{why}; run `cargo bake`, or `cargo bake pull DIR` where colleagues share \
                     adapters"
                ))
            }
        }
    }

    /// Where declarations, the lock and adapters are. As long as there is no lock, cargo runs the
    /// script in every build.
    fn sources(&self) -> BTreeSet<PathBuf> {
        let there = ["Cargo.toml", "src", "examples", "tests", "benches", VENDOR_DIR]
            .map(|name| self.package.join(name));
        // Modules and targets can be elsewhere.
        let mut files = sources::files(&self.package).unwrap_or_default();
        files.retain(|file| !there.iter().any(|folder| file.starts_with(folder)));
        there
            .into_iter()
            .filter(|path| path.exists())
            .chain([self.package.join(LOCK_FILE)])
            .chain(files)
            .collect()
    }

    /// What a recipe is made from beside the files that a declaration names, as far as it exists:
    /// folders of documents as a whole, so that new ones are seen, and what tells models apart.
    fn inputs(
        &self,
        recipe: &Recipe,
        unreadable: &mut Vec<String>,
    ) -> impl Iterator<Item = PathBuf> {
        let documents = recipe
            .targets
            .iter()
            .filter_map(|target| target.document.as_ref())
            .map(|document| &document.path);
        let mut paths: Vec<PathBuf> = documents.map(|path| self.package.join(&**path)).collect();
        match &recipe.model {
            ModelSource::Folder(folder) => {
                let folder = self.package.join(&**folder);
                paths.extend(TEXT_FILES.map(|name| folder.join(name)));
                // Their sizes tell models apart.
                match weight_files(&folder) {
                    Ok(weights) => paths.extend(weights),
                    // A machine that only builds need not have them.
                    Err(_) if !folder.join(WEIGHT_INDEX).exists() => {}
                    Err(e) => unreadable.push(e.to_string()),
                }
            }
            ModelSource::Gguf(file) => paths.push(self.package.join(&**file)),
            // They are the same wherever they are.
            _ => {}
        }
        paths.into_iter().filter(|path| path.exists())
    }

    /// Copies an adapter to where the macro includes it from, unless it is there already, so that
    /// the program is only rebuilt for a different adapter.
    fn copy(&self, name: &str, from: &Path, hash: &Hash) -> Result<PathBuf, Error> {
        let to = self.out.join("bake").join(name);
        if Store::holds(&to, hash) {
            return Ok(to);
        }
        copy_folder(from, &to)?;
        match Store::holds(&to, hash) {
            true => Ok(to),
            false => {
                let message = format!(
                    "{} is not the adapter that bake.lock names; run `cargo bake`",
                    from.display()
                );
                Err(Error::new(ErrorKind::Store, message))
            }
        }
    }

    /// Bakes the package with the command. Its output is shown by `cargo build -vv`, and when the
    /// build fails.
    fn bake(&self) -> Result<(), String> {
        let program = Some(self.value("BAKE_COMMAND"))
            .filter(|program| !program.is_empty())
            .unwrap_or("cargo-bake");
        let mut command = Command::new(program);
        command
            .args(["bake", "--manifest-path"])
            .arg(self.package.join("Cargo.toml"))
            .current_dir(&self.package);
        let what = match command.stdin(Stdio::null()).stdout(io::stderr()).status() {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("failed ({status}); run `cargo bake` yourself"),
            Err(e) => format!(
                "cannot be started ({e}); install it with `cargo install --path bake-cli` from a \
                 checkout of bake, or run `cargo bake` yourself"
            ),
        };
        Err(format!("BAKE is `auto`, and `{program}` {what}"))
    }
}

impl EmbeddedBake {
    fn has_adapter(&self) -> bool {
        matches!(self.adapter, KnownAdapter::At { .. })
    }

    fn is_fresh(&self) -> bool {
        matches!(self.adapter, KnownAdapter::At { fresh: true, .. })
    }
}

/// Whether the compiler will refuse a declaration. It does not notice that another file declares
/// the same name.
fn has_mistakes(source: &Source) -> bool {
    source
        .diagnostics
        .iter()
        .any(|diagnostic| !diagnostic.warning && diagnostic.code != Code::SameName)
}

/// A path in a form that cargo can pass on.
fn text(path: &Path) -> Result<&str, Error> {
    let text = path.to_str().filter(|text| !text.contains(['\r', '\n']));
    text.ok_or_else(|| {
        let message =
            format!("the path {path:?} is not UTF-8 text on one line; build in another folder");
        Error::new(ErrorKind::Build, message)
    })
}

/// A message in a form that cargo, which reads line by line, can pass on.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
