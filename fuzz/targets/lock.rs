//! Any bytes as `bake.lock`: what can be read is written and read back the same.

#![no_main]

use bake_spec::Lock;
use bake_spec::lock::LOCK_FILE;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    bake_fuzz::write(LOCK_FILE, bytes);
    if let Ok(Some(lock)) = Lock::read(bake_fuzz::folder()) {
        lock.write(bake_fuzz::folder()).expect("the folder is writable");
        let again = Lock::read(bake_fuzz::folder()).expect("it was written by the same version");
        assert_eq!(format!("{again:?}"), format!("{:?}", Some(lock)));
    }
});
