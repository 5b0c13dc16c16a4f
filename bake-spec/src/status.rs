//! What a program knows about its bakes: what each was baked from, as far as was known when the
//! program was built.

use std::fmt;

use crate::text::{List, Text};

/// What a declaration was baked from, and whether that is still what it declares.
///
/// It is a constant of the program, so asking for it costs nothing and reads no file.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    freshness: Freshness,
    why: Text,
    baked: Option<BakedFrom>,
}

/// Whether what was baked is what is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It was baked from something else; the program answers from that, unless it has been baked
    /// again on this machine since.
    Stale,
    /// There was no adapter when the program was built.
    Missing,
    /// The program was built without a `bake.lock`: loading looks for an adapter in the user's
    /// store.
    Unknown,
}

/// What an adapter was baked from.
#[derive(Clone, Debug, PartialEq)]
pub struct BakedFrom {
    adapter: Text,
    model: Text,
    model_hash: Text,
    documents: List<BakedDocument>,
    kl: (f64, f64),
}

/// A document that was baked in.
#[derive(Clone, Debug, PartialEq)]
pub struct BakedDocument {
    target: Text,
    path: Text,
    hash: Text,
}

impl Status {
    /// What is known without a lock.
    pub const UNKNOWN: Self = Self::new(
        Freshness::Unknown,
        Text::Borrowed("the program was built without a bake.lock"),
        None,
    );

    /// A status, for generated code.
    #[doc(hidden)]
    pub const fn new(freshness: Freshness, why: Text, baked: Option<BakedFrom>) -> Self {
        Self { freshness, why, baked }
    }

    /// Whether what was baked is what is declared.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// Whether the program answers from what is declared.
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    /// Whether the program answers from something other than what is declared.
    pub fn is_stale(&self) -> bool {
        self.freshness == Freshness::Stale
    }

    /// What has changed since, or why there is no adapter; empty if it is fresh.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What the adapter was baked from, if there is one in the lock.
    pub fn baked(&self) -> Option<&BakedFrom> {
        self.baked.as_ref()
    }
}

impl BakedFrom {
    /// What an adapter was baked from, for generated code.
    #[doc(hidden)]
    pub const fn new(
        adapter: Text,
        model: Text,
        model_hash: Text,
        documents: List<BakedDocument>,
        kl: (f64, f64),
    ) -> Self {
        Self { adapter, model, model_hash, documents, kl }
    }

    /// The hash of the adapter's files.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// The base model: its name, or its path in the package.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The hash of the base model's files.
    pub fn model_hash(&self) -> &str {
        &self.model_hash
    }

    /// The documents, in the order of their targets' names.
    pub fn documents(&self) -> &[BakedDocument] {
        &self.documents
    }

    /// The divergence of the base model from its teachers, in nats per token.
    pub fn kl_before(&self) -> f64 {
        self.kl.0
    }

    /// That of the baked model.
    pub fn kl_after(&self) -> f64 {
        self.kl.1
    }
}

impl BakedDocument {
    /// A document, for generated code.
    #[doc(hidden)]
    pub const fn new(target: Text, path: Text, hash: Text) -> Self {
        Self { target, path, hash }
    }

    /// The target for which it was baked in.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its path in the package; empty if its target is no longer declared.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The hash of the text that was baked in, which the file may no longer have.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.freshness {
            Freshness::Fresh => f.write_str("fresh")?,
            Freshness::Stale => write!(f, "stale: {}", self.why)?,
            Freshness::Missing => write!(f, "missing: {}", self.why)?,
            Freshness::Unknown => f.write_str(&self.why)?,
        }
        let Some(baked) = &self.baked else { return Ok(()) };
        let short = |hash: &str| hash.get(..8).unwrap_or(hash).to_owned();
        write!(f, "; baked into {} from ", baked.model)?;
        if baked.documents.is_empty() {
            f.write_str("no document")?;
        }
        for (i, document) in baked.documents.iter().enumerate() {
            let name = if document.path.is_empty() { &document.target } else { &document.path };
            write!(f, "{}{name} ({})", if i == 0 { "" } else { ", " }, short(&document.hash))?;
        }
        let (before, after) = baked.kl;
        write!(
            f,
            ", divergence {before:.3} before and {after:.3} after, adapter {}",
            short(&baked.adapter)
        )
    }
}

#[cfg(feature = "syntax")]
mod locked {
    use std::path::Path;

    use super::{BakedDocument, BakedFrom, Freshness, Status};
    use crate::lock::{KnownModel, Lock, Locked, State, state};
    use crate::model::Identity;
    use crate::recipe::{Recipe, Text};

    impl Status {
        /// The status of a recipe according to the lock of its package, if there is one.
        pub fn of(recipe: &Recipe, package: &Path, lock: Option<&Lock>) -> Self {
            let Some(lock) = lock else { return Self::UNKNOWN };
            let locked = lock.bakes.get(&*recipe.name);
            let identity = Identity::of(package, &recipe.model);
            let found = state(recipe, KnownModel::Identity(identity.as_ref()), locked);
            let freshness = match found.state {
                State::Fresh => Freshness::Fresh,
                State::Stale => Freshness::Stale,
                State::Missing => Freshness::Missing,
            };
            let baked = locked.map(|locked| BakedFrom::of(recipe, locked));
            Self::new(freshness, Text::Owned(found.summary()), baked)
        }

