//! The packages that a command is about, and what they declare.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use bake_spec::check::Declared;
use bake_spec::diagnostics::did_you_mean;
use bake_spec::lock::{AdapterPlace, BakeState, KnownModel, LOCK_FILE, Lock, State, state};
use bake_spec::model::{self, Identity};
use bake_spec::sources::{Source, find};
use bake_spec::{Hash, Store};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::args::Common;
use crate::commands::NotFound;
use crate::mistakes::{Mistakes, ShownMistake};
use crate::terminal;

/// A package that declares bakes.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    pub(crate) lock: Lock,
    pub(crate) sources: Vec<Source>,
}

/// A bake and the file that declares it.
#[derive(Clone, Copy)]
pub(crate) struct DeclaredBake<'a> {
    pub(crate) file: &'a Path,
    pub(crate) declared: &'a Declared,
}

impl DeclaredBake<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.declared.recipe.name
    }
}

/// The folders of the packages that the command line selects, with their names.
pub(crate) fn roots(common: &Common) -> Result<Vec<(String, PathBuf)>> {
    let metadata = metadata(common)?;
    let members = metadata.workspace_packages();
    for wanted in &common.package {
        if !members.iter().any(|package| package.name == wanted.as_str()) {
            let names: Vec<&str> = members.iter().map(|package| package.name.as_str()).collect();
            let hint = did_you_mean(wanted, &names);
            return Err(NotFound(format!("the workspace has no package `{wanted}`; {hint}")).into());
        }
    }
    let here = nearest_manifest(common)?;
    let current = || {
        members.iter().find(|package| {
            package.manifest_path.canonicalize().is_ok_and(|path| Some(path) == here)
        })
    };
    let selected: Vec<&cargo_metadata::Package> = match (&common.package[..], current()) {
        ([], Some(current)) if !common.workspace => vec![current],
        ([], _) if common.workspace => members,
        ([], _) => metadata.workspace_default_packages(),
        (wanted, _) => members
            .into_iter()
            .filter(|package| wanted.iter().any(|name| package.name == name.as_str()))
            .collect(),
    };
    let mut roots: Vec<_> =
        selected.into_iter().map(|package| (package.name.to_string(), root_of(package))).collect();
    roots.sort();
    Ok(roots)
}

/// The folders of all packages of the workspace.
pub(crate) fn all_roots(common: &Common) -> Result<Vec<PathBuf>> {
    Ok(metadata(common)?.workspace_packages().into_iter().map(root_of).collect())
}

fn metadata(common: &Common) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.no_deps();
    if let Some(path) = &common.manifest_path {
        command.manifest_path(path);
    }
    let mut options = Vec::new();
    if common.offline || common.frozen {
        options.push("--offline".to_owned());
    }
    command.other_options(options);
    command.exec().map_err(|e| match e {
        cargo_metadata::Error::CargoMetadata { stderr } => {
            anyhow!("{}", stderr.trim().trim_start_matches("error: "))
        }
        cargo_metadata::Error::Io(e) => {
            anyhow!(e).context("cannot run cargo; install it from https://rustup.rs")
        }
        other => anyhow!(other),
    })
}

fn root_of(package: &cargo_metadata::Package) -> PathBuf {
    package.manifest_path.parent().map(|path| path.as_std_path().to_owned()).unwrap_or_default()
}

/// Whether the command is about a package: one is named, or is in this folder or above it.
pub(crate) fn is_in_a_package(common: &Common) -> Result<bool> {
    let named = common.manifest_path.is_some() || !common.package.is_empty();
    Ok(named || nearest_manifest(common)?.is_some())
}

/// The manifest that is named, or the nearest one from here upwards.
fn nearest_manifest(common: &Common) -> Result<Option<PathBuf>> {
    if let Some(path) = &common.manifest_path {
        return Ok(path.canonicalize().ok());
    }
    let here = std::env::current_dir().context("cannot read the current folder")?;
    let found =
        here.ancestors().map(|folder| folder.join("Cargo.toml")).find(|path| path.is_file());
    Ok(found.and_then(|path| path.canonicalize().ok()))
}

