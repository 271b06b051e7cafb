//! Settings: the values of a recipe by their dotted keys, each with the place where it was written.
//!
//! A recipe is read in two halves. Here it becomes a flat list of keys and values; [`crate::recipe`] asks for each key it knows, with
//! its range. What nobody asked for is unknown, and the nearest key that somebody did ask for is the hint.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tatabox_core::names::nearest;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// A value as TOML gives it, without its spans.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    List(Vec<Value>),
}

impl Value {
    fn json(&self) -> serde_json::Value {
        match self {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Boolean(yes) => (*yes).into(),
            Value::List(values) => values.iter().map(Value::json).collect(),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Text(text) => write!(f, "\"{text}\""),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number}"),
            Value::Boolean(yes) => write!(f, "{yes}"),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

/// Keys that say the same thing in two ways: a `--set` of one replaces the other.
pub const EITHER_OR: [[&str; 2]; 2] =
    [["train.batch_size", "train.batch_tokens"], ["train.warmup_steps", "train.warmup_ratio"]];

#[derive(Clone, Debug)]
struct Setting {
    value: Value,
    place: String,
}

/// The settings of one recipe with the `--set` options over it, and which of them were asked for.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    given: BTreeMap<String, Setting>,
    asked: Vec<String>,
}

impl Settings {
    /// No settings: every question gets its default.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The settings of a TOML file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or holds a value that no recipe has (a date, a table in a list).
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The settings of a TOML text; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        Ok(Self::parse_parts(text, name, "")?.0)
    }

    /// As [`Settings::parse`], but each table below `section` (`[arms.NAME]`) is a part of its own, with its name, in the order of the file.
    ///
    /// # Errors
    /// As [`Settings::read`]; or something else than a table lies below `section`.
    pub fn parse_parts(text: &str, name: &str, section: &str) -> Result<(Self, Vec<(String, Self)>)> {
        let place = |at: usize| {
            let at = at.min(text.len());
            format!("{name}, line {}", text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1)
        };
        let table = DeTable::parse(text).map_err(|error| Error::Recipe {
            place: place(error.span().map_or(0, |span| span.start)),
            what: format!("expected TOML, got something else: {}", error.message()),
            hint: String::new(),
        })?;
        let mut settings = Self::empty();
        let mut parts = Vec::new();
        for (key, value) in table.get_ref().iter() {
            match value.get_ref() {
                DeValue::Table(inner) if key.get_ref() == section => {
                    for (part, value) in inner.iter() {
                        let DeValue::Table(inner) = value.get_ref() else {
                            return Err(Error::Recipe {
                                place: place(part.span().start),
                                what: format!(
                                    "expected a table, got `{section}.{}` with a single value",
                                    part.get_ref()
                                ),
                                hint: format!("write `[{section}.NAME]` and its keys below"),
                            });
                        };
                        let mut own = Self::empty();
                        own.add_table(inner, "", &place)?;
                        parts.push((part.span().start, part.get_ref().to_string(), own));
                    }
                }
                other => settings.add_value(key.get_ref(), other, place(key.span().start), &place)?,
            }
        }
        parts.sort_by_key(|(at, ..)| *at);
        Ok((settings, parts.into_iter().map(|(_, name, own)| (name, own)).collect()))
    }

    /// Puts all values of another recipe over these, with the places where they were written.
    pub fn overlay(&mut self, over: &Settings) {
        over.given.iter().for_each(|(key, setting)| self.put(key, setting.clone()));
    }

    /// The keys that are given, sorted, each with its value as it is shown.
    pub fn given(&self) -> impl Iterator<Item = (&str, String)> {
        self.given.iter().map(|(key, setting)| (key.as_str(), setting.value.to_string()))
    }

    /// Takes away a key, and gives its value and its place.
    pub fn take(&mut self, key: &str) -> Option<(Value, String)> {
        self.given.remove(key).map(|setting| (setting.value, setting.place))
    }

    /// Puts a value over what is given, and takes away what says the same thing in another way.
    fn put(&mut self, key: &str, setting: Setting) {
        for [one, other] in EITHER_OR {
            if key == one {
                self.given.remove(other);
            } else if key == other {
                self.given.remove(one);
            }
        }
        self.given.insert(key.to_string(), setting);
    }

