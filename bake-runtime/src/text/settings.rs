//! What the files next to a tokenizer say about it: `tokenizer_config.json`,
//! `special_tokens_map.json` and `added_tokens.json`, read as transformers 5 reads them.
//!
//! Of the keys of `tokenizer_config.json`, those about single texts and batches make no difference
//! to a conversation: `add_bos_token`, `add_eos_token`, `model_max_length`, `padding_side`,
//! `truncation_side`. Nor does `clean_up_tokenization_spaces`, which is about how an answer is
//! shown: it is shown as the tokenizer decodes it. The others are read here, or refused, but for
//! two: how a text is cut into tokens is what `tokenizer.json` says, with which the model was
//! trained. transformers 5 does not read that for a `tokenizer_class` such as `GPT2Tokenizer` or
//! `LlamaTokenizer`, and makes a tokenizer of that class and of `legacy` anew: that of SmolLM2 then
//! takes several digits for one token.

use std::collections::{BTreeMap, BTreeSet};

use bake_spec::model::Files;
use serde_json::{Map, Value};
use tokenizers::{AddedToken, PreTokenizerWrapper};

use crate::error::{Error, ErrorKind, Result};

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// The most characters of a value that a message repeats.
const SHOWN: usize = 60;

/// The names of special tokens that every tokenizer may have. Any other key that ends in `_token`
/// names one too.
const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The settings of a tokenizer and of its conversations.
pub(crate) struct TextSettings {
    folder: String,
    /// The file that gives the ids of `added`.
    ids_from: &'static str,
    /// Special tokens by their names, as templates know them.
    special: BTreeMap<String, AddedToken>,
    /// Tokens that the tokenizer must have, with the ids that they must get there.
    added: BTreeMap<u32, AddedToken>,
    /// Special tokens without a name.
    extra: Vec<AddedToken>,
    /// Whether a byte-level tokenizer puts a space before a text, where that is said.
    prefix_space: Option<bool>,
    template: String,
    template_name: String,
}

