use std::fs::File;

use super::*;
use crate::store::{ADAPTER_FILES, checkpoint_folder, hash_folder};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("store"));
    (dir, store)
}

fn put(store: &Store, key: &Hash, content: &str) -> Hash {
    let write = |dir: &Path| {
        fs::write(dir.join(ADAPTER_FILES[1]), content).unwrap();
        Ok::<(), Error>(())
    };
    hash_folder(&store.put_adapter(key, write).unwrap()).unwrap()
}

/// Makes everything in a folder look as if it was last used that long ago.
fn age(path: &Path, age: Duration) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| self::age(&entry.unwrap().path(), age));
    } else {
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

/// Removes what was not used for thirty days, and says how many of each kind.
fn clean(store: &Store, keep: &[Hash]) -> Vec<(GarbageKind, usize)> {
    let garbage = store.garbage(30 * DAY, keep).unwrap();
    store.remove(&garbage).unwrap();
    garbage.shares().iter().map(|share| (share.kind, share.count)).collect()
}

#[test]
fn old_products_are_removed_and_kept_or_recent_ones_stay() {
    let (_dir, store) = store();
    let keys = ["locked", "old", "young"].map(|key| Hash::of(key.as_bytes()));
    let [locked, old, young] = keys.map(|key| put(&store, &key, &key.short()));
    store.put_product("answers", &keys[1], b"old").unwrap();
    store.put_latest("checkpoints", &keys[1], b"old").unwrap();
    fs::write(store.root.join("tmp/new-1-2"), "killed").unwrap();
    age(&store.root, 40 * DAY);
    put(&store, &keys[2], &keys[2].short());
    store.put_product("answers", &keys[2], b"young").unwrap();

    let garbage = store.garbage(30 * DAY, &[locked]).unwrap();
    let shares = garbage.shares();
    let counts: Vec<_> = shares.iter().map(|share| (share.kind, share.count)).collect();
    let want = [
        (GarbageKind::Adapter, 1),
        (GarbageKind::Product, 2),
        (GarbageKind::Checkpoint, 1),
        (GarbageKind::LeftOver, 1),
    ];
    assert_eq!(counts, want);
    assert_eq!(shares[0].bytes, keys[1].short().len() as u64);
    assert!(shares[0].oldest.elapsed().unwrap() > 39 * DAY);
    assert!(store.artifact(&old).is_some(), "to find is not to remove");

    age(&store.root.join(USED).join(old.to_string()), 40 * DAY);
    store.remove(&garbage).unwrap();
    assert_eq!(
        [locked, old, young].map(|hash| store.artifact(&hash).is_some()),
        [true, false, true]
    );
    assert!(store.adapter(&keys[0]).unwrap().is_some(), "its key stays with it");
    assert!(!store.key_path(ADAPTERS, &keys[1]).exists(), "and goes with it");
    assert_eq!(store.product("answers", &keys[1]).unwrap(), None);
    assert_eq!(store.product("answers", &keys[2]).unwrap().unwrap(), b"young");
    assert_eq!(store.latest("checkpoints", &keys[1]).unwrap(), None);
    assert_eq!(entries(&store.root.join("tmp")).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(clean(&store, &[locked]), [], "nothing is left to go");
}

#[test]
fn every_way_of_finding_an_adapter_counts_as_use() {
    let key = Hash::of(b"recipe");
    let ways: [fn(&Store, &Hash, &Hash); 5] = [
        |store, key, _| assert!(store.adapter(key).unwrap().is_some()),
        |store, _, hash| assert!(store.artifact(hash).is_some()),
        |store, _, hash| {
            assert!(Store::holds(&store.root().join(ARTIFACTS).join(hash.to_string()), hash))
        },
        |store, key, _| assert_eq!(&put(store, key, "weights"), &hash_of("weights")),
        |store, _, hash| Store::note_use_of(&store.artifact_path(hash)),
    ];
    for use_it in ways {
        let (_dir, store) = store();
        let hash = put(&store, &key, "weights");
        store.artifact(&hash).unwrap();
        age(&store.root, 40 * DAY);
        use_it(&store, &key, &hash);
        assert_eq!(clean(&store, &[]), []);
        assert!(store.artifact(&hash).is_some());
    }
    let (_dir, store) = store();
    let hash = put(&store, &key, "weights");
    age(&store.root, 40 * DAY);
    assert_eq!(clean(&store, &[]), [(GarbageKind::Adapter, 1)]);
    assert_eq!(store.artifact(&hash), None);
}

#[test]
fn checkpoints_stay_as_long_as_their_adapter() {
    let (_dir, store) = store();
    let [locked, old] = ["locked", "old"].map(|name| {
        let put = |dir: &Path| {
            fs::create_dir_all(checkpoint_folder(dir, 1)).unwrap();
            fs::write(checkpoint_folder(dir, 1).join(ADAPTER_FILES[1]), "early").unwrap();
            fs::write(dir.join(ADAPTER_FILES[1]), name).unwrap();
            Ok::<(), Error>(())
        };
        hash_folder(&store.put_adapter(&Hash::of(name.as_bytes()), put).unwrap()).unwrap()
    });
    let early = |hash| checkpoint_folder(&store.artifact_path(hash), 1).join(ADAPTER_FILES[1]);
    age(&store.root, 40 * DAY);
    let shares = store.garbage(30 * DAY, &[locked]).unwrap().shares();
    assert_eq!(shares.iter().map(|share| share.bytes).collect::<Vec<_>>(), [8]);
    assert_eq!(clean(&store, &[locked]), [(GarbageKind::Adapter, 1)]);
    assert!(early(&locked).is_file() && !store.artifact_path(&old).exists());
    store.artifact(&locked).unwrap();
    assert_eq!(clean(&store, &[]), [], "a use of the adapter counts for them too");
    assert!(early(&locked).is_file());
}

fn hash_of(content: &str) -> Hash {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(ADAPTER_FILES[1]), content).unwrap();
    hash_folder(dir.path()).unwrap()
}

#[test]
fn what_is_used_between_finding_and_removing_stays() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    let hash = put(&store, &key, "weights");
    store.put_product("answers", &key, b"content").unwrap();
    age(&store.root, 40 * DAY);
    let garbage = store.garbage(30 * DAY, &[]).unwrap();
    assert_eq!(garbage.shares().len(), 2);
    store.product("answers", &key).unwrap().unwrap();
    store.adapter(&key).unwrap().unwrap();
    store.remove(&garbage).unwrap();
    assert!(store.artifact(&hash).is_some());
    assert!(store.product("answers", &key).unwrap().is_some());
}

