//! What a program was baked from, as its lock says.

use std::path::Path;

use super::{KnownModel, Lock, Locked, State, state};
use crate::model::Identity;
use crate::recipe::{Recipe, Text};
use crate::status::{BakedDocument, BakedFrom, Freshness, Status};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{DeclaringPackage, check};
    use crate::hash::Hash;
    use crate::model::TINY_CONFIG;
    use crate::model::config::Config;

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