    /// Puts one `--set key=value` over what the recipe says. The value is TOML, or a plain word (`mask.strategy=random-mask`).
    ///
    /// # Errors
    /// There is no `=`, no key, or no value.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        self.set_at(assignment, format!("--set {assignment}"))
    }

    /// As [`Settings::set`], for an assignment that was typed elsewhere.
    pub(crate) fn set_at(&mut self, assignment: &str, place: String) -> Result<()> {
        let wrong = |what: &str| Error::Recipe {
            place: place.clone(),
            what: what.to_string(),
            hint: "write `--set train.steps=1000`: the key with its section, `=`, and the value".to_string(),
        };
        let (key, text) = assignment.split_once('=').ok_or_else(|| wrong("expected `key=value`, got no `=`"))?;
        let (key, text) = (key.trim(), text.trim());
        if key.is_empty() || text.is_empty() {
            return Err(wrong("expected `key=value`, got an empty key or value"));
        }
        let value = match DeValue::parse(text) {
            Ok(value) => plain_value(value.get_ref(), &place)?,
            // A word without quotes is no TOML, but it is what everybody types.
            Err(_) if text.chars().all(|c| c.is_alphanumeric() || "-_:,./+ ".contains(c)) => {
                Value::Text(text.to_string())
            }
            Err(error) => return Err(wrong(&format!("expected a TOML value, got `{text}`: {}", error.message()))),
        };
        self.put(key, Setting { value, place });
        Ok(())
    }

    /// Gives a key a value if nobody else did; `place` says where it comes from.
    pub fn default_to(&mut self, key: &str, value: Value, place: &str) {
        self.given.entry(key.to_string()).or_insert(Setting { value, place: place.to_string() });
    }

    fn add_table(&mut self, table: &DeTable<'_>, prefix: &str, place: &dyn Fn(usize) -> String) -> Result<()> {
        for (name, value) in table.iter() {
            let key = format!("{prefix}{}", name.get_ref());
            self.add_value(&key, value.get_ref(), place(name.span().start), place)?;
        }
        Ok(())
    }

    fn add_value(
        &mut self,
        key: &str,
        value: &DeValue<'_>,
        place_of_key: String,
        place: &dyn Fn(usize) -> String,
    ) -> Result<()> {
        if let DeValue::Table(inner) = value {
            return self.add_table(inner, &format!("{key}."), place);
        }
        let value = plain_value(value, &place_of_key)?;
        self.given.insert(key.to_string(), Setting { value, place: place_of_key });
        Ok(())
    }

    fn ask(&mut self, key: &str) -> Option<Setting> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_string());
        }
        self.given.get(key).cloned()
    }

    /// True where the recipe or a `--set` gives this key.
    pub fn has(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// Where a key was written, for an error about two keys that do not fit each other.
    pub fn place(&self, key: &str) -> String {
        self.given.get(key).map_or_else(|| "the defaults".to_string(), |setting| setting.place.clone())
    }

    /// An error about a key that was read already.
    pub fn refuse(&self, key: &str, got: impl std::fmt::Display, expected: &str, hint: &str) -> Error {
        Error::Recipe {
            place: self.place(key),
            what: format!("`{key}` is {got}, but {expected}"),
            hint: hint.to_string(),
        }
    }

    /// The value of a key as it was written, if it is given.
    pub fn raw(&mut self, key: &str) -> Option<Value> {
        self.ask(key).map(|setting| setting.value)
    }

    /// A whole number in a range.
    ///
    /// # Errors
    /// It is no whole number, or outside.
    pub fn whole(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64> {
        let Some(value) = self.raw(key) else { return Ok(default) };
        let number = match value {
            Value::Integer(number) => u64::try_from(number).ok(),
            // 1e6 is a float in TOML, and a natural way to write a million steps.
            Value::Float(number) if number >= 0.0 && number.fract() == 0.0 && number < 9.0e15 => Some(number as u64),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            _ => {
                let (from, to) = (range.start(), range.end());
                let expected = match *to {
                    u64::MAX => format!("must be a whole number of at least {from}"),
                    to => format!("must be a whole number from {from} to {to}"),
                };
                Err(self.refuse(
                    key,
                    value_of(&self.given, key),
                    &expected,
                    &format!("set `{key} = {default}`, the default"),
                ))
            }
        }
    }

    /// A number in a range.
    ///
    /// # Errors
    /// It is no number, or outside.
    pub fn number(&mut self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        let Some(value) = self.raw(key) else { return Ok(default) };
        let number = match value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            _ => {
                let expected = format!("must be a number from {} to {}", range.start(), range.end());
                Err(self.refuse(
                    key,
                    value_of(&self.given, key),
                    &expected,
                    &format!("set `{key} = {default}`, the default"),
                ))
            }
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.raw(key) {
            None => Ok(default),
            Some(Value::Boolean(yes)) => Ok(yes),
            Some(other) => {
                Err(self.refuse(key, other, "must be `true` or `false`", &format!("set `{key} = {default}`")))
            }
        }
    }

    /// One of several words.
    ///
    /// # Errors
    /// It is none of them; the nearest is named.
    pub fn choice<'a>(&mut self, key: &str, default: &'a str, choices: &[&'a str]) -> Result<&'a str> {
        let Some(value) = self.raw(key) else { return Ok(default) };
        let same = |choice: &&&str| matches!(&value, Value::Text(text) if *choice == text);
        if let Some(choice) = choices.iter().find(same) {
            return Ok(choice);
        }
        let word = match &value {
            Value::Text(text) => text.clone(),
            other => other.to_string(),
        };
        let nearest = nearest(&word, choices.iter().copied()).unwrap_or(default);
        let expected = format!("must be one of {}", choices.join(", "));
        Err(self.refuse(key, value, &expected, &format!("set `{key} = \"{nearest}\"`")))
    }

    /// A text.
    ///
    /// # Errors
    /// It is no text.
    pub fn text(&mut self, key: &str, default: &str) -> Result<String> {
        match self.raw(key) {
            None => Ok(default.to_string()),
            Some(Value::Text(text)) => Ok(text),
            Some(other) => {
                Err(self.refuse(key, other, "must be a text in quotes", &format!("set `{key} = \"{default}\"`")))
            }
        }
    }

    /// One word or several: a list, or a text with commas.
    ///
    /// # Errors
    /// It is something else, or empty.
    pub fn words(&mut self, key: &str, default: &[&str]) -> Result<Vec<String>> {
        let words: Option<Vec<String>> = match self.raw(key) {
            None => Some(default.iter().map(|word| word.to_string()).collect()),
            Some(Value::Text(text)) => Some(text.split(',').map(|word| word.trim().to_string()).collect()),
            // A contig may be called 1.
            Some(Value::Integer(number)) => Some(vec![number.to_string()]),
            Some(Value::List(list)) if !list.is_empty() => {
                let word = |value| match value {
                    Value::Text(text) => Some(text),
                    Value::Integer(number) => Some(number.to_string()),
                    _ => None,
                };
                list.into_iter().map(word).collect()
            }
            Some(_) => None,
        };
        words.ok_or_else(|| {
            let default = default.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            self.refuse(
                key,
                value_of(&self.given, key),
                "must be a text or a list of texts",
                &format!("set `{key} = [{default}]`"),
            )
        })
    }

    /// A whole section, given to whoever knows its keys: a type that deserialises from it and refuses unknown fields.
    ///
    /// # Errors
    /// An unknown key or a value of the wrong kind, with its place.
    pub fn section<T: DeserializeOwned + Serialize + Default>(&mut self, section: &str) -> Result<T> {
        let prefix = format!("{section}.");
        let inside: Vec<(String, Setting)> = self
            .given
            .iter()
            .filter_map(|(key, setting)| Some((key.strip_prefix(&prefix)?.to_string(), setting.clone())))
            .collect();
        // Only the refusal of a field that cannot be says which ones there are.
        let refusal = serde_json::from_value::<T>(serde_json::json!({"?": null})).err().map(|error| error.to_string());
        for name in refusal.iter().flat_map(|refusal| quoted(refusal).skip(1)) {
            self.ask(&format!("{prefix}{name}"));
        }
        let without = |left_out: Option<&str>| {
            let mut object = serde_json::Map::new();
            for (name, setting) in inside.iter().filter(|(name, _)| Some(name.as_str()) != left_out) {
                let mut inner = &mut object;
                let mut parts = name.split('.').peekable();
                while let Some(part) = parts.next() {
                    if parts.peek().is_none() {
                        inner.insert(part.to_string(), setting.value.json());
                        break;
                    }
                    let next = inner.entry(part).or_insert_with(|| serde_json::Map::new().into());
                    match next.as_object_mut() {
                        Some(next) => inner = next,
                        None => break,
                    }
                }
            }
            serde_json::from_value::<T>(object.into()).map_err(|error| error.to_string())
        };
        without(None).map_err(|what| {
            // The key at fault is the one without which it is another matter.
            let culprit = inside
                .iter()
                .find(|(name, _)| what.starts_with(&format!("unknown field `{name}`")))
                .or_else(|| inside.iter().find(|(name, _)| without(Some(name)).err().as_ref() != Some(&what)));
            let place = culprit.map_or_else(|| format!("section [{section}]"), |(_, setting)| setting.place.clone());
            let said = what.clone();
            let mut words = quoted(&said);
            let hint = match (what.starts_with("unknown field"), words.next()) {
                (true, Some(word)) => {
                    let known: Vec<&str> = words.collect();
                    match nearest(word, known.iter().copied()) {
                        Some(known) => format!("the nearest known key is `{prefix}{known}`"),
                        None => format!("the known keys of [{section}] are {}", known.join(", ")),
                    }
                }
                (false, Some(word)) => nearest(word, words).map_or(String::new(), |known| format!("write `{known}`")),
                _ => String::new(),
            };
            let what = match culprit {
                Some((name, _)) if what.starts_with("unknown field") => {
                    format!("expected a known key, got `{prefix}{name}`")
                }
                Some((name, setting)) if !what.starts_with('`') => {
                    let (kind, example) = wanted(&what, &setting.value)
                        .unwrap_or_else(|| (format!("it cannot be: {what}"), String::new()));
                    let default = serde_json::to_value(T::default()).ok();
                    return Error::Recipe {
                        place,
                        what: format!("`{prefix}{name}` is {}, but {kind}", setting.value),
                        hint: match default.as_ref().and_then(|default| default.get(name)) {
                            Some(default) => format!("set `{prefix}{name} = {default}`, the default"),
                            None if example.is_empty() => hint,
                            None => format!("write `{prefix}{name} = {example}`, or leave it out"),
                        },
                    };
                }
                _ => what,
            };
            Error::Recipe { place, what, hint }
        })
    }

    /// Adds to an error about a key where that key was written.
    pub fn locate(&self, error: tatabox_core::Error) -> Error {
        match error {
            tatabox_core::Error::Value { key, got, expected, hint } if self.has(&key) => {
                Error::Recipe { place: self.place(&key), what: format!("`{key}` is {got}, but {expected}"), hint }
            }
            other => other.into(),
        }
    }

    /// To be called when every known key was asked for.
    ///
    /// # Errors
    /// A key was given that nobody asked for; the nearest known key is the hint.
    pub fn finish(self) -> Result<()> {
        let Some((key, setting)) = self.given.iter().find(|(key, _)| !self.asked.contains(key)) else { return Ok(()) };
        let hint = match nearest_keys(key, &self.asked).as_slice() {
            _ if key.starts_with("arms.") => {
                "`[arms.NAME]` are the arms of a comparison: `tatabox compare genome.fa --recipe FILE -o DIR`"
                    .to_string()
            }
            [known] => format!("the nearest known key is `{known}`"),
            known if !known.is_empty() => format!("the nearest known keys are `{}`", known.join("`, `")),
            _ => {
                let section = key.split('.').next().unwrap_or(key);
                let inside = |known: &&String| known.starts_with(section) && known[section.len()..].starts_with('.');
                let mut known: Vec<&str> = self.asked.iter().filter(inside).map(String::as_str).collect();
                if known.is_empty() {
                    known = self.asked.iter().map(String::as_str).collect();
                }
                format!("the known keys are {}", known.join(", "))
            }
        };
        Err(Error::Recipe { place: setting.place.clone(), what: format!("expected a known key, got `{key}`"), hint })
    }
}

fn value_of(given: &BTreeMap<String, Setting>, key: &str) -> String {
    given.get(key).map_or_else(String::new, |setting| setting.value.to_string())
}

fn plain_value(value: &DeValue<'_>, place: &str) -> Result<Value> {
    let refuse = |got: &str| {
        Err(Error::Recipe {
            place: place.to_string(),
            what: format!("expected a text, a number, true, false, or a list of these, got {got}"),
            hint: String::new(),
        })
    };
    Ok(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => return refuse(&format!("the number {}, which has more than 63 bits", number.as_str())),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) => Value::Float(number),
            Err(_) => return refuse(number.as_str()),
        },
        DeValue::Boolean(yes) => Value::Boolean(*yes),
        DeValue::Array(values) => {
            Value::List(values.iter().map(|value| plain_value(value.get_ref(), place)).collect::<Result<_>>()?)
        }
        DeValue::Datetime(_) => return refuse("a date"),
        DeValue::Table(_) => return refuse("a table"),
    })
}