impl TextSettings {
    pub(crate) fn read(files: &Files) -> Result<Self> {
        let mut config = object(files, CONFIG, files.tokenizer_config.as_deref())?;
        if switch(files, &config, "split_special_tokens")? == Some(true) {
            return Err(error(
                files,
                CONFIG,
                "sets `split_special_tokens`, with which a chat template makes no control \
                 tokens; remove it",
            ));
        }
        let (template, template_file) = template(files, &config)?;
        let prefix_space = switch(files, &config, "add_prefix_space")?;
        let declared = config.remove("added_tokens_decoder").filter(|v| !v.is_null());
        let mut keys = SettingsKeys::default();
        keys.read(CONFIG, config);
        if declared.is_none() {
            let map = object(files, SPECIAL, files.special_tokens_map.as_deref())?;
            keys.read(SPECIAL, map.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let (special, extra) = keys.tokens(files)?;
        let ids_from = if declared.is_some() { CONFIG } else { ADDED };
        let added = match declared {
            Some(tokens) => declared_tokens(files, tokens)?,
            None => listed_tokens(files, &special, &extra)?,
        };
        let (folder, template_name) = (files.origin.to_string(), files.name(template_file));
        Ok(Self { folder, ids_from, special, added, extra, prefix_space, template, template_name })
    }

    /// The source of the chat template.
    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// The file that contains the chat template, for messages.
    pub(crate) fn template_name(&self) -> String {
        self.template_name.clone()
    }

    /// The special tokens, by the names under which templates know them.
    pub(crate) fn special_tokens(&self) -> BTreeMap<String, String> {
        self.special.iter().map(|(name, token)| (name.clone(), token.content.clone())).collect()
    }

    /// The token that ends a turn, as the tokenizer has it.
    pub(crate) fn eos_token(&self) -> Option<&str> {
        self.special.get("eos_token").map(|token| token.content.as_str())
    }

    /// Refuses what contradicts a tokenizer: transformers 5 would follow the one or the other,
    /// according to the `tokenizer_class`.
    pub(super) fn check(&self, tokenizer: &tokenizers::Tokenizer) -> Result<()> {
        let there = tokenizer.get_pre_tokenizer().and_then(prefix_space);
        match (self.prefix_space, there) {
            (Some(said), Some(there)) if said != there => Err(Error::new(
                ErrorKind::Tokenizer,
                format!(
                    "{}/{CONFIG} sets `add_prefix_space` to {said}, but the byte-level \
                     pre-tokenizer in tokenizer.json has {there}; set both to what the model was \
                     trained with",
                    self.folder
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Gives a tokenizer the tokens that it lacks or has differently.
    pub(super) fn add_tokens(&self, tokenizer: &mut tokenizers::Tokenizer) -> Result<()> {
        let unusable = |e| {
            let message = format!("the added tokens of {} cannot be used", self.folder);
            Error::with_source(ErrorKind::Tokenizer, message, e)
        };
        let named: BTreeSet<&str> =
            self.special.values().map(|token| token.content.as_str()).collect();
        let there = tokenizer.get_added_tokens_decoder();
        for (&id, token) in &self.added {
            if there.get(&id).is_some_and(|old| same(old, token)) {
                continue;
            }
            let mut token = token.clone();
            token.special |= named.contains(token.content.as_str());
            tokenizer.add_tokens([token.clone()]).map_err(unusable)?;
            let got = tokenizer.token_to_id(&token.content);
            if got != Some(id) && !token.content.is_empty() {
                return Err(Error::new(
                    ErrorKind::Tokenizer,
                    format!(
                        "{}/{} gives the token {} the id {id}, but in tokenizer.json it is {}; the \
                         files do not belong together",
                        self.folder,
                        self.ids_from,
                        shown(&format!("{:?}", token.content)),
                        got.map_or("missing".to_owned(), |id| id.to_string())
                    ),
                ));
            }
        }
        for token in self.special.values().chain(&self.extra) {
            let there = tokenizer.get_added_vocabulary().get_vocab();
            if !there.contains_key(&token.content) {
                tokenizer.add_special_tokens([token.clone()]).map_err(unusable)?;
            }
        }
        Ok(())
    }
}

/// Whether a byte-level pre-tokenizer puts a space before a text; none if it is another.
fn prefix_space(pre_tokenizer: &PreTokenizerWrapper) -> Option<bool> {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(bytes) => Some(bytes.add_prefix_space),
        PreTokenizerWrapper::Sequence(some) => some.as_ref().iter().find_map(prefix_space),
        _ => None,
    }
}

/// What the files say that are read together, each key with the file that has it.
#[derive(Default)]
struct SettingsKeys(BTreeMap<String, (&'static str, Value)>);

/// Special tokens by their names, and those without one.
type Special = (BTreeMap<String, AddedToken>, Vec<AddedToken>);

impl SettingsKeys {
    /// Adds the keys of a file, in place of those of other files.
    fn read(&mut self, file: &'static str, keys: impl IntoIterator<Item = (String, Value)>) {
        self.0.extend(keys.into_iter().map(|(key, value)| (key, (file, value))));
    }

    fn tokens(&self, files: &Files) -> Result<Special> {
        let (mut special, mut extra) = Special::default();
        for (name, (file, value)) in &self.0 {
            if NAMES.contains(&name.as_str()) || name.ends_with("_token") {
                let token = special_token(value).map_err(|what| {
                    error(files, file, &format!("has a `{}` that {what}", shown(name)))
                })?;
                special.extend(token.map(|token| (name.clone(), token)));
            }
        }
        for key in ["extra_special_tokens", "additional_special_tokens"] {
            let Some((file, value)) = self.0.get(key) else { continue };
            let wrong =
                |what: &str| error(files, file, &format!("has a token in `{key}` that {what}"));
            match value {
                Value::Array(tokens) => {
                    for token in tokens {
                        extra.extend(special_token(token).map_err(wrong)?);
                    }
                }
                Value::Object(named) => {
                    for (name, token) in named {
                        let token = special_token(token).map_err(wrong)?;
                        special.extend(token.map(|token| (name.clone(), token)));
                    }
                }
                Value::Null => {}
                _ => return Err(error(files, file, &format!("has no list of tokens in `{key}`"))),
            }
        }
        Ok((special, extra))
    }
}

/// The chat template and its file. One in a separate file has priority, and among several the one
/// called `default`.
fn template(files: &Files, config: &Map<String, Value>) -> Result<(String, &'static str)> {
    if let Some(source) = &files.template {
        return Ok((source.to_string(), "chat_template.jinja"));
    }
    let several = match config.get("chat_template") {
        None | Some(Value::Null) => {
            let message = format!(
                "{} has no chat template, neither in {CONFIG} nor in chat_template.jinja; use the \
                 chat or instruct version of the model",
                files.origin
            );
            return Err(Error::new(ErrorKind::Tokenizer, message));
        }
        Some(Value::String(source)) => return Ok((source.clone(), CONFIG)),
        Some(Value::Array(several)) => several,
        Some(_) => {
            let what = "has a `chat_template` that is neither a string nor a list";
            return Err(error(files, CONFIG, what));
        }
    };
    let mut names = Vec::new();
    for named in several {
        let (Some(name), Some(source)) = (named["name"].as_str(), named["template"].as_str())
        else {
            return Err(error(files, CONFIG, "has a chat template without a name or a text"));
        };
        if name == "default" {
            return Ok((source.to_owned(), CONFIG));
        }
        names.push(name);
    }
    let names = names.join("`, `");
    let message = format!(
        "has the chat templates `{names}`, but no `default`; copy the one you want into \
         chat_template.jinja"
    );
    Err(error(files, CONFIG, &message))
}

/// The tokens of `added_tokens_decoder`, by their ids.
fn declared_tokens(files: &Files, tokens: Value) -> Result<BTreeMap<u32, AddedToken>> {
    let wrong = |what: String| error(files, CONFIG, &format!("has `added_tokens_decoder` {what}"));
    let Value::Object(tokens) = tokens else {
        return Err(wrong("that is not an object".into()));
    };
    let mut added = BTreeMap::new();
    for (id, token) in tokens {
        let number =
            id.parse().map_err(|_| wrong(format!("with the id {}", shown(&format!("{id:?}")))))?;
        let token = added_token(&token, false)
            .ok_or_else(|| wrong(format!("whose token {number} has no text")))?;
        added.insert(number, token);
    }
    Ok(added)
}

/// The tokens of `added_tokens.json`, by their ids.
fn listed_tokens(
    files: &Files,
    special: &BTreeMap<String, AddedToken>,
    extra: &[AddedToken],
) -> Result<BTreeMap<u32, AddedToken>> {
    let mut added = BTreeMap::new();
    for (content, id) in object(files, ADDED, files.added_tokens.as_deref())? {
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            let (id, content) = (shown(&id.to_string()), shown(&format!("{content:?}")));
            let said = format!("has the id {id} for {content}; an id is a whole number");
            return Err(error(files, ADDED, &said));
        };
        let named = special.values().chain(extra).any(|token| token.content == content);
        added.insert(id, AddedToken::from(content, named));
    }
    // What tokenizer.json says of a token has priority.
    let tokenizer: Value = serde_json::from_slice(&files.tokenizer).unwrap_or_default();
    for token in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        added.retain(|id, _| token["id"].as_u64() != Some((*id).into()));
    }
    Ok(added)
}

/// A special token, written as a text or as an object; none where the key is something else, such
/// as a flag. The error says what is wrong.
fn special_token(value: &Value) -> Result<Option<AddedToken>, &'static str> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(None),
        Value::String(text) => Ok(Some(AddedToken::from(text.clone(), true))),
        _ => added_token(value, true).map(Some).ok_or("has no text"),
    }
}

fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = special || flag("special").unwrap_or(false);
    let mut token = AddedToken::from(value.get("content")?.as_str()?, special);
    token.single_word = flag("single_word").unwrap_or(false);
    token.lstrip = flag("lstrip").unwrap_or(false);
    token.rstrip = flag("rstrip").unwrap_or(false);
    token.normalized = flag("normalized").unwrap_or(!special);
    Some(token)
}

fn same(a: &AddedToken, b: &AddedToken) -> bool {
    let flags = |t: &AddedToken| (t.single_word, t.lstrip, t.rstrip, t.normalized, t.special);
    a.content == b.content && flags(a) == flags(b)
}

/// What is either on or off, if `tokenizer_config.json` says which.
fn switch(files: &Files, config: &Map<String, Value>, key: &str) -> Result<Option<bool>> {
    match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(is_on)) => Ok(Some(*is_on)),
        Some(_) => {
            let what = format!(
                "has `{key}` as something that is neither true nor false; write one of them, or \
                 remove it"
            );
            Err(error(files, CONFIG, &what))
        }
    }
}

/// The JSON object of a file, empty where there is none.
fn object(files: &Files, file: &str, text: Option<&str>) -> Result<Map<String, Value>> {
    let Some(text) = text else { return Ok(Map::new()) };
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        // A message of the parser would repeat what there is instead.
        Ok(_) => Err(error(files, file, "is not a JSON object")),
        Err(e) => {
            let message = format!("{} is not a JSON object", files.name(file));
            Err(Error::with_source(ErrorKind::Tokenizer, message, e))
        }
    }
}

/// What is written in a file, or the beginning of it.
fn shown(written: &str) -> String {
    match written.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &written[..end]),
        None => written.to_owned(),
    }
}

fn error(files: &Files, file: &str, what: &str) -> Error {
    Error::new(ErrorKind::Tokenizer, format!("{} {what}", files.name(file)))
}
