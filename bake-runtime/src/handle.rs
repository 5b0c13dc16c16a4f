//! A program's handles of a model: typed ones for a declaration, and conversations.

pub(crate) mod baked;
pub(crate) mod chat;
pub(crate) mod loader;
pub(crate) mod session;
#[cfg(feature = "eval")]
pub(crate) mod switchable;

/// Handles can be shared between threads, and an answer can be read on another thread than the one
/// that began it.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<baked::Baked<()>>();
    shared::<chat::Chat>();
    shared::<session::Session>();
    shared::<session::AnswerStream<'static>>();
    shared::<loader::Loader<()>>();
    #[cfg(feature = "eval")]
    shared::<switchable::Switchable<()>>();
    shared::<crate::model::Model>();
    shared::<crate::adapter::Adapter>();
    shared::<crate::error::Error>();
};