/// The known keys nearest to `word`. A key typed without its section, or in another one, finds its own: `steps` is `train.steps`, `schedule` may be that of
/// `mask` or of `train`.
fn nearest_keys<'a>(word: &str, known: &'a [String]) -> Vec<&'a str> {
    let tail = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let word_tail = word.rsplit('.').next().unwrap_or(word);
    let keys = || known.iter().map(String::as_str);
    let by_tail = |tail_of_key: &str| keys().filter(|key| tail(key) == tail_of_key).collect::<Vec<_>>();
    let same = by_tail(word_tail);
    match (same.is_empty(), nearest(word, keys()), nearest(word_tail, keys().map(tail))) {
        (false, ..) => same,
        (true, Some(key), _) => vec![key],
        (true, None, tail) => tail.map(by_tail).unwrap_or_default(),
    }
}

/// What a value must be and an example, in words of a recipe instead of Rust's, from serde's complaint about it; none where it complains of another thing.
fn wanted(complaint: &str, value: &Value) -> Option<(String, String)> {
    let (_, kind) = complaint.strip_prefix("invalid ")?.rsplit_once("expected ")?;
    let (kind, example) = match (kind, value) {
        ("a sequence", _) | ("u32" | "u64" | "usize", Value::List(_)) => ("a list of whole numbers", "[6, 8]"),
        ("u32" | "u64" | "usize", _) => ("a whole number of 0 or more", "100"),
        ("f64", _) => ("a number", "0.1"),
        ("a boolean", _) => ("`true` or `false`", "true"),
        ("a string", _) => ("a word in quotes", "\"name\""),
        _ => return None,
    };
    Some((format!("must be {kind}"), example.to_string()))
}