/// The selected packages that declare something, with their locks.
pub(crate) fn packages(common: &Common) -> Result<Vec<Package>> {
    find_packages(common, |root| Lock::read(root).map_err(Into::into))
}

/// The same for a command that only says what is declared: it ignores a lock that cannot be read.
pub(crate) fn declared_packages(common: &Common) -> Result<Vec<Package>> {
    find_packages(common, |root| Ok(Lock::read(root).unwrap_or_else(|_| Some(Lock::default()))))
}

fn find_packages(
    common: &Common,
    read_lock: impl Fn(&Path) -> Result<Option<Lock>>,
) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for (name, root) in roots(common)? {
        let lock = read_lock(&root)?;
        if lock.is_some() {
            Store::user()?.note_package(&root);
        }
        let sources = find(&root, lock.as_ref())?;
        // A command may also be about a package that has had bakes.
        if !sources.is_empty() || lock.is_some() {
            packages.push(Package { name, root, lock: lock.unwrap_or_default(), sources });
        }
    }
    if packages.is_empty() {
        bail!(
            "no `bake! {{ … }}` found; pass the package with `-p`, or start with `cargo bake new`"
        );
    }
    Ok(packages)
}

impl Package {
    /// The bakes with these names, or all.
    pub(crate) fn select(&self, names: &[String]) -> Vec<DeclaredBake<'_>> {
        let wanted = |declared: &Declared| {
            names.is_empty() || names.iter().any(|name| *name == *declared.recipe.name)
        };
        self.sources.iter().flat_map(found).filter(|found| wanted(found.declared)).collect()
    }

    /// The bake with this name.
    pub(crate) fn find(&self, name: &str) -> Option<DeclaredBake<'_>> {
        self.sources.iter().flat_map(found).find(|found| found.name() == name)
    }

    /// The bake of this package that another is on top of: whose copy in the package is its parent.
    pub(crate) fn parent(&self, name: &str) -> Option<String> {
        let parent = self.find(name)?.declared.recipe.parent.as_ref()?.bake()?;
        self.find(parent).map(|found| found.name().to_owned())
    }

    /// Whether a bake of this package is on top of this one.
    pub(crate) fn is_parent(&self, name: &str) -> bool {
        self.select(&[]).iter().any(|found| self.parent(found.name()).as_deref() == Some(name))
    }

    /// The same as [`select`](Self::select), but mistakes in the declarations are reported and end
    /// the command.
    pub(crate) fn checked(&self, names: &[String]) -> Result<Vec<DeclaredBake<'_>>> {
        let concerned = |source: &&Source| {
            found(source)
                .any(|found| names.is_empty() || names.iter().any(|name| name == found.name()))
        };
        let mut mistakes = Vec::new();
        for source in
            self.sources.iter().filter(|source| source.declared.is_empty() || concerned(source))
        {
            mistakes.extend(ShownMistake::all_of(source, &self.root));
        }
        if mistakes.iter().any(|mistake| mistake.severity == "error") {
            return Err(Mistakes { package: self.name.clone(), mistakes }.into());
        }
        mistakes.iter().for_each(ShownMistake::print);
        Ok(self.select(names))
    }

    /// The state of a bake, after reading its whole model and looking for its adapter.
    pub(crate) fn state(&self, found: DeclaredBake<'_>, models: &mut Models) -> Result<BakeState> {
        let recipe = &found.declared.recipe;
        let locked = self.lock.bakes.get(found.name());
        let known = models.hash(&self.root, found)?;
        let state = match &known {
            Some(hash) => state(recipe, KnownModel::Whole(hash), locked),
            None => state(
                recipe,
                KnownModel::Identity(Identity::of(&self.root, &recipe.model).as_ref()),
                locked,
            ),
        };
        Ok(match self.adapter_place(found.name())? {
            None | Some(AdapterPlace::Whole(_)) => state,
            Some(AdapterPlace::Elsewhere { why, .. } | AdapterPlace::Unusable(why)) => {
                state.without_adapter(&why)
            }
        })
    }

    /// Where the adapter is that the lock names for a bake, if it names one.
    pub(crate) fn adapter_place(&self, name: &str) -> Result<Option<AdapterPlace>> {
        let Some(locked) = self.lock.bakes.get(name) else { return Ok(None) };
        Ok(Some(locked.adapter_place(&self.root, &Store::user()?)))
    }

    /// The folder of a bake's adapter.
    ///
    /// # Errors
    /// When it has not been baked, or its adapter is not on this machine or damaged.
    pub(crate) fn adapter(&self, name: &str) -> Result<PathBuf> {
        match self.adapter_place(name)? {
            Some(AdapterPlace::Whole(folder) | AdapterPlace::Elsewhere { folder, .. }) => {
                Ok(folder)
            }
            Some(AdapterPlace::Unusable(why)) => {
                bail!("the adapter of `{name}` cannot be used: {why}; run `cargo bake`")
            }
            None => bail!("`{name}` has not been baked; run `cargo bake`"),
        }
    }

    /// What to say of a bake that is not fresh, before what to do about it.
    pub(crate) fn not_fresh(&self, state: &BakeState) -> String {
        let (name, why) = (&state.name, state.summary());
        match state.state {
            State::Missing if !self.lock.bakes.contains_key(name) => {
                format!("`{name}` has not been baked")
            }
            State::Missing => format!("`{name}`: {why}"),
            _ => format!("`{name}` is stale: {why}"),
        }
    }

    /// Changes the lock as it is now, which may be more than what was read.
    pub(crate) fn update_lock(&self, change: impl FnOnce(&mut Lock)) -> Result<()> {
        let updated = Lock::update(&self.root, |lock| {
            change(lock);
            Ok::<(), bake_spec::Error>(())
        });
        updated.with_context(|| {
            format!("the adapter was saved in the store, but {LOCK_FILE} could not be written")
        })?;
        Store::user()?.note_package(&self.root);
        Ok(())
    }
}