        /// The same if a build script found no adapter, for this reason.
        #[must_use]
        pub fn without_adapter(self, why: String) -> Self {
            Self { freshness: Freshness::Missing, why: Text::Owned(why), ..self }
        }
    }

    impl BakedFrom {
        fn of(recipe: &Recipe, locked: &Locked) -> Self {
            let mut documents = Vec::new();
            for (name, target) in &locked.targets {
                let Some(hash) = &target.document else { continue };
                let declared = recipe.targets.iter().find(|target| *target.name == **name);
                let path = declared.and_then(|target| target.document.as_ref());
                documents.push(BakedDocument::new(
                    Text::Owned(name.clone()),
                    path.map_or(Text::Borrowed(""), |document| document.path.clone()),
                    Text::Owned(hash.to_string()),
                ));
            }
            Self::new(
                Text::Owned(locked.adapter.to_string()),
                Text::Owned(locked.model.source.clone()),
                Text::Owned(locked.model.hash.to_string()),
                documents.into(),
                (locked.kl_before, locked.kl_after),
            )
        }
    }
}

#[cfg(all(test, feature = "syntax"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::{DeclaringPackage, check};
    use crate::lock::{Lock, Locked};
    use crate::model::{Identity, TINY_CONFIG};
    use crate::recipe::Recipe;
    use crate::{Config, Hash};

    fn recipe(package: &Path, items: &str) -> Recipe {
        let source = format!("bake Office {{ {items} }}");
        let (bakes, mut mistakes) = crate::syntax::parse::parse(source.parse().unwrap());
        let mut declared =
            check(bakes, DeclaringPackage { root: package, lock: None }, &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        declared.remove(0).recipe
    }

    #[test]
    fn a_program_knows_what_it_was_baked_from() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path();
        let write = |name: &str, text: &str| std::fs::write(package.join(name), text).unwrap();
        write("keys.md", "Ask Bob.");
        write("lamp.md", "Call the shop.");
        let declared = "target lamp from \"lamp.md\"; target keys from \"keys.md\";";
        let before = recipe(package, declared);
        assert_eq!(Status::of(&before, package, None), Status::UNKNOWN);
        assert_eq!(Status::UNKNOWN.to_string(), "the program was built without a bake.lock");

        let mut lock = Lock::default();
        let status = Status::of(&before, package, Some(&lock));
        assert_eq!((status.freshness(), status.baked()), (Freshness::Missing, None));
        assert_eq!(status.to_string(), "missing: it has not been baked");

        let identity = Identity::of(package, &before.model).unwrap();
        let config = Config::parse(TINY_CONFIG, "config.json").unwrap();
        let mut locked = Locked::new(&before, identity.files, &identity, &config);
        (locked.kl_before, locked.kl_after) = (9.5, 0.0312);
        locked.adapter = Hash::of(b"adapter");
        lock.insert("Office", locked);
        let status = Status::of(&before, package, Some(&lock));
        assert!(status.is_fresh() && status.why().is_empty());
        let baked = status.baked().unwrap();
        assert_eq!((baked.kl_before(), baked.kl_after(), baked.model()), (9.5, 0.0312, "tiny"));
        assert_eq!(baked.adapter(), Hash::of(b"adapter").to_string());
        assert_eq!(baked.model_hash(), identity.files.to_string());
        let keys = crate::text::document::hash("Ask Bob.");
        let [first, second] = baked.documents() else { panic!("two documents were baked in") };
        assert_eq!((first.target(), first.path()), ("keys", "keys.md"));
        assert_eq!(first.hash(), keys.to_string());
        assert_eq!(second.target(), "lamp");

        // It is stale where a document is another, and still tells what it was baked from.
        write("keys.md", "Ask Alice.");
        let after = recipe(package, "target keys from \"keys.md\";");
        let status = Status::of(&after, package, Some(&lock));
        assert!(status.is_stale(), "{status}");
        assert!(status.why().contains("keys.md has changed"), "{status}");
        let baked = status.baked().unwrap();
        assert_eq!(baked.documents()[0].hash(), keys.to_string());
        assert_eq!((baked.documents()[1].target(), baked.documents()[1].path()), ("lamp", ""));
        let text = status.to_string();
        assert!(
            text.starts_with("stale: ") && text.contains(&format!("keys.md ({})", keys.short()))
        );
        assert!(text.contains("divergence 9.500 before and 0.031 after"), "{text}");

        let status = status.without_adapter("it was deleted".to_owned());
        assert_eq!(status.freshness(), Freshness::Missing);
        assert!(status.to_string().starts_with("missing: it was deleted; baked into tiny"));
    }
}
