//! The typed handle that a declaration gives its users.

use std::marker::PhantomData;

use bake_spec::Declaration;

use crate::adapter::Adapter;
use crate::error::Result;
use crate::handle::chat::Chat;
use crate::model::Model;

/// A baked model, as [`Chat::baked`] makes it: a token costs what it costs with the base model, and
/// the student prompt of the declaration is set.
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

impl<D: Declaration> Baked<D> {
    /// A model with its adapter folded in, or on top where folding would lose some of it.
    pub(crate) fn new(model: &Model, adapter: Adapter) -> Result<Self> {
        let chat = Chat::baked(D::RECIPE, model, adapter)?;
        Ok(Self { chat, declaration: PhantomData })
    }
}
