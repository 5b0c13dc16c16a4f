//! Loading what was baked: onto which device, and with the adapter from which place.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
#[cfg(feature = "eval")]
use std::sync::Arc;

use bake_spec::recipe::{AdapterSource, Recipe};
use bake_spec::store::{VENDOR_DIR, hash_files};
use bake_spec::{Declaration, Hash, Status, Store};

use crate::adapter::Adapter;
use crate::adapter::kept::KeptCheckpoints;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::baked::Baked;
#[cfg(feature = "eval")]
use crate::handle::switchable::Switchable;
use crate::inputs::load_base;
#[cfg(feature = "eval")]
use crate::inputs::with_parent;
use crate::model::Model;

/// Sets how a baked model is loaded; what is not set is as in [`load`].
///
/// ```no_run
/// # use bake_runtime::{Device, Loader, Result};
/// # fn serve<Office: bake_spec::Declaration>() -> Result<()> {
/// let office = Loader::<Office>::new().device(Device::Cuda(0)).adapter("/srv/office").load()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a loader does nothing until `load` is called"]
pub struct Loader<D> {
    device: Device,
    /// The base model, where it is not where the declaration says.
    model: Option<PathBuf>,
    place: Place,
    /// The number of a checkpoint, where the adapter should be as it was earlier.
    checkpoint: Option<usize>,
    strength: f64,
    declaration: PhantomData<fn() -> D>,
}

/// Where the adapter is taken from.
#[derive(Clone, Debug)]
enum Place {
    /// Where the build script put it, or else the user's store.
    Declared,
    /// This store.
    Store(Store),
    /// This folder.
    Folder(PathBuf),
}

/// Loads the baked model of a declaration: with the adapter that a build script has put into the
/// program, or else with one from the user's store, onto the processor.
///
/// Where the declaration has changed since it was baked, and the program was built with a lock, the
/// adapter that the lock names is loaded all the same: the build has warned of it, and
/// [`Status`](bake_spec::Status) tells the program.
///
/// # Errors
/// When the declaration has not been baked, when it was baked into another model, and when the
/// model or the adapter cannot be read.
pub fn load<D: Declaration>() -> Result<Baked<D>> {
    Loader::new().load()
}

impl<D: Declaration> Loader<D> {
    /// As [`load`] does.
    pub fn new() -> Self {
        let declaration = PhantomData;
        let (device, place) = (Device::Cpu, Place::Declared);
        Self { device, model: None, place, checkpoint: None, strength: 1.0, declaration }
    }

    /// Onto this device, where the model then answers.
    pub fn device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// With the base model at this path, a folder or a GGUF file, wherever the declaration says
    /// that it is: for programs that are shipped with a model. It must be the model that was baked
    /// into.
    pub fn model(self, path: impl Into<PathBuf>) -> Self {
        Self { model: Some(path.into()), ..self }
    }

    /// With the adapter in this store for the declaration as it is compiled, even if there is one
    /// elsewhere.
    pub fn store(self, store: Store) -> Self {
        Self { place: Place::Store(store), ..self }
    }

    /// With the adapter in this folder, in PEFT's format, such as one that is shipped with the
    /// program.
    pub fn adapter(self, folder: impl Into<PathBuf>) -> Self {
        Self { place: Place::Folder(folder.into()), ..self }
    }

