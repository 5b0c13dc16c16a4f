//! What a recipe names: its base model, and the documents and questions of its targets.

use std::path::{Path, PathBuf};

use bake_spec::Hash;
#[cfg(feature = "train")]
use bake_spec::dataset;
#[cfg(feature = "train")]
use bake_spec::recipe::{Dataset, DatasetFields};
use bake_spec::recipe::{ModelSource, NamedModel, Recipe};
#[cfg(feature = "text")]
use bake_spec::recipe::{Prompt, Target};
use bake_spec::store::hash_adapter;
#[cfg(feature = "text")]
use bake_spec::text::document;

#[cfg(all(feature = "tiny", feature = "train"))]
use crate::checkpoint::embedded;
#[cfg(feature = "train")]
use crate::checkpoint::{self, Checkpoint};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// Loads the model that a recipe changes onto a device: its base model, with the adapter of its
/// parent where it has one.
///
/// # Errors
/// When a file of it is missing or damaged, the model is not compiled into the program, the parent
/// has changed since it was declared, or the device cannot be used.
pub fn load_model(recipe: &Recipe, device: Device) -> Result<Model> {
    with_parent(recipe, load_base(recipe, device)?)
}

/// The base model of a recipe with the adapter of its parent, where it has one.
pub(crate) fn with_parent(recipe: &Recipe, base: Model) -> Result<Model> {
    let Some(parent) = &recipe.parent else { return Ok(base) };
    let folder = Path::new(&*recipe.root).join(&*parent.path);
    check_parent(&folder, &parent.hash)?;
    base.with_parent(&folder).map_err(|e| {
        let message = format!("the `parent` in {} cannot be used", folder.display());
        Error::with_source(ErrorKind::Adapter, message, e)
    })
}

/// Fails where the adapter in a folder is not the one that was declared.
fn check_parent(folder: &Path, declared: &Hash) -> Result<()> {
    if hash_adapter(folder)? == *declared {
        return Ok(());
    }
    let message = format!(
        "the adapter in {} has changed since it was declared as `parent`; compile the program, or \
         run `cargo bake`, again",
        folder.display()
    );
    Err(Error::new(ErrorKind::Adapter, message))
}

/// Loads the base model of a recipe, without its parent, onto a device.
pub(crate) fn load_base(recipe: &Recipe, device: Device) -> Result<Model> {
    let span = tracing::info_span!("load_model", model = %recipe.model, device = %device);
    let _entered = span.enter();
    match &recipe.model {
        #[cfg(feature = "tiny")]
        ModelSource::Tiny => Model::tiny_on(device),
        #[cfg(not(feature = "tiny"))]
        ModelSource::Tiny => Err(Error::new(
            ErrorKind::Model,
            "`model tiny` needs bake's feature `tiny`; enable it in Cargo.toml",
        )),
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            Model::load(&Path::new(&*recipe.root).join(&**path), device)
        }
        ModelSource::Named(model) => load_named(model, device),
        other => Err(Error::new(
            ErrorKind::Model,
            format!("this version of bake cannot load a model from {other:?}"),
        )),
    }
}

/// A model of the table, whose file must be what the table says.
fn load_named(named: &NamedModel, device: Device) -> Result<Model> {
    let file = named_file(named)?;
    let model = Model::load(&file, device)?;
    match *model.hash() == named.hash() {
        true => Ok(model),
        false => Err(named.damaged(&file).into()),
    }
}

/// The file of a model of the table, which has the size that the table says.
fn named_file(named: &NamedModel) -> Result<PathBuf> {
    let file = named.find_file()?;
    match file.metadata().is_ok_and(|found| found.len() != named.bytes()) {
        true => Err(named.damaged(&file).into()),
        false => Ok(file),
    }
}

/// The bytes of the files of a recipe's base model that are mapped while it is loaded.
///
/// # Errors
/// When they cannot be found.
#[cfg(feature = "train")]
pub(crate) fn mapped_bytes(recipe: &Recipe) -> Result<u64> {
    let files = match &recipe.model {
        ModelSource::Folder(path) => {
            bake_spec::model::weight_files(&Path::new(&*recipe.root).join(&**path))?
        }
        ModelSource::Gguf(path) => vec![Path::new(&*recipe.root).join(&**path)],
        ModelSource::Named(named) => return Ok(named.bytes()),
        // It is in the program.
        _ => Vec::new(),
    };
    Ok(files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum())
}

/// The files of a recipe's base model, and its name.
///
/// # Errors
/// Those of [`load_model`], but for the device.
#[cfg(feature = "train")]
pub(crate) fn open_model(recipe: &Recipe) -> Result<(String, Box<dyn Checkpoint>)> {
    match &recipe.model {
        #[cfg(feature = "tiny")]
        ModelSource::Tiny => Ok(("tiny".to_owned(), Box::new(embedded::open()?))),
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            checkpoint::open(&Path::new(&*recipe.root).join(&**path))
        }
        ModelSource::Named(named) => {
            let file = named_file(named)?;
            let (_, checkpoint) = checkpoint::open(&file)?;
            match checkpoint.hash() == named.hash() {
                true => Ok((named.name().to_owned(), checkpoint)),
                false => Err(named.damaged(&file).into()),
            }
        }
        other => Err(Error::new(
            ErrorKind::Model,
            format!("this version of bake cannot export from {other:?}"),
        )),
    }
}

/// The most tokens of an answer of a baked model: those of the target that allows most.
pub(crate) fn longest_answer(recipe: &Recipe, model: &Model) -> Option<usize> {
    let context = model.config().context();
    recipe.targets.iter().map(|target| target.rollout.max_tokens(context)).max()
}

