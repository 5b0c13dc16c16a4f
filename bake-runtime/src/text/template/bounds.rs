//! What keeps a template from using up memory or stack.
//!
//! The engine charges every step and every byte of text, but not lists that are joined, and values
//! can contain one another without an end: a list that is added to itself in a loop has `2^n`
//! items, a namespace that contains itself is printed for ever. So whatever gets a name (by `set`,
//! `with`, `for` or as an argument) and every term of a sum is copied first, item by item, each for
//! a step. What names mean are then trees, at most [`NESTING`] deep, that were paid for.
//! [`rewrite`](super::rewrite) writes the calls of the filter that copies.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Environment, State, Value, filters};

use super::invalid;
use crate::error::{Error, ErrorKind, Result};

/// How deeply a value that has a name may be nested.
const NESTING: usize = 32;

/// The filter that copies, and its form where a namespace is refused, too.
pub(super) const COPIED: &str = "bake_copied";
pub(super) const WITHIN: &str = "bake_copied(true)";

/// The most digits of a number in a text that `format` fills in: it may be a width.
const WIDTH_DIGITS: usize = 4;

/// The bytes of text that are worth a step, as the engine counts them.
const STEP_BYTES: usize = 64;

/// The stack on which templates are parsed and run. The engine goes 150 levels deep, each of which
/// takes kilobytes in a program that is not optimised.
const STACK: usize = 32 << 20;

/// Charges for so many bytes of text, and a step for whatever they belong to.
pub(super) fn charge(state: &State<'_, '_>, bytes: usize) -> JinjaResult<()> {
    state.consume_fuel(1 + (bytes / STEP_BYTES) as u64)
}

/// Runs something on a stack that is deep enough for the engine.
/// `name` is the template's file in messages.
pub(super) fn on_deep_stack<T: Send>(name: &str, run: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
        let thread = thread.map_err(|e| {
            let message = format!("cannot start a thread for the chat template of {name}");
            Error::with_source(ErrorKind::Tokenizer, message, e)
        })?;
        thread.join().map_err(|_| {
            let message = format!(
                "the template engine panicked on the chat template of {name}; use another template"
            );
            Error::new(ErrorKind::Tokenizer, message)
        })
    })
}

/// Adds the filter that [`rewrite`](super::rewrite) uses, and bounds what the engine's own do.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter(COPIED, |state: &State<'_, '_>, value: Value, within: Option<bool>| {
        copied(state, &value, usize::from(within.unwrap_or(false)))
    });
    // Jinja2 has none, and this one contains what it is given.
    environment.remove_filter("chain");
    environment.add_filter("sum", sum);
    environment.set_unknown_method_callback(|state, value, method, args| {
        match (method, value.as_str()) {
            ("format", Some(text)) => charge_format(state, text, args)?,
            ("join", Some(between)) => {
                let Some(items) = args.first().and_then(|items| items.try_iter().ok()) else {
                    return Err(invalid("`join` takes a list".to_owned()));
                };
                for item in items {
                    let bytes = between.len() + item.as_str().map_or(0, str::len);
                    charge(state, bytes)?;
                }
            }
            _ => {}
        }
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
}

/// Charges for a text that `format` fills in, before it is made.
fn charge_format(state: &State<'_, '_>, text: &str, args: &[Value]) -> JinjaResult<()> {
    let fields = || text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
    let is_wide = |field: &str| {
        let widths = field.split(|c: char| !c.is_ascii_digit());
        field.contains(':') && widths.map(str::len).any(|digits| digits > WIDTH_DIGITS)
    };
    if fields().any(is_wide) {
        return Err(invalid("`format` with a width of more than four digits".to_owned()));
    }
    let longest = args.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or(0);
    let widest = longest.max(if text.contains(':') { 10_000 } else { 0 });
    charge(state, fields().count() * widest)
}

type JinjaResult<T = Value> = std::result::Result<T, minijinja::Error>;

/// The sum of numbers. The engine's also joins lists, which costs it nothing.
fn sum(
    state: &State<'_, '_>,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    options: Kwargs,
) -> JinjaResult {
    let named = options.peek::<Option<Value>>("start").unwrap_or_default();
    if start
        .as_ref()
        .or(named.as_ref())
        .is_some_and(|start| !start.is_number() && start.kind() != ValueKind::Bool)
    {
        return Err(invalid("`sum` adds numbers only".to_owned()));
    }
    filters::sum(state, values, attribute, start, options)
}

/// The longest text that costs nothing in a copy, which shares it.
const SHORT: usize = 4096;

/// A copy that shares no list or map with anything else. A value at depth 0 may be a namespace,
/// which is not copied; nor are macros, loops and other things that templates do not make.
pub(super) fn copied(state: &State<'_, '_>, value: &Value, depth: usize) -> JinjaResult {
    let kind_of_object = value.as_object().map_or("", |object| object.type_name());
    if kind_of_object.ends_with("::Namespace") {
        return match depth {
            0 => Ok(value.clone()),
            _ => Err(invalid("a namespace cannot be stored inside another value".to_owned())),
        };
    }
    if depth > NESTING {
        return Err(invalid(format!("a value is nested more than {NESTING} deep")));
    }
    let text = value.as_str().map_or(0, str::len);
    charge(state, if text > SHORT { text } else { 0 })?;
    let item = |item: Value| copied(state, &item, depth + 1);
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(item).collect::<JinjaResult<Vec<_>>>()?;
            Ok(match value.is_tuple() {
                true => Value::from(Tuple::new(items)),
                // A group of `groupby` has names for its parts.
                false if kind_of_object.ends_with("GroupTuple") => value.clone(),
                false => Value::from(items),
            })
        }
        ValueKind::Map if kind_of_object.contains("Map<") => {
            let pair = |key: Value| Ok((item(key.clone())?, item(value.get_item(&key)?)?));
            let pairs = value.try_iter()?.map(pair).collect::<JinjaResult<Vec<_>>>()?;
            Ok(Value::from_pairs(pairs))
        }
        _ => Ok(value.clone()),
    }
}