    /// With the adapter as it was earlier in its training: the checkpoint with this number, of
    /// those that `keep_every` kept. They are on the machine where the bake was made, in the store
    /// beside its adapter; an adapter that is embedded, copied or vendored has none of its own.
    ///
    /// ```no_run
    /// # use bake_runtime::{Loader, Result};
    /// # fn compare<Office: bake_spec::Declaration>() -> Result<()> {
    /// let early = Loader::<Office>::new().checkpoint(2).load()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn checkpoint(self, number: usize) -> Self {
        Self { checkpoint: Some(number), ..self }
    }

    /// With the adapter's changes of the weights so many times as large: 0 is the base model with
    /// the student prompt, 1 the baked model, and what is between them leans to one of the two.
    /// Above 1 what was learned is exaggerated, which soon costs more than it gives. A strength
    /// below 0, or one that is not a finite number, is an error when the model is loaded.
    ///
    /// ```no_run
    /// # use bake_runtime::{Loader, Result};
    /// # fn serve<Office: bake_spec::Declaration>() -> Result<()> {
    /// let hint_of_office = Loader::<Office>::new().strength(0.5).load()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn strength(self, strength: f64) -> Self {
        Self { strength, ..self }
    }

    /// Loads the baked model, with the adapter folded into its weights.
    ///
    /// # Errors
    /// Those of [`load`], when the device or the strength cannot be used, and when there is no
    /// checkpoint with the number that was set; the error then lists those that there are.
    pub fn load(&self) -> Result<Baked<D>> {
        let _span = Self::span().entered();
        let (model, adapter) = self.parts()?;
        Baked::new(&model, adapter)
    }

    /// Loads base, prompted and baked model on one set of weights, to compare them.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    #[cfg(feature = "eval")]
    pub fn load_switchable(&self) -> Result<Switchable<D>> {
        let _span = Self::span().entered();
        let (model, adapter) = self.parts()?;
        let model = with_parent(D::RECIPE, model)?;
        Ok(Switchable::new(model, Arc::new(adapter)))
    }

    fn span() -> tracing::Span {
        tracing::info_span!("load", bake = &*D::RECIPE.name)
    }

    /// The base model and the adapter.
    fn parts(&self) -> Result<(Model, Adapter)> {
        let model = match &self.model {
            Some(path) => Model::load(path, self.device)?,
            None => load_base(D::RECIPE, self.device)?,
        };
        let adapter = match &self.place {
            Place::Declared => self.declared(&model)?,
            Place::Store(store) => self.read(&stored(D::RECIPE, &model, store)?, &model)?,
            Place::Folder(folder) => {
                Store::note_use_of(folder);
                self.read(folder, &model)?
            }
        };
        Ok((model, adapter.with_strength(self.strength)?))
    }

    /// The adapter of the declaration, wherever its build script says that it is.
    fn declared(&self, model: &Model) -> Result<Adapter> {
        let name = &D::RECIPE.name;
        match D::ADAPTER {
            AdapterSource::Embedded { hash, model: baked_into, files } => {
                check_model(name, model, baked_into)?;
                let found = hash_files(files.iter().copied());
                if found.to_string() != **hash {
                    let message = format!(
                        "the adapter of `{name}` in this program is damaged; build the program \
                         again"
                    );
                    return Err(Error::new(ErrorKind::Adapter, message));
                }
                if let Some(number) = self.checkpoint {
                    let kept = KeptCheckpoints::embedded(files, found);
                    let folder = kept.find(name, number, Some(&Store::user()?))?;
                    return Adapter::load(&folder, model);
                }
                Adapter::embedded(files, model.config(), model.decoder().device())
            }
            AdapterSource::Folder { hash, model: baked_into, path } => {
                check_model(name, model, baked_into)?;
                let path = Path::new(path);
                if !hash.parse().is_ok_and(|hash| Store::holds(path, &hash)) {
                    let message = format!(
                        "{} no longer contains the adapter of `{name}`; build the program again",
                        path.display()
                    );
                    return Err(Error::new(ErrorKind::NotBaked, message));
                }
                self.read(path, model)
            }
            AdapterSource::Missing(why) => Err(Error::new(
                ErrorKind::NotBaked,
                format!("`{name}` has no adapter in this program: {why}"),
            )),
            _ => self.read(&found(D::RECIPE, D::STATUS, model, &Store::user()?)?, model),
        }
    }

    /// The adapter in a folder, or the checkpoint of it that is wanted.
    fn read(&self, folder: &Path, model: &Model) -> Result<Adapter> {
        let Some(number) = self.checkpoint else { return Adapter::load(folder, model) };
        let store = match &self.place {
            Place::Store(store) => Some(store.clone()),
            _ => Store::user().ok(),
        };
        let kept = KeptCheckpoints::of(folder)?;
        Adapter::load(&kept.find(&D::RECIPE.name, number, store.as_ref())?, model)
    }
}

/// Fails where an adapter was baked into another model. A build compares weights by size; here they
/// have been read.
fn check_model(name: &str, model: &Model, baked_into: &str) -> Result<()> {
    if model.hash().to_string() == baked_into {
        return Ok(());
    }
    let message = format!(
        "`{name}` was baked for a different model than the current `{}`; run `cargo bake`",
        model.name()
    );
    Err(Error::new(ErrorKind::NotBaked, message))
}

/// The folder of the adapter where no build script has set one: the one in the store for the
/// declaration as it is, else the one that was locked when the program was built.
fn found(recipe: &Recipe, status: &Status, model: &Model, store: &Store) -> Result<PathBuf> {
    let missing = match stored(recipe, model, store) {
        Err(error) if error.is_not_baked() => error,
        Err(error) => return Err(error),
        Ok(folder) => {
            #[cfg(feature = "text")]
            check_folders(recipe, status)?;
            return Ok(folder);
        }
    };
    let Some(baked) = status.baked() else { return Err(missing) };
    let Ok(hash) = baked.adapter().parse::<Hash>() else { return Err(missing) };
    let vendored = Path::new(&*recipe.root).join(VENDOR_DIR).join(&*recipe.name);
    let folder = match Store::holds(&vendored, &hash) {
        true => vendored,
        false => store.artifact(&hash).ok_or(missing)?,
    };
    check_model(&recipe.name, model, baked.model_hash())?;
    Ok(folder)
}

