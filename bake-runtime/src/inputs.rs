//! What a recipe names: its base model, and the documents and questions of its targets.

use std::path::Path;

use bake_spec::recipe::{ModelSource, Recipe, Target};
#[cfg(feature = "train")]
use bake_spec::text::dataset;
use bake_spec::text::document;

use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;

/// Loads the base model of a recipe onto a device.
///
/// # Errors
/// When a file of it is missing or damaged, the model is not part of the program, or the device
/// cannot be used.
pub fn load_model(recipe: &Recipe, device: Device) -> Result<Model> {
    match &recipe.model {
        #[cfg(feature = "tiny")]
        ModelSource::Tiny => Model::tiny_on(device),
        #[cfg(not(feature = "tiny"))]
        ModelSource::Tiny => Err(Error::new(
            ErrorKind::Model,
            "`model tiny` needs the feature `tiny` of bake; turn it on in Cargo.toml",
        )),
        ModelSource::Folder(path) => Model::load(&Path::new(&*recipe.root).join(&**path), device),
        other => Err(Error::new(
            ErrorKind::Model,
            format!("this version of bake cannot load a model from {other:?}"),
        )),
    }
}

/// The system prompt of a target's teacher.
///
/// # Errors
/// When the document cannot be read or has changed.
pub fn teacher_prompt(recipe: &Recipe, target: &Target) -> Result<String> {
    Ok(target.teacher_prompt(read_document(recipe, target)?.as_deref()))
}

/// What a target is learned from.
#[cfg(feature = "train")]
pub(crate) struct Inputs {
    pub(crate) document: Option<String>,
    /// The teacher's system prompt.
    pub(crate) prompt: String,
    /// The questions that are written down, in the recipe and in files.
    pub(crate) questions: Vec<String>,
}

#[cfg(feature = "train")]
impl Inputs {
    pub(crate) fn read(recipe: &Recipe, target: &Target) -> Result<Self> {
        let document = read_document(recipe, target)?;
        let mut questions: Vec<String> =
            target.stimuli.questions.iter().map(|question| question.to_string()).collect();
        for declared in target.stimuli.datasets.iter() {
            let path = Path::new(&*recipe.root).join(&*declared.path);
            let read = dataset::read(
                &path,
                path.display(),
                declared.format,
                &declared.field,
                declared.take,
            )?;
            check_unchanged(&path, &read.hash.to_string(), &declared.hash)?;
            questions.extend(read.questions);
        }
        Ok(Self { prompt: target.teacher_prompt(document.as_deref()), document, questions })
    }
}

/// The text of a target's document, which must be the one that was declared.
fn read_document(recipe: &Recipe, target: &Target) -> Result<Option<String>> {
    let Some(declared) = &target.document else { return Ok(None) };
    let path = Path::new(&*recipe.root).join(&*declared.path);
    let text = document::read(&path, path.display())?;
    check_unchanged(&path, &document::hash(&text).to_string(), &declared.hash)?;
    Ok(Some(text))
}

fn check_unchanged(path: &Path, hash: &str, declared: &str) -> Result<()> {
    if hash == declared {
        return Ok(());
    }
    let message =
        format!("{} has changed since the program was compiled; compile it again", path.display());
    Err(Error::new(ErrorKind::Document, message))
}
