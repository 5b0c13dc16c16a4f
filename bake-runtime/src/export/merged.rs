//! A folder in the Hugging Face style, the adapter in the weights.

use bake_spec::model::config::{EMBEDDING, HEAD, class_of};
use serde_json::{Value, json};

use super::folder::NewFolder;
use super::merge::Merge;
use super::{Base, ExportDtype, numbers};
use crate::adapter::Adapter;
use crate::error::{Error, ErrorKind, Result};

const WEIGHTS: &str = "model.safetensors";

/// A tensor of the file.
struct MergedTensor {
    name: String,
    dtype: ExportDtype,
    /// The name of the type in the file.
    kind: &'static str,
    shape: Vec<usize>,
}

/// Writes the folder.
pub(super) fn write(
    base: &Base<'_>,
    adapter: &Adapter,
    dtype: Option<ExportDtype>,
    folder: &NewFolder,
) -> Result<()> {
    let merge = Merge::new(base, &base.checkpoint.config()?, adapter);
    let mut entries = Vec::new();
    for name in base.checkpoint.names() {
        let stored = merge.stored(&name)?;
        let own = numbers::plain(stored.dtype).unwrap_or(ExportDtype::Bf16);
        let dtype = dtype.unwrap_or(own);
        let Some(kind) = numbers::in_safetensors(dtype) else {
            let message = "a merged folder has no quantised numbers; use --dtype f32, f16 or bf16, \
                           or --to gguf";
            return Err(Error::new(ErrorKind::Export, message));
        };
        entries.push(MergedTensor { name, dtype, kind, shape: stored.shape });
    }
    // As the reference implementation orders them: wide types first, so that all are aligned.
    entries.sort_by(|a, b| {
        let wide = |entry: &MergedTensor| entry.dtype == ExportDtype::F32;
        wide(b).cmp(&wide(a)).then_with(|| a.name.cmp(&b.name))
    });
    let header = header(&entries);
    folder.write_with(WEIGHTS, |file| {
        file.write(&(header.len() as u64).to_le_bytes())?;
        file.write(header.as_bytes())?;
        for MergedTensor { name, dtype, .. } in &entries {
            file.write(&merge.bytes(name, *dtype)?)?;
        }
        Ok(())
    })?;
    write_texts(base, &entries, folder)
}

/// The header of a safetensors file: the tensors and where they are, in JSON of a length that keeps
/// what follows aligned.
fn header(entries: &[MergedTensor]) -> String {
    let (mut tensors, mut at) = (serde_json::Map::new(), 0);
    tensors.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    for MergedTensor { name, dtype, kind, shape } in entries {
        let end = at + numbers::size(shape, *dtype);
        let entry = json!({"dtype": kind, "shape": shape, "data_offsets": [at, end]});
        tensors.insert(name.clone(), entry);
        at = end;
    }
    let mut header = Value::Object(tensors).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    header
}

/// Writes everything but the weights. The configuration says the type of most of the weights, which
/// transformers loads them in.
fn write_texts(base: &Base<'_>, entries: &[MergedTensor], folder: &NewFolder) -> Result<()> {
    let files = base.checkpoint.files();
    let is_bf16 = |entry: &&MergedTensor| entry.dtype == ExportDtype::Bf16;
    let is_f16 = |entry: &&MergedTensor| entry.dtype == ExportDtype::F16;
    let (bf16, f16) =
        (entries.iter().filter(is_bf16).count(), entries.iter().filter(is_f16).count());
    let dtype = match () {
        () if bf16 > entries.len() / 2 => "bfloat16",
        () if f16 > entries.len() / 2 => "float16",
        () => "float32",
    };
    folder.write("config.json", &configuration(base, dtype)?)?;
    folder.write("tokenizer.json", &files.tokenizer)?;
    let texts = [
        ("tokenizer_config.json", &files.tokenizer_config),
        ("generation_config.json", &files.generation_config),
        ("chat_template.jinja", &files.template),
        ("special_tokens_map.json", &files.special_tokens_map),
        ("added_tokens.json", &files.added_tokens),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            folder.write(name, text.as_bytes())?;
        }
    }
    Ok(())
}

/// The `config.json`: as it was, but for the type, for whether the head is the embedding table, and
/// for the class, which other programs need.
fn configuration(base: &Base<'_>, dtype: &str) -> Result<Vec<u8>> {
    const CLASS: &str = "architectures";
    let config = &base.checkpoint.files().config;
    let unreadable = |e| Error::with_source(ErrorKind::Export, "config.json is not JSON", e);
    let json: Value = serde_json::from_str(config).map_err(unreadable)?;
    let mut changed = json.clone();
    // Of the two spellings, all versions of transformers read the older.
    let key = if json.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
    changed[key] = dtype.into();
    if json[CLASS].as_array().is_none_or(Vec::is_empty) {
        let class = class_of(json["model_type"].as_str().unwrap_or_default());
        changed[CLASS] = class.into_iter().collect();
    }
    if base.checkpoint.config()?.tied_head() && has_own_head(base)? {
        changed["tie_word_embeddings"] = false.into();
    }
    match changed == json {
        true => Ok(config.as_bytes().to_vec()),
        false => Ok(format!("{changed:#}\n").into_bytes()),
    }
}

/// Whether a model has a head that is not its embedding table.
fn has_own_head(base: &Base<'_>) -> Result<bool> {
    match base.checkpoint.stored(HEAD)? {
        Some(head) => Ok(!base.checkpoint.same(&head, EMBEDDING)?),
        None => Ok(false),
    }
}
