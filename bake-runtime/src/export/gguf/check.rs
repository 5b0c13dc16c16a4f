//! Whether a GGUF file says what its model does: its header is read again before the file is
//! written, so that nothing is lost unnoticed that the format has no words for.

use std::collections::BTreeMap;
use std::fs::File;

use bake_spec::model::gguf::{self, Header};
use serde_json::{Map, Value};

use super::write::NewGguf;
use crate::checkpoint::generation::Generation;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Base;
use crate::export::folder::{NewFolder, failed};
use crate::text::settings::TextSettings;
use crate::text::tokenizer::Tokenizer;

/// Fails where a file with this header and these bytes at its start would be another model.
pub(super) fn means_the_same(
    file: &NewGguf,
    start: &[u8],
    base: &Base<'_>,
    folder: &NewFolder,
) -> Result<()> {
    let header = reread(file, start, folder)?;
    let config = base.checkpoint.config()?;
    if !header.config()?.computes_like(&config) {
        return Err(refused("a setting of its configuration"));
    }
    let vocabulary = config.vocab_size();
    let (own, own_ends) = text_side(base.checkpoint.files(), vocabulary)?;
    let (read, read_ends) = text_side(&header.files()?, vocabulary)?;
    for (part, own) in &own {
        if read.get(part) != Some(own) {
            return Err(refused(&format!("the {part} of its tokenizer")));
        }
    }
    match own_ends.into_iter().find(|id| !read_ends.contains(id)) {
        None => Ok(()),
        Some(id) => Err(refused(&format!("that its token {id} ends an answer"))),
    }
}

/// The header, as the program that reads it will.
fn reread(file: &NewGguf, start: &[u8], folder: &NewFolder) -> Result<Header> {
    let path = folder.path().join("header.gguf");
    let cannot = |e| failed(&path, e);
    let (mut bytes, size) = file.header();
    bytes.extend(start);
    std::fs::write(&path, bytes).map_err(cannot)?;
    // The numbers are not looked at: a hole in the file stands for them.
    let opened = File::options().write(true).open(&path).map_err(cannot)?;
    opened.set_len(size).map_err(cannot)?;
    drop(opened);
    let header = gguf::read_header(&path);
    std::fs::remove_file(&path).map_err(cannot)?;
    Ok(header?)
}

/// The parts of a model's tokenizer, and the tokens that end its answers.
fn text_side(
    files: &bake_spec::model::Files,
    vocabulary: usize,
) -> Result<(BTreeMap<&'static str, Value>, Vec<u32>)> {
    let settings = TextSettings::read(files)?;
    let name = files.name("tokenizer.json");
    let tokenizer = Tokenizer::parse(&files.tokenizer, &settings, vocabulary, &name)?;
    let own_end = settings.eos_token().and_then(|token| tokenizer.id(token));
    let generation = Generation::read(files, own_end, vocabulary)?;
    Ok((parts(tokenizer.json()?), generation.end_tokens().collect()))
}

/// What of a tokenizer makes a difference to a text.
fn parts(mut json: Value) -> BTreeMap<&'static str, Value> {
    let byte_level = json["model"]["byte_fallback"] != true;
    let spaces_replaced = json["normalizer"]["pattern"]["String"] == " ";
    let mut vocabulary = match json["model"]["vocab"].take() {
        Value::Object(vocabulary) => vocabulary,
        _ => Map::new(),
    };
    let mut added = Map::new();
    for mut token in json["added_tokens"].as_array_mut().map(std::mem::take).unwrap_or_default() {
        let content = token["content"].as_str().unwrap_or_default().to_owned();
        vocabulary.insert(content.clone(), token["id"].take());
        if json["normalizer"].is_null() {
            token["normalized"] = Value::Null;
        }
        added.insert(content, token);
    }
    // Where spaces have been replaced, cutting at spaces does nothing.
    let splits = match json["pre_tokenizer"].take() {
        splits if spaces_replaced && splits["pattern"]["String"] == " " => Value::Null,
        splits => splits,
    };
    // Its settings are for other uses than decoding.
    let decoder = match json["decoder"].take() {
        decoder if decoder["type"] == "ByteLevel" => "ByteLevel".into(),
        decoder => decoder,
    };
    let model = &json["model"];
    let unknown = if byte_level { Value::Null } else { model["unk_token"].clone() };
    [
        ("vocabulary", Value::Object(vocabulary)),
        ("list of added tokens", Value::Object(added)),
        ("list of merges", model["merges"].clone()),
        ("kind of merges", serde_json::json!([model["type"], byte_level, model["ignore_merges"]])),
        ("unknown token", unknown),
        ("normalizer", json["normalizer"].clone()),
        ("way of splitting words", splits),
        ("decoder", decoder),
    ]
    .into()
}

fn refused(what: &str) -> Error {
    let message = format!(
        "a GGUF file, as bake reads it, cannot express {what}; export `merged`, and convert that \
         with llama.cpp's convert_hf_to_gguf.py"
    );
    Error::new(ErrorKind::Export, message)
}