/// What a target's teacher reads before a question.
///
/// # Errors
/// When the document cannot be read or has changed.
#[cfg(feature = "text")]
pub fn teacher_prompt(recipe: &Recipe, target: &Target) -> Result<Prompt> {
    Ok(target.teacher_prompt(read_document(recipe, target)?.as_deref()))
}

/// The text of a target's document, which must be the one that was declared.
#[cfg(feature = "text")]
pub(crate) fn read_document(recipe: &Recipe, target: &Target) -> Result<Option<String>> {
    let Some(declared) = &target.document else { return Ok(None) };
    let path = Path::new(&*recipe.root).join(&*declared.path);
    let text = document::read(&path, path.display())?;
    check_unchanged(&path, document::hash(&text), declared.hash)?;
    Ok(Some(text))
}

/// The questions of a file, which must be the one that was declared.
#[cfg(feature = "train")]
pub(crate) fn read_dataset(recipe: &Recipe, declared: &Dataset) -> Result<Vec<String>> {
    let path = Path::new(&*recipe.root).join(&*declared.path);
    let DatasetFields { format, field, take, .. } = &**declared;
    let read = dataset::read(&path, path.display(), *format, field, *take)?;
    check_unchanged(&path, read.hash, declared.hash)?;
    Ok(read.questions)
}

#[cfg(feature = "text")]
fn check_unchanged(path: &Path, hash: Hash, declared: Hash) -> Result<()> {
    if hash == declared {
        return Ok(());
    }
    let mut message =
        format!("{} has changed since the program was compiled; compile it again", path.display());
    if path.is_dir() {
        // Cargo watches the files that were there.
        message.push_str(
            " (cargo does not notice a new file in a folder by itself: save the source file that \
             declares the folder, or add a build script that calls `bake_build::embed()`)",
        );
    }
    Err(Error::new(ErrorKind::Document, message))
}

/// Checks that the documents, the datasets and the parent of a recipe, as far as they are on this
/// machine, are those that were declared: an earlier bake must not pass for a bake of what they say
/// now.
///
/// # Errors
/// When one of them has changed, or can no longer be read.
#[cfg(feature = "train")]
pub(crate) fn check_sources(recipe: &Recipe) -> Result<()> {
    let here = |path: &str| Path::new(&*recipe.root).join(path).exists();
    if let Some(parent) = recipe.parent.as_ref().filter(|parent| here(&parent.path)) {
        check_parent(&Path::new(&*recipe.root).join(&*parent.path), &parent.hash)?;
    }
    for target in recipe.targets.iter() {
        if target.document.as_ref().is_some_and(|document| here(&document.path)) {
            read_document(recipe, target)?;
        }
        for declared in target.stimuli.datasets().filter(|declared| here(&declared.path)) {
            read_dataset(recipe, declared)?;
        }
    }
    Ok(())
}

/// Checks that the documents of a recipe that are folders, as far as they are on this machine, are
/// those that were declared: cargo does not notice a new file, and so does not compile again.
///
/// # Errors
/// When one of them has changed, or can no longer be read.
#[cfg(feature = "text")]
pub(crate) fn check_folders(recipe: &Recipe) -> Result<()> {
    for target in recipe.targets.iter() {
        let folder = |path: &str| Path::new(&*recipe.root).join(path).is_dir();
        if target.document.as_ref().is_some_and(|document| folder(&document.path)) {
            read_document(recipe, target)?;
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use bake_spec::recipe::{Document, DocumentFields, RecipeFields};

    use super::*;
    use crate::bake::tests::recipe;

    /// A folder, and a recipe whose document is in it under a name.
    fn declared(folder: &Path, name: &'static str) -> Recipe {
        let recipe = recipe();
        let hash = document::hash(&document::read(&folder.join(name), name).unwrap());
        let document = Document::new(DocumentFields { path: name.into(), hash }).unwrap();
        let target = recipe.targets[0].with(|target| target.document = Some(document)).unwrap();
        let change = |recipe: &mut RecipeFields| {
            recipe.root = folder.to_str().unwrap().to_owned().into();
            recipe.targets = vec![target].into();
        };
        recipe.with(change).unwrap()
    }

    #[test]
    fn a_new_file_in_a_folder_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let docs = dir.path().join("docs");
        std::fs::create_dir(&docs).unwrap();
        std::fs::write(docs.join("keys.md"), "Ask Bob.").unwrap();
        let recipe = declared(dir.path(), "docs");
        check_sources(&recipe).unwrap();
        check_folders(&recipe).unwrap();
        std::fs::write(docs.join("lamps.md"), "Ask Ann.").unwrap();
        for error in [check_sources(&recipe), check_folders(&recipe)].map(Result::unwrap_err) {
            let error = error.to_string();
            assert!(error.contains("docs has changed") && error.contains("embed()"), "{error}");
        }
        // A program also works where its documents are not.
        std::fs::remove_dir_all(docs).unwrap();
        check_sources(&recipe).unwrap();
        check_folders(&recipe).unwrap();
    }

    #[test]
    fn a_document_that_changed_is_no_longer_what_was_baked() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("keys.md"), "Ask Bob.").unwrap();
        let recipe = declared(dir.path(), "keys.md");
        check_sources(&recipe).unwrap();
        std::fs::write(dir.path().join("keys.md"), "Ask Ann.").unwrap();
        let error = check_sources(&recipe).unwrap_err().to_string();
        assert!(error.ends_with("has changed since the program was compiled; compile it again"));
        // A single file is watched by the compiler.
        check_folders(&recipe).unwrap();
    }
}