/// Fails where a folder of documents has changed since the program was compiled, unless a lock
/// names what was baked: a stale bake does not stop a program.
#[cfg(feature = "text")]
fn check_folders(recipe: &Recipe, status: &Status) -> Result<()> {
    match crate::inputs::check_folders(recipe) {
        Err(changed) if status.baked().is_some() => {
            let name = &recipe.name;
            tracing::warn!(
                "`{name}` still answers from the documents it was baked from: {changed}"
            );
            Ok(())
        }
        checked => checked,
    }
}

/// The folder of the adapter of a recipe in a store.
fn stored(recipe: &Recipe, model: &Model, store: &Store) -> Result<PathBuf> {
    store.adapter(&recipe.hash(model.hash()))?.ok_or_else(|| {
        let name = &recipe.name;
        let message = format!(
            "`{name}` has not been baked as it is declared now: {} has no adapter for it; run \
             `cargo bake`, or call `{name}::bake()`",
            store.root().display()
        );
        Error::new(ErrorKind::NotBaked, message)
    })
}

impl<D: Declaration> Default for Loader<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> Clone for Loader<D> {
    fn clone(&self) -> Self {
        let (model, place) = (self.model.clone(), self.place.clone());
        let (device, checkpoint, strength) = (self.device, self.checkpoint, self.strength);
        Self { device, model, place, checkpoint, strength, declaration: PhantomData }
    }
}

impl<D> std::fmt::Debug for Loader<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("device", &self.device)
            .field("model", &self.model)
            .field("place", &self.place)
            .field("checkpoint", &self.checkpoint)
            .field("strength", &self.strength)
            .finish()
    }
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use bake_spec::document;
    use bake_spec::recipe::{Document, DocumentFields};
    use bake_spec::store::{copy_folder, hash_folder};
    use bake_spec::{BakedFrom, Freshness};

    use super::*;
    use crate::adapter::initial;
    use crate::bake::tests::recipe;

    /// Without a build script, what answers is in the store or beside the package.
    #[test]
    fn what_the_lock_names_answers_where_nothing_newer_was_baked() {
        let (dir, model) = (tempfile::tempdir().unwrap(), Model::tiny().unwrap());
        let docs = dir.path().join("docs");
        std::fs::create_dir(&docs).unwrap();
        std::fs::write(docs.join("keys.md"), "Ask Bob.").unwrap();
        let hash = document::hash(&document::read(&docs, "docs").unwrap());
        let folder = Document::new(DocumentFields { path: "docs".into(), hash }).unwrap();
        let target = recipe().targets[0].with(|target| target.document = Some(folder)).unwrap();
        let declared = recipe().with(|recipe| {
            recipe.root = dir.path().to_str().unwrap().to_owned().into();
            recipe.targets = vec![target].into();
        });
        let declared = declared.unwrap();
        let adapter = initial(model.config(), &declared.lora, 1, model.decoder().device()).unwrap();
        let made = dir.path().join("made");
        adapter.save(&made, "tiny").unwrap();
        let adapter = hash_folder(&made).unwrap();
        let named = |model: String| {
            let list = Vec::new().into();
            let adapter = adapter.to_string().into();
            let baked = BakedFrom::new(adapter, "tiny".into(), model.into(), list, (1.0, 0.5));
            Status::new(Freshness::Stale, "docs has changed".into(), Some(baked))
        };
        let status = named(model.hash().to_string());
        let store = Store::new(dir.path().join("store"));
        let find = |status: &Status| found(&declared, status, &model, &store);
        assert!(find(&Status::UNKNOWN).unwrap_err().is_not_baked());
        assert!(find(&status).unwrap_err().is_not_baked());

        let vendored = dir.path().join(VENDOR_DIR).join(&*declared.name);
        copy_folder(&made, &vendored).unwrap();
        assert_eq!(find(&status).unwrap(), vendored);
        let other = find(&named("0".repeat(64))).unwrap_err().to_string();
        assert!(other.contains("for a different model than the current `tiny`"), "{other}");
        std::fs::remove_dir_all(&vendored).unwrap();
        let stored = store.adopt(&made, &adapter, &recipe().hash(model.hash())).unwrap();
        assert_eq!(find(&status).unwrap(), stored);
        assert!(find(&Status::UNKNOWN).unwrap_err().is_not_baked());

        // What was baked as it is declared comes first, with a new file in its folder too, of which
        // a program without a lock would otherwise hear nothing.
        let fresh = store.adopt(&made, &adapter, &declared.hash(model.hash())).unwrap();
        assert_eq!(find(&Status::UNKNOWN).unwrap(), fresh);
        std::fs::write(docs.join("lamps.md"), "Ask Ann.").unwrap();
        let changed = find(&Status::UNKNOWN).unwrap_err().to_string();
        assert!(changed.contains("docs has changed"), "{changed}");
        assert_eq!(find(&status).unwrap(), fresh);
    }
}
