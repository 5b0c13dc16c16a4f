//! One file out of a zip archive, such as a wheel.
//!
//! Only what is needed of the format (PKWARE's APPNOTE 6.3): the directory at the end, and members
//! that are stored or deflated. No more is read than the directory says, and of that no more than
//! is asked for.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Take};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::DeflateDecoder;

/// The end of the directory, before its comment of at most 65,535 bytes.
const END: usize = 22;
const END_MARK: [u8; 4] = *b"PK\x05\x06";
/// A directory entry and the header before a member, without names.
const ENTRY: usize = 46;
const ENTRY_MARK: [u8; 4] = *b"PK\x01\x02";
const HEADER: usize = 30;
const HEADER_MARK: [u8; 4] = *b"PK\x03\x04";
/// The largest directory that is read. A wheel has a few hundred bytes for each of its files.
const LARGEST_DIRECTORY: u32 = 16 << 20;

/// Whether these are the first bytes of an archive.
pub(super) fn is_archive(start: &[u8]) -> bool {
    start.starts_with(&HEADER_MARK)
}

/// A file in an archive.
#[derive(Debug)]
struct Member {
    name: String,
    method: u16,
    packed: u64,
    bytes: u64,
    header: u64,
}

/// The content of the archive's only member whose name ends like this, as a stream.
///
/// # Errors
/// When there is none or there are several, and when the archive is damaged, encrypted or larger
/// than 4 GB.
pub(super) fn open(mut file: File, ending: &str) -> Result<Box<dyn Read>> {
    let members = directory(&mut file)?;
    let mut found = members.iter().filter(|member| member.name.ends_with(ending));
    let (Some(member), None) = (found.next(), found.next()) else {
        bail!("the archive does not contain exactly one file `…{ending}`");
    };
    let packed = member_at(file, member)?;
    match member.method {
        0 => Ok(Box::new(packed)),
        8 => Ok(Box::new(DeflateDecoder::new(packed).take(member.bytes))),
        method => bail!("`{}` is compressed by method {method}, not deflate", member.name),
    }
}

/// The members that the directory names.
fn directory(file: &mut File) -> Result<Vec<Member>> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min((END + usize::from(u16::MAX)) as u64);
    let mut end = vec![0; tail as usize];
    read_at(file, length - tail, &mut end)?;
    let at = end.windows(END).rposition(|bytes| bytes.starts_with(&END_MARK));
    let end = &end[at.context("the archive has no directory; it is damaged")?..];
    let (count, size, offset) = (u16_at(end, 10), u32_at(end, 12), u32_at(end, 16));
    ensure!(
        size <= LARGEST_DIRECTORY && u64::from(offset) + u64::from(size) <= length,
        "the archive's directory is not where it says, or too large; it is damaged"
    );
    let mut bytes = vec![0; size as usize];
    read_at(file, u64::from(offset), &mut bytes)?;
    let (mut members, mut rest) = (Vec::new(), &bytes[..]);
    for _ in 0..count {
        let entry = rest.get(..ENTRY).filter(|entry| entry.starts_with(&ENTRY_MARK));
        let entry = entry.context("the archive's directory is damaged")?;
        let name_length = usize::from(u16_at(entry, 28));
        let more = usize::from(u16_at(entry, 30)) + usize::from(u16_at(entry, 32));
        let name = rest.get(ENTRY..ENTRY + name_length);
        let name = String::from_utf8_lossy(name.context("the archive's directory is cut off")?);
        ensure!(u16_at(entry, 8) & 1 == 0, "`{name}` is encrypted");
        members.push(Member {
            name: name.into_owned(),
            method: u16_at(entry, 10),
            packed: u64::from(u32_at(entry, 20)),
            bytes: u64::from(u32_at(entry, 24)),
            header: u64::from(u32_at(entry, 42)),
        });
        let next = rest.get(ENTRY + name_length + more..);
        rest = next.context("the archive's directory is cut off")?;
    }
    Ok(members)
}

/// The packed bytes of a member, which follow its header.
fn member_at(mut file: File, member: &Member) -> Result<Take<File>> {
    let mut header = [0; HEADER];
    read_at(&mut file, member.header, &mut header)?;
    ensure!(header.starts_with(&HEADER_MARK), "`{}` is not where the archive says", member.name);
    let names = u64::from(u16_at(&header, 26)) + u64::from(u16_at(&header, 28));
    file.seek(SeekFrom::Start(member.header + HEADER as u64 + names))?;
    Ok(file.take(member.packed))
}

fn read_at(file: &mut File, at: u64, bytes: &mut [u8]) -> Result<()> {
    let mut read = |file: &mut File| -> io::Result<()> {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    };
    read(file).context("the archive is cut off")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// An archive of these files, each stored or deflated.
    fn archive(files: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        for (name, content, deflated) in files {
            let mut packed = content.to_vec();
            if *deflated {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(content).unwrap();
                packed = encoder.finish().unwrap();
            }
            let method = if *deflated { 8_u16 } else { 0 };
            let mut about = [0; 26];
            about[4..6].copy_from_slice(&method.to_le_bytes());
            about[14..18].copy_from_slice(&(packed.len() as u32).to_le_bytes());
            about[18..22].copy_from_slice(&(content.len() as u32).to_le_bytes());
            about[22..24].copy_from_slice(&(name.len() as u16).to_le_bytes());
            entries.extend([&ENTRY_MARK[..], &[0; 2], &about, &[0; 10]].concat());
            entries.extend((bytes.len() as u32).to_le_bytes());
            entries.extend(name.as_bytes());
            bytes.extend([&HEADER_MARK[..], &about, name.as_bytes(), &packed].concat());
        }
        let offset = bytes.len() as u32;
        bytes.extend(&entries);
        bytes.extend([&END_MARK[..], &[0; 6], &(files.len() as u16).to_le_bytes()].concat());
        bytes.extend((entries.len() as u32).to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend(b"\x07\x00comment");
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut content = Vec::new();
        open(file, ".gguf")?.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn a_member_is_read_whether_it_is_stored_or_deflated() {
        let content = b"the weights, the weights, the weights".as_slice();
        for deflated in [false, true] {
            let files = [("a/b.gguf", content, deflated), ("a/c.py", b"no", true)];
            let bytes = archive(&files);
            assert!(is_archive(&bytes));
            assert_eq!(read(&bytes).unwrap(), content);
        }
        for wrong in [&[("a.py", content, true)][..], &[("a.gguf", content, true); 2]] {
            let error = read(&archive(wrong)).unwrap_err().to_string();
            assert!(error.contains("exactly one file"), "{error}");
        }
    }

    #[test]
    fn a_damaged_archive_is_an_error_and_never_more_than_it_says() {
        let whole = archive(&[("a.gguf", &[7; 1000], true)]);
        for length in 0..whole.len() - 7 {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        // Deflate packs at most 1032 bytes into one.
        let most = 1032 * whole.len();
        for at in 0..whole.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                assert!(read(&bytes).map_or(0, |content| content.len()) <= most, "{at}");
            }
        }
    }
}
