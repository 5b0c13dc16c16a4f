//! The typed handle that a declaration gives its users.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use bake_spec::recipe::AdapterSource;
use bake_spec::store::hash_files;
use bake_spec::{Declaration, Store};

use crate::adapter::Adapter;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::chat::Chat;
use crate::inputs::load_model;
use crate::model::Model;

/// A baked model: the adapter is folded into the weights, so that a token costs what it costs the
/// base model, and the student prompt of the declaration is set. Where a GPU holds the weights in
/// bf16 the adapter is viewed on top of them instead, since bf16 would round it.
///
/// It is a [`Chat`] to whoever uses it.
pub struct Baked<D> {
    chat: Chat,
    declaration: PhantomData<fn() -> D>,
}

impl<D> std::ops::Deref for Baked<D> {
    type Target = Chat;

    fn deref(&self) -> &Chat {
        &self.chat
    }
}

impl<D> Clone for Baked<D> {
    fn clone(&self) -> Self {
        Self { chat: self.chat.clone(), declaration: PhantomData }
    }
}

impl<D> std::fmt::Debug for Baked<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Baked").field("chat", &self.chat).finish()
    }
}

/// Loads the baked model of a declaration.
pub fn load<D: Declaration>() -> Result<Baked<D>> {
    load_on(Device::Cpu)
}

/// Loads the baked model of a declaration onto a device.
pub fn load_on<D: Declaration>(device: Device) -> Result<Baked<D>> {
    let (model, adapter) = parts::<D>(device)?;
    fold::<D>(&model, adapter)
}

/// Loads the baked model of a declaration with the adapter of this folder.
pub fn load_from<D: Declaration>(dir: &Path) -> Result<Baked<D>> {
    let model = load_model(D::RECIPE, Device::Cpu)?;
    let adapter = Adapter::load(dir, &model)?;
    fold::<D>(&model, adapter)
}

fn fold<D: Declaration>(model: &Model, adapter: Adapter) -> Result<Baked<D>> {
    let student = &*D::RECIPE.student;
    let chat = match model.decoder().in_sixteen_bits() {
        true => Chat::new(model.clone(), student).with_adapter(Arc::new(adapter))?,
        false => Chat::new(model.folded(&adapter)?, student),
    };
    Ok(Baked { chat, declaration: PhantomData })
}

/// The base model and the adapter of a declaration, wherever its build script says that it is.
pub(crate) fn parts<D: Declaration>(device: Device) -> Result<(Model, Adapter)> {
    let (recipe, model) = (D::RECIPE, load_model(D::RECIPE, device)?);
    let name = &recipe.name;
    if let AdapterSource::Embedded { recipe: made_from, .. }
    | AdapterSource::Folder { recipe: made_from, .. } = D::ADAPTER
        && !made_from.parse().is_ok_and(|hash| recipe.has_address(model.hash(), &hash))
    {
        // A build tells weights apart by their sizes; here they were read.
        let message = format!(
            "`{name}` was baked into another model than `{}` is now; run `cargo bake`",
            model.name()
        );
        return Err(Error::new(ErrorKind::NotBaked, message));
    }
    let adapter = match D::ADAPTER {
        AdapterSource::Embedded { hash, files, .. } => {
            if hash_files(files.iter().copied()).to_string() != **hash {
                let message = format!(
                    "the adapter of `{name}` in this program is damaged; build the program again"
                );
                return Err(Error::new(ErrorKind::Adapter, message));
            }
            Adapter::embedded(files, &model)?
        }
        AdapterSource::Folder { hash, path, .. } => {
            let (path, whole) = (
                Path::new(path),
                hash.parse().is_ok_and(|hash| Store::holds(Path::new(path), &hash)),
            );
            if !whole {
                let message = format!(
                    "{} does not hold the adapter of `{name}` any more; build the program again",
                    path.display()
                );
                return Err(Error::new(ErrorKind::NotBaked, message));
            }
            Adapter::load(path, &model)?
        }
        AdapterSource::Missing(why) => {
            return Err(Error::new(
                ErrorKind::NotBaked,
                format!("`{name}` was not at hand when this program was built: {why}"),
            ));
        }
        _ => {
            let store = Store::user()?;
            let Some(dir) = store.adapter(&recipe.hash(model.hash()))? else {
                let message = format!(
                    "`{name}` has not been baked as it is declared now: {} does not hold it; run \
                     `cargo bake`, or call `{name}::bake()`",
                    store.root().display()
                );
                return Err(Error::new(ErrorKind::NotBaked, message));
            };
            #[cfg(feature = "text")]
            crate::inputs::check_folders(recipe)?;
            Adapter::load(&dir, &model)?
        }
    };
    Ok((model, adapter))
}
