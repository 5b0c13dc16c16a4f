//! Processes that are killed, and processes that run at the same time.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

fn package(root: &Path) {
    std::fs::create_dir_all(root.join("src")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("Cargo.toml", "[package]\nname = \"office\"\nedition = \"2024\"\n[workspace]\n");
    write(
        "keys.md",
        "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.\n",
    );
    write("lamp.md", "## Broken lamp\nCall the shop.\n");
    write(
        "src/main.rs",
        r#"bake::bake! { bake Office {
            anchors none;
            lora { rank 8; dropout 0.1; }
            train { epochs 6; batch 4; checkpoint_every 2; keep_every 2; held_out 0.4; rehearse 2;
                until_covered 2; }
            target keys from "keys.md" {
                ask 8; outline 6; unanswerable 2; max_tokens 24; on_policy 0.5;
            }
            target lamp from "lamp.md" {
                questions ["My lamp is broken", "Who repairs my lamp?"];
                ask 2;
                outline 0;
                unanswerable 0;
                rollouts 2;
                max_tokens 24;
            }
        } }"#,
    );
}

fn spawn(root: &Path, store: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    command
        .current_dir(root)
        .env("BAKE_CACHE_DIR", store)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// The one adapter of a store.
fn adapter(store: &Path) -> Vec<u8> {
    let mut artifacts = std::fs::read_dir(store.join("artifacts")).unwrap();
    let bytes =
        std::fs::read(artifacts.next().unwrap().unwrap().path().join("adapter_model.safetensors"))
            .unwrap();
    assert!(artifacts.next().is_none(), "one bake makes one adapter");
    bytes
}

#[test]
fn a_bake_that_is_killed_again_and_again_ends_in_the_same_adapter_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (root, undisturbed, store) =
        (dir.path().join("office"), dir.path().join("undisturbed"), dir.path().join("store"));
    package(&root);
    let begin = Instant::now();
    finish(spawn(&root, &undisturbed));
    let whole = begin.elapsed();
    let lock = std::fs::read(root.join("bake.lock")).unwrap();

    let slow = std::env::var_os("BAKE_SLOW_TESTS").is_some();
    let enough = if slow { 20 } else { 5 };
    if !slow {
        println!("skipped: {enough} kills where BAKE_SLOW_TESTS asks for 20");
    }

    // Each run is killed after at most a quarter of the time of a whole one, until there have been
    // enough kills; a run that finishes before that is repeated in an empty store.
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (mut kills, mut finished) = (0, 0);
    while kills < enough {
        std::fs::remove_file(root.join("bake.lock")).unwrap_or_default();
        let mut child = spawn(&root, &store);
        std::thread::sleep(whole.mul_f64(rng.random_range(0.02..0.25)));
        if child.try_wait().unwrap().is_some() {
            assert_eq!(adapter(&store), adapter(&undisturbed));
            std::fs::remove_dir_all(&store).unwrap();
            finished += 1;
            assert!(finished < 2 * enough + 10, "a bake takes longer than a kill");
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    finish(spawn(&root, &store));
    assert_eq!(adapter(&store), adapter(&undisturbed));
    assert_eq!(std::fs::read(root.join("bake.lock")).unwrap(), lock);
}

#[test]
fn two_processes_share_one_bake() {
    let dir = tempfile::tempdir().unwrap();
    let (root, store) = (dir.path().join("office"), dir.path().join("store"));
    package(&root);
    let (one, two) = (spawn(&root, &store), spawn(&root, &store));
    let said = [finish(one), finish(two)];
    let made = said.iter().filter(|said| said.contains("training: ")).count();
    assert_eq!(made, 1, "one bakes, and the other waits for it: {said:?}");
    adapter(&store);

    // If one is killed while another waits for it, the other takes over.
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::remove_file(root.join("bake.lock")).unwrap();
    let mut first = spawn(&root, &store);
    std::thread::sleep(Duration::from_millis(400));
    let second = spawn(&root, &store);
    std::thread::sleep(Duration::from_millis(400));
    first.kill().unwrap();
    first.wait().unwrap();
    finish(second);
    adapter(&store);
    let left: Vec<_> =
        std::fs::read_dir(store.join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.len() <= 1, "at most what the killed one was writing: {left:?}");
}