#[test]
fn a_lock_that_is_held_or_being_taken_stays() {
    let (_dir, store) = store();
    let (held, free) = (Hash::of(b"held"), Hash::of(b"free"));
    let lock = store.try_lock(&held).unwrap().unwrap();
    drop(store.try_lock(&free).unwrap());
    let path = |key: &Hash| store.root.join("locks").join(key.to_string());
    age(&path(&held), 40 * DAY);
    age(&path(&free), 40 * DAY);

    // A process has opened the file, but does not hold it yet.
    let taking = File::open(store.root.join("locks/.gate")).unwrap();
    taking.lock_shared().unwrap();
    assert_eq!(clean(&store, &[]), []);
    assert!(path(&free).exists());

    drop(taking);
    assert_eq!(clean(&store, &[]), [(GarbageKind::LeftOver, 1)]);
    assert!(!path(&free).exists() && path(&held).exists());
    assert!(store.try_lock(&held).unwrap().is_none(), "it is held as before");
    drop(lock);
}

#[test]
fn notes_of_packages_go_only_when_the_packages_are_gone() {
    let (dir, store) = store();
    let package = dir.path().join("package");
    fs::create_dir(&package).unwrap();
    put(&store, &Hash::of(b"recipe"), "weights");
    store.note_package(&package);
    age(&store.root.join("packages"), 40 * DAY);
    assert_eq!(clean(&store, &[]), []);
    assert_eq!(store.packages().unwrap().len(), 1);
    fs::remove_dir(&package).unwrap();
    assert_eq!(clean(&store, &[]), [(GarbageKind::LeftOver, 1)]);
}

#[test]
fn files_being_written_stay_whatever_the_limit() {
    let (_dir, store) = store();
    put(&store, &Hash::of(b"recipe"), "weights");
    fs::write(store.root.join("tmp/new-1-2"), "on its way").unwrap();
    let garbage = store.garbage(Duration::ZERO, &[]).unwrap();
    store.remove(&garbage).unwrap();
    assert!(store.root.join("tmp/new-1-2").exists());
}
