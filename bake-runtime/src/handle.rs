//! What a program holds of a model: typed handles of a declaration, and conversations.

pub(crate) mod baked;
pub(crate) mod chat;
pub(crate) mod loader;
pub(crate) mod session;
#[cfg(feature = "eval")]
pub(crate) mod switchable;

/// Handles can be shared between threads, and an answer can be read on another than it was begun.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<baked::Baked<()>>();
    shared::<chat::Chat>();
    shared::<session::Session>();
    shared::<session::AnswerStream<'static>>();
    shared::<loader::Loader<()>>();
    #[cfg(feature = "eval")]
    shared::<switchable::Switchable<()>>();
    shared::<crate::Model>();
    shared::<crate::Adapter>();
    shared::<crate::Error>();
};
