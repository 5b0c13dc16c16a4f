use super::*;

/// A file of an adapter.
const FILE: &str = ADAPTER_FILES[0];

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("store"));
    (dir, store)
}

fn put(store: &Store, key: &Hash, content: &str) -> PathBuf {
    store
        .put_adapter(key, |dir| {
            fs::write(dir.join(FILE), content).map_err(|e| store.write_error(dir, e))
        })
        .unwrap()
}

#[test]
fn products_come_back_and_damaged_ones_do_not() {
    let (_dir, store) = store();
    let key = Hash::of(b"key");
    assert_eq!(store.product("stimuli", &key).unwrap(), None);
    let hash = store.put_product("stimuli", &key, b"content").unwrap();
    assert_eq!(store.product("stimuli", &key).unwrap().unwrap(), b"content");
    assert_eq!(store.product("rollouts", &key).unwrap(), None);
    fs::write(store.blob_path(&hash), b"contenT").unwrap();
    assert_eq!(store.product("stimuli", &key).unwrap(), None);
    store.put_product("stimuli", &key, b"content").unwrap();
    assert_eq!(store.product("stimuli", &key).unwrap().unwrap(), b"content");
}

#[test]
fn adapters_come_back_and_damaged_ones_are_replaced() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    assert_eq!(store.adapter(&key).unwrap(), None);
    let path = put(&store, &key, "weights");
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
    assert_eq!(
        put(&store, &Hash::of(b"another recipe"), "weights"),
        path,
        "the same content has one address"
    );
    fs::write(path.join(FILE), "weighty").unwrap();
    assert_eq!(store.adapter(&key).unwrap(), None);
    put(&store, &key, "weights");
    assert_eq!(fs::read_to_string(path.join(FILE)).unwrap(), "weights");
    assert_eq!(fs::read_dir(store.root.join("tmp")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn checkpoints_come_with_an_adapter_and_are_made_again_with_it() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    let put = |checkpoint: &str| {
        let written = store.put_adapter(&key, |dir| {
            let early = checkpoint_folder(dir, 1);
            fs::create_dir_all(&early).unwrap();
            fs::write(early.join(FILE), checkpoint).unwrap();
            fs::write(dir.join(FILE), "late").map_err(|e| store.write_error(dir, e))
        });
        written.unwrap()
    };
    let path = put("early");
    let read = || fs::read_to_string(checkpoint_folder(&path, 1).join(FILE)).unwrap();
    assert_eq!((read().as_str(), folder_bytes(&path)), ("early", 4));
    // They are not part of the adapter's hash.
    fs::write(checkpoint_folder(&path, 1).join(FILE), "damaged").unwrap();
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
    assert_eq!(put("early"), path);
    assert_eq!(read(), "early");
    // The adapter alone, from elsewhere, leaves them.
    assert_eq!(self::put(&store, &key, "late"), path);
    assert_eq!(read(), "early");
    assert_eq!(fs::read_dir(store.root.join("tmp")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_failed_write_leaves_nothing() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    let failed = store.put_adapter(&key, |_| Err(Error::new(ErrorKind::Store, "no")));
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert_eq!(store.adapter(&key).unwrap(), None);
    assert_eq!(fs::read_dir(store.root.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error =
        Store::new(&file).put_product("stimuli", &Hash::of(b""), b"").unwrap_err().to_string();
    assert!(error.contains("file") && error.contains(DIR_VARIABLE), "{error}");
    assert_eq!(Store::new(&file).adapter(&Hash::of(b"")).unwrap(), None);
}

#[test]
fn what_helps_depends_on_what_failed_and_on_whose_store_it_is() {
    let path = Path::new("file");
    let own = |kind: Io| Store::new("own").write_error(path, kind.into()).to_string();
    let shared = |kind: Io| Store::shared("drive").write_error(path, kind.into()).to_string();
    for said in [own(Io::StorageFull), shared(Io::StorageFull)] {
        assert!(said.contains("free some space on its disk"), "{said}");
        assert!(!said.contains("writable"), "{said}");
    }
    assert!(own(Io::PermissionDenied).contains("make its folder writable"));
    assert!(own(Io::PermissionDenied).contains(DIR_VARIABLE));
    let said = shared(Io::PermissionDenied);
    assert!(said.contains("in the shared folder") && !said.contains(DIR_VARIABLE), "{said}");
}

#[test]
fn an_adapter_is_taken_over_only_when_it_is_whole() {
    let (dir, store) = store();
    let key = Hash::of(b"recipe");
    let path = put(&store, &key, "weights");
    let hash = hash_folder(&path).unwrap();
    let other = Store::new(dir.path().join("other"));
    let copy = other.adopt(&path, &hash, &key).unwrap();
    assert_eq!(
        (other.adapter(&key).unwrap().unwrap(), other.artifact(&hash).unwrap()),
        (copy.clone(), copy.clone())
    );
    fs::write(copy.join(FILE), "weighty").unwrap();
    assert!(
        store
            .adopt(&copy, &hash, &key)
            .unwrap_err()
            .to_string()
            .contains("is not the adapter that bake.lock names")
    );
    assert_eq!(other.artifact(&hash), None);
}

#[test]
fn leftovers_of_others_are_not_in_the_way() {
    let (_dir, store) = store();
    for n in 0..200 {
        let left = store.root.join("tmp").join(format!("new-{}-{n}", std::process::id()));
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("junk"), "").unwrap();
    }
    let key = Hash::of(b"recipe");
    let path = put(&store, &key, "weights");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);

    // Folders in place of files count as damage, and what is damaged is made again.
    fs::remove_file(path.join(FILE)).unwrap();
    fs::create_dir(path.join(FILE)).unwrap();
    assert_eq!(store.adapter(&key).unwrap(), None);
    let name = store.key_path(ADAPTERS, &key);
    fs::remove_file(&name).unwrap();
    fs::create_dir_all(name.join("folder")).unwrap();
    assert_eq!(store.adapter(&key).unwrap(), None);
    assert_eq!(put(&store, &key, "weights"), path);
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
}

#[test]
fn files_that_are_not_the_adapters_do_not_count() {
    let (dir, store) = store();
    let key = Hash::of(b"recipe");
    let path = put(&store, &key, "weights");
    let hash = hash_folder(&path).unwrap();
    for stray in ["Thumbs.db", "desktop.ini", ".DS_Store", "README.md"] {
        fs::write(path.join(stray), stray).unwrap();
    }
    fs::create_dir(path.join("__MACOSX")).unwrap();
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
    assert_eq!(store.artifact(&hash).unwrap(), path);
    let copy = Store::new(dir.path().join("other")).adopt(&path, &hash, &key).unwrap();
    assert_eq!(fs::read_dir(copy).unwrap().count(), 1, "they are not copied");
}

#[test]
fn a_copy_replaces_files_one_by_one_and_never_the_folder() {
    let (dir, store) = store();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::create_dir_all(&one).unwrap();
    for name in ADAPTER_FILES {
        fs::write(one.join(name), "new").unwrap();
    }
    let old = put(&store, &Hash::of(b"recipe"), "old");
    copy_folder(&old, &two).unwrap();
    fs::write(two.join("notes.txt"), "ours").unwrap();
    // The last of the files cannot be replaced: the ones before it are new, and nothing is missing.
    fs::create_dir_all(two.join(ADAPTER_FILES[2]).join("full")).unwrap();
    let error = copy_folder(&one, &two).unwrap_err().to_string();
    assert!(error.contains(ADAPTER_FILES[2]), "{error}");
    assert_eq!(fs::read_to_string(two.join(FILE)).unwrap(), "new");
    assert_eq!(fs::read_to_string(two.join("notes.txt")).unwrap(), "ours");
    fs::remove_dir_all(two.join(ADAPTER_FILES[2])).unwrap();
    copy_folder(&one, &two).unwrap();
    assert!(Store::holds(&two, &hash_folder(&one).unwrap()));
    // What the other adapter does not have is removed.
    copy_folder(&old, &two).unwrap();
    assert!(Store::holds(&two, &hash_folder(&old).unwrap()));
}

#[test]
fn what_is_kept_last_is_not_shared_with_products() {
    let (_dir, store) = store();
    let (one, two) = (Hash::of(b"one"), Hash::of(b"two"));
    store.put_product("answers", &one, b"content").unwrap();
    store.put_latest("checkpoints", &two, b"content").unwrap();
    assert_eq!(store.latest("checkpoints", &two).unwrap().unwrap(), b"content");
    store.put_latest("checkpoints", &two, b"other").unwrap();
    assert_eq!(store.product("answers", &one).unwrap().unwrap(), b"content");
    assert_eq!(store.latest("checkpoints", &two).unwrap().unwrap(), b"other");
    store.remove_latest("checkpoints", &two).unwrap();
    store.remove_latest("checkpoints", &two).unwrap();
    assert_eq!(store.latest("checkpoints", &two).unwrap(), None);
    assert_eq!(store.product("answers", &one).unwrap().unwrap(), b"content");

    // A damaged one counts as missing.
    store.put_latest("checkpoints", &two, b"content").unwrap();
    let path = store.latest_path("checkpoints", &two);
    for damaged in [&b"short"[..], &[b'0'; 80], &[0xff; 64]] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(store.latest("checkpoints", &two).unwrap(), None);
    }
}

#[test]
fn the_use_of_an_adapter_leaves_its_folder_as_it_is() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    let path = put(&store, &key, "weights");
    let file = path.join(FILE);
    let long_ago = SystemTime::now() - 100 * NOTED_EVERY;
    File::options().append(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    let modified = |path: &Path| path.metadata().unwrap().modified().unwrap();
    let (before, of_file) = (modified(&path), modified(&file));
    store.adapter(&key).unwrap().unwrap();
    assert_eq!((modified(&path), modified(&file)), (before, of_file));
    let noted = store.root.join(USED).join(hash_folder(&path).unwrap().to_string());
    assert!(modified(&noted) > long_ago);
}
