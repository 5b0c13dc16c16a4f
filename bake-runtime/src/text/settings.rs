//! What the files next to a tokenizer say about it: `tokenizer_config.json`,
//! `special_tokens_map.json` and `added_tokens.json`, read as transformers 5 reads them.
//!
//! Of the keys of `tokenizer_config.json`, those about single texts and batches make no difference
//! to a conversation: `add_bos_token`, `add_eos_token`, `model_max_length`, `padding_side`,
//! `truncation_side`. Nor does `clean_up_tokenization_spaces`, which is about how an answer is
//! shown: it is shown as the tokenizer decodes it. Whatever else changes the tokens of a
//! conversation is read here, or refused, but for two keys, `tokenizer_class` and `legacy`: how a
//! text is cut into tokens is what `tokenizer.json` says, with which the model was trained.
//! transformers 5 does not read that for a `tokenizer_class` such as `GPT2Tokenizer` or
//! `LlamaTokenizer`, and makes a tokenizer of that class and of `legacy` anew: that of SmolLM2 then
//! takes several digits for one token.

use std::collections::{BTreeMap, BTreeSet};

use bake_spec::model::Files;
use serde_json::{Map, Value};
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper};

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

/// The keys of further special tokens: with names of the model's own if they are objects, and
/// without a name if they are lists.
const FURTHER: [&str; 3] = ["extra_special_tokens", "additional_special_tokens", MODEL_SPECIFIC];
const MODEL_SPECIFIC: &str = "model_specific_special_tokens";

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
    /// Tokens that steer a conversation, without being called special.
    control: BTreeSet<String>,
    /// Whether the tokenizer puts a space before a text, where that is said.
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
        if switch(files, &config, "fix_mistral_regex")? == Some(true) && is_unfixed(files) {
            return Err(error(
                files,
                CONFIG,
                "sets `fix_mistral_regex`, with which transformers replaces the pre-tokenizer of \
                 tokenizer.json; save the tokenizer with transformers, which writes the other \
                 one, and remove the key",
            ));
        }
        let others = config.get("fast_tokenizer_files").filter(|names| !names.is_null());
        if others.is_some_and(|names| *names != Value::Array(Vec::new())) {
            return Err(error(
                files,
                CONFIG,
                "names other tokenizers in `fast_tokenizer_files`; copy the one to use to \
                 tokenizer.json, and remove the key",
            ));
        }
        let (template, template_file) = template(files, &config)?;
        let prefix_space = switch(files, &config, "add_prefix_space")?;
        let control = chat_control_tokens(files, &config)?;
        if config.iter().any(names_further) {
            config.remove(MODEL_SPECIFIC);
        }
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
        Ok(Self {
            folder,
            ids_from,
            special,
            added,
            extra,
            control,
            prefix_space,
            template,
            template_name,
        })
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

    /// Whether the files name a token, as one that templates write or as one that steers.
    pub(super) fn steers(&self, token: &str) -> bool {
        self.control.contains(token) || self.special.values().any(|named| named.content == token)
    }

    /// Refuses what contradicts a tokenizer: transformers 5 would follow the one or the other,
    /// according to the `tokenizer_class`.
    pub(super) fn check(&self, tokenizer: &tokenizers::Tokenizer) -> Result<()> {
        match (self.prefix_space, prefix_space(tokenizer)) {
            (Some(said), Some(there)) if said != there => Err(Error::new(
                ErrorKind::Tokenizer,
                format!(
                    "{}/{CONFIG} sets `add_prefix_space` to {said}, but tokenizer.json puts {} \
                     before a text; set both to what the model was trained with",
                    self.folder,
                    if there { "a space" } else { "no space" }
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

/// Whether a tokenizer puts a space before a text; none where no part of it is made for that.
fn prefix_space(tokenizer: &tokenizers::Tokenizer) -> Option<bool> {
    if tokenizer.get_normalizer().is_some_and(prepends) {
        return Some(true);
    }
    tokenizer.get_pre_tokenizer().and_then(space_before)
}

fn prepends(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::Prepend(_) => true,
        NormalizerWrapper::Sequence(some) => some.as_ref().iter().any(prepends),
        _ => false,
    }
}

fn space_before(pre_tokenizer: &PreTokenizerWrapper) -> Option<bool> {
    match pre_tokenizer {
        PreTokenizerWrapper::ByteLevel(bytes) => Some(bytes.add_prefix_space),
        PreTokenizerWrapper::Metaspace(marks) => Some(marks.prepend_scheme != PrependScheme::Never),
        PreTokenizerWrapper::Sequence(some) => some.as_ref().iter().find_map(space_before),
        _ => None,
    }
}

/// Whether transformers takes the tokenizer for one that Mistral published with a wrong
/// pre-tokenizer: one beside a configuration of such a model, or of none, of before transformers 5.
fn is_unfixed(files: &Files) -> bool {
    let config: Value = serde_json::from_str(&files.config).unwrap_or_default();
    let of_mistral = config["model_type"].as_str().is_none_or(|of| of == "mistral");
    let is_new = |version: &str| {
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        // Those before the first release are older than that.
        major.is_some_and(|major| major >= 5) && !version.contains("rc") && !version.contains("dev")
    };
    of_mistral && !config["transformers_version"].as_str().is_some_and(is_new)
}

/// Whether a key of `tokenizer_config.json` gives tokens names of the model's own, such as
/// `image_token`. transformers 5 then forgets those of [`MODEL_SPECIFIC`], where it writes all of
/// them once more.
fn names_further((key, value): (&String, &Value)) -> bool {
    match value {
        Value::String(_) => key.ends_with("_token") && !NAMES.contains(&key.as_str()),
        Value::Object(named) => FURTHER[..2].contains(&key.as_str()) && !named.is_empty(),
        _ => false,
    }
}

/// The tokens that steer a conversation, beside those of which that can be seen.
fn chat_control_tokens(files: &Files, config: &Map<String, Value>) -> Result<BTreeSet<String>> {
    let Some(listed) = config.get("chat_control_tokens").filter(|listed| !listed.is_null()) else {
        return Ok(BTreeSet::new());
    };
    let text = |token: &Value| token.as_str().map(str::to_owned);
    let texts = listed.as_array().and_then(|all| all.iter().map(text).collect());
    texts.ok_or_else(|| {
        let what = "has `chat_control_tokens` that are not a list of texts; write one, or remove \
                    the key";
        error(files, CONFIG, what)
    })
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
        for key in FURTHER {
            let Some((file, value)) = self.0.get(key) else { continue };
            let wrong =
                |what: &str| error(files, file, &format!("has a token in `{key}` that {what}"));
            match value {
                Value::Array(tokens) if key != MODEL_SPECIFIC => {
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
                _ => {
                    let form = if key == MODEL_SPECIFIC { "object" } else { "list" };
                    return Err(error(files, file, &format!("has no {form} of tokens in `{key}`")));
                }
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