/// The words between backticks of a message.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "seed = 7\n\n[train]\nsteps = 1e3\nlearning_rate = 4e-4\n\n[mask]\nstrategy = \"kmer-span\"\n";

    #[test]
    fn gives_values_by_their_dotted_keys() {
        let mut settings = Settings::parse(RECIPE, "x.toml").unwrap();
        assert_eq!(settings.whole("seed", 0, 0..=u64::MAX).unwrap(), 7);
        assert_eq!(settings.whole("train.steps", 1, 1..=u64::MAX).unwrap(), 1000);
        assert_eq!(settings.number("train.learning_rate", 0.0, 0.0..=1.0).unwrap(), 4e-4);
        assert_eq!(settings.choice("mask.strategy", "token", &["token", "kmer-span"]).unwrap(), "kmer-span");
        assert!(settings.flag("data.strands", true).unwrap());
        settings.finish().unwrap();
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_key() {
        let mut settings = Settings::parse("[train]\nsteps = 5\nlearning_rat = 1\n", "x.toml").unwrap();
        settings.whole("train.steps", 1, 1..=u64::MAX).unwrap();
        settings.number("train.learning_rate", 0.0, 0.0..=1.0).unwrap();
        let error = settings.finish().unwrap_err();
        assert_eq!(error.to_string(), "x.toml, line 3: expected a known key, got `train.learning_rat`");
        assert_eq!(error.hint(), Some("the nearest known key is `train.learning_rate`"));
        assert!(error.is_usage());
    }

    #[test]
    fn a_key_without_its_section_finds_its_section() {
        let mut settings = Settings::parse("steps = 5\n", "x.toml").unwrap();
        settings.whole("train.steps", 1, 1..=u64::MAX).unwrap();
        settings.whole("seed", 1, 1..=u64::MAX).unwrap();
        assert_eq!(settings.finish().unwrap_err().hint(), Some("the nearest known key is `train.steps`"));
    }

    #[test]
    fn a_section_that_somebody_else_knows_is_refused_with_its_line_as_well() {
        use tatabox_core::tokenizer::TokenizerConfig;
        let read = |text: &str| Settings::parse(text, "x.toml").unwrap().section::<TokenizerConfig>("tokenizer");
        assert_eq!(read("[tokenizer]\nk = 4\n").unwrap().k, 4);
        let error = read("[tokenizer]\nk = 4\nstrid = 1\n").unwrap_err();
        assert_eq!(error.to_string(), "x.toml, line 3: expected a known key, got `tokenizer.strid`");
        assert_eq!(error.hint(), Some("the nearest known key is `tokenizer.stride`"));
        let error = read("[tokenizer]\nkind = \"kmer\"\nk = \"six\"\n").unwrap_err();
        let message = "x.toml, line 3: `tokenizer.k` is \"six\", but must be a whole number of 0 or more";
        assert_eq!((error.to_string().as_str(), error.hint()), (message, Some("set `tokenizer.k = 6`, the default")));
    }

    #[test]
    fn a_value_of_another_kind_is_refused_without_the_words_of_rust() {
        use tatabox_core::mask::MaskConfig;
        for (assignment, kind, hint) in [
            ("mask.mask_rate=abc", "a number", "set `mask.mask_rate = 0.15`, the default"),
            ("mask.min_count=-4", "a whole number of 0 or more", "write `mask.min_count = 100`, or leave it out"),
            ("mask.min_count=quartile", "a whole number of 0 or more", "write `mask.min_count = 100`, or leave it out"),
            ("mask.spans=6", "a list of whole numbers", "write `mask.spans = [6, 8]`, or leave it out"),
            ("mask.spans=[6, -8]", "a list of whole numbers", "write `mask.spans = [6, 8]`, or leave it out"),
            ("mask.permuted=1", "`true` or `false`", "write `mask.permuted = true`, or leave it out"),
            ("mask.scores=5", "a word in quotes", "write `mask.scores = \"name\"`, or leave it out"),
        ] {
            let mut settings = Settings::empty();
            settings.set(assignment).unwrap();
            let error = settings.section::<MaskConfig>("mask").unwrap_err();
            assert!(error.to_string().ends_with(&format!(", but must be {kind}")), "{assignment}: {error}");
            assert_eq!(error.hint(), Some(hint), "{assignment}");
        }
    }

    #[test]
    fn keys_of_sections_that_somebody_else_knows_are_among_the_known_ones() {
        use tatabox_core::mask::MaskConfig;
        use tatabox_core::tokenizer::TokenizerConfig;
        let hint = |key: &str| {
            let mut settings = Settings::empty();
            settings.set(&format!("{key}=1")).unwrap();
            settings.section::<TokenizerConfig>("tokenizer").unwrap();
            settings.section::<MaskConfig>("mask").unwrap();
            settings.finish().unwrap_err().hint().unwrap().to_string()
        };
        assert!(hint("mask").starts_with("the known keys are mask.strategy, mask.mask_rate, "), "{}", hint("mask"));
        assert!(hint("foo").starts_with("the known keys are tokenizer.kind, tokenizer.k, "), "{}", hint("foo"));
        assert!(hint("foo").contains("mask.scores"), "{}", hint("foo"));
        assert_eq!(hint("mask_rate"), "the nearest known key is `mask.mask_rate`");
        assert_eq!(
            hint("dnabert_compat"),
            "the nearest known keys are `tokenizer.dnabert_compat`, `mask.dnabert_compat`"
        );
    }

    #[test]
    fn a_set_of_one_way_to_say_it_replaces_the_other_way() {
        let mut settings = Settings::parse("[train]\nbatch_size = 32\n", "x.toml").unwrap();
        settings.set("train.batch_tokens=4096").unwrap();
        assert!(!settings.has("train.batch_size"));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_range() {
        let mut settings = Settings::parse("[train]\nsteps = -5\n", "x.toml").unwrap();
        let error = settings.whole("train.steps", 10, 1..=100).unwrap_err();
        assert_eq!(error.to_string(), "x.toml, line 2: `train.steps` is -5, but must be a whole number from 1 to 100");
        assert_eq!(error.hint(), Some("set `train.steps = 10`, the default"));
    }

    #[test]
    fn not_a_number_is_outside_every_range() {
        let mut settings = Settings::parse("a = nan\n", "x.toml").unwrap();
        assert!(settings.number("a", 0.0, f64::MIN..=f64::MAX).is_err());
    }

    #[test]
    fn set_takes_toml_and_plain_words_and_wins_over_the_recipe() {
        let mut settings = Settings::parse(RECIPE, "x.toml").unwrap();
        settings.set("mask.strategy=random-mask").unwrap();
        settings.set("train.steps = 20").unwrap();
        settings.set("data.holdout=[\"chrI\", \"chrII:1-200\"]").unwrap();
        assert_eq!(settings.choice("mask.strategy", "token", &["token", "random-mask"]).unwrap(), "random-mask");
        assert_eq!(settings.whole("train.steps", 1, 1..=100).unwrap(), 20);
        assert!(matches!(settings.raw("data.holdout"), Some(Value::List(list)) if list.len() == 2));
    }

    #[test]
    fn parts_keep_the_order_of_the_file_and_their_places() {
        let text = "seed = 1\n[arms.b]\nmask.strategy = \"token\"\n[train]\nsteps = 5\n[arms.a]\n[arms.c.train]\nbatch_tokens = 9\n";
        let (common, parts) = Settings::parse_parts(text, "x.toml", "arms").unwrap();
        assert_eq!(parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(common.given().map(|(key, _)| key).collect::<Vec<_>>(), ["seed", "train.steps"]);
        assert_eq!(parts[0].1.place("mask.strategy"), "x.toml, line 3");
        let mut all = Settings::parse("[train]\nbatch_size = 3\nsteps = 2\n", "y.toml").unwrap();
        all.overlay(&parts[2].1);
        assert_eq!(all.given().map(|(key, _)| key).collect::<Vec<_>>(), ["train.batch_tokens", "train.steps"]);
        assert_eq!(all.take("train.steps"), Some((Value::Integer(2), "y.toml, line 3".to_string())));
        let error = Settings::parse_parts("[arms]\nb = 1\n", "x.toml", "arms").unwrap_err();
        assert!(error.to_string().starts_with("x.toml, line 2: expected a table, got `arms.b`"), "{error}");
    }

    #[test]
    fn a_bad_set_says_what_it_should_look_like() {
        for bad in ["train.steps", "=5", "train.steps=", "train.steps=[1"] {
            let error = Settings::empty().set(bad).unwrap_err();
            assert!(error.to_string().starts_with("--set "), "{error}");
            assert!(error.hint().unwrap().contains("train.steps=1000"), "{error}");
        }
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        let error = Settings::parse("seed = 1\nsteps = = 2\n", "x.toml").unwrap_err();
        assert!(error.to_string().starts_with("x.toml, line 2: expected TOML"), "{error}");
    }

    #[test]
    fn a_wrong_word_names_the_nearest_choice() {
        let mut settings = Settings::parse("strategy = \"kmer-spam\"\n", "x.toml").unwrap();
        let error = settings.choice("strategy", "token", &["token", "kmer-span", "random-mask"]).unwrap_err();
        assert_eq!(error.hint(), Some("set `strategy = \"kmer-span\"`"));
    }
}
