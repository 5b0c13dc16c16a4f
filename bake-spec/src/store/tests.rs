use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("store"));
    (dir, store)
}

fn put(store: &Store, key: &Hash, content: &str) -> PathBuf {
    store
        .put_adapter(key, |dir| fs::write(dir.join("a"), content).map_err(|e| write_error(dir, e)))
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
    fs::write(path.join("a"), "weighty").unwrap();
    assert_eq!(store.adapter(&key).unwrap(), None);
    put(&store, &key, "weights");
    assert_eq!(fs::read_to_string(path.join("a")).unwrap(), "weights");
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
fn cleaning_removes_what_is_old_and_leaves_what_is_kept() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    let path = put(&store, &key, "weights");
    let kept = hash_folder(&path).unwrap();
    put(&store, &Hash::of(b"another recipe"), "other weights");
    store.put_product("stimuli", &key, b"content").unwrap();
    let left = File::create(store.root.join("tmp/left")).unwrap();
    left.set_modified(SystemTime::now() - 2 * WRITTEN_WITHIN).unwrap();
    let held = store.try_lock(&key).unwrap().unwrap();
    assert_eq!(store.clean(4 * WRITTEN_WITHIN, &[]).unwrap(), (0, 0), "all of it is young");
    std::thread::sleep(Duration::from_millis(20));
    let (files, bytes) = store.clean(Duration::ZERO, &[kept]).unwrap();
    assert!(
        files == 5 && bytes > 0,
        "two keys, a blob, an adapter's file, and what was left behind: {files}"
    );
    assert!(store.try_lock(&key).unwrap().is_none(), "what is being made is left alone");
    drop(held);
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
    assert_eq!(store.product("stimuli", &key).unwrap(), None);
    assert_eq!(store.adapter(&Hash::of(b"another recipe")).unwrap(), None);
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
    fs::write(copy.join("a"), "weighty").unwrap();
    assert!(
        store
            .adopt(&copy, &hash, &key)
            .unwrap_err()
            .to_string()
            .contains("is not the adapter that is locked")
    );
    assert_eq!(other.artifact(&hash), None);
}

#[test]
fn a_lock_keeps_another_out_until_it_is_dropped() {
    let (_dir, store) = store();
    let key = Hash::of(b"recipe");
    let lock = store.try_lock(&key).unwrap();
    assert!(lock.is_some() && store.try_lock(&key).unwrap().is_none());
    assert!(store.try_lock(&Hash::of(b"another recipe")).unwrap().is_some());
    drop(lock);
    assert!(store.try_lock(&key).unwrap().is_some());
}

#[test]
fn what_others_left_behind_is_not_in_the_way() {
    let (_dir, store) = store();
    for n in 0..200 {
        fs::create_dir_all(store.root.join("tmp").join(format!("{}-{n}", std::process::id())))
            .unwrap();
        fs::write(
            store.root.join("tmp").join(format!("{}-{n}", std::process::id())).join("junk"),
            "",
        )
        .unwrap();
    }
    let key = Hash::of(b"recipe");
    let path = put(&store, &key, "weights");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    fs::write(path.join(".hidden"), "").unwrap();
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);

    // Folders where files should be are damage, and damage is mended.
    fs::create_dir(path.join("folder")).unwrap();
    assert_eq!(store.adapter(&key).unwrap(), None);
    let name = store.key_path(ADAPTERS, &key);
    fs::remove_file(&name).unwrap();
    fs::create_dir_all(name.join("folder")).unwrap();
    assert_eq!(store.adapter(&key).unwrap(), None);
    assert_eq!(put(&store, &key, "weights"), path);
    assert_eq!(store.adapter(&key).unwrap().unwrap(), path);
}