fn found(source: &Source) -> impl Iterator<Item = DeclaredBake<'_>> {
    source.declared.iter().map(|declared| DeclaredBake { file: &source.file, declared })
}

/// The hashes of models, each read once.
#[derive(Default)]
pub(crate) struct Models(BTreeMap<String, Option<Hash>>);

impl Models {
    /// The hash of a bake's model; none where the model is not on this machine.
    fn hash(&mut self, root: &Path, found: DeclaredBake<'_>) -> Result<Option<Hash>> {
        let source = &found.declared.recipe.model;
        let key = format!("{} {source:?}", root.display());
        if let Some(hash) = self.0.get(&key) {
            return Ok(*hash);
        }
        let hash =
            match Identity::of(root, source).is_some_and(|identity| identity.weights.is_some()) {
                true => Some(model::hash(root, source)?),
                false => model::hash(root, source).ok(),
            };
        Ok(*self.0.entry(key).or_insert(hash))
    }
}

/// The bake with this name, or the only one.
pub(crate) fn select_one<'a>(
    packages: &'a [Package],
    name: Option<&str>,
) -> Result<(&'a Package, DeclaredBake<'a>)> {
    let names: Vec<String> = name.map(str::to_owned).into_iter().collect();
    let selected = select(packages, &names)?;
    match selected[..] {
        [one] => Ok(one),
        [] => bail!("no bake is declared; declare one with `bake!`"),
        _ => {
            let names: Vec<&str> = selected.iter().map(|(_, found)| found.name()).collect();
            bail!(
                "several bakes match: {}; give a name, and the package with -p",
                names.join(", ")
            );
        }
    }
}

/// All selected bakes of all packages; an error where a name has none.
pub(crate) fn select<'a>(
    packages: &'a [Package],
    names: &[String],
) -> Result<Vec<(&'a Package, DeclaredBake<'a>)>> {
    let mut all = Vec::new();
    for package in packages {
        all.extend(package.checked(names)?.into_iter().map(|found| (package, found)));
    }
    for name in names {
        if !all.iter().any(|(_, found)| found.name() == name) {
            let known: Vec<&str> = packages
                .iter()
                .flat_map(|package| package.select(&[]))
                .map(|found| &*found.declared.recipe.name)
                .collect();
            let hint = did_you_mean(name, &known);
            return Err(NotFound(format!("no bake `{name}` is declared; {hint}")).into());
        }
    }
    if all.is_empty() {
        terminal::warning("no bakes are declared");
    }
    Ok(all)
}
