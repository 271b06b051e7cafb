//! An arm of a comparison: a name, and recipe keys over the common recipe.

use tatabox_core::names::{FOLDER_RULE, is_folder, nearest};

use crate::error::{Error, Result};
use crate::settings::Settings;

/// The section of a recipe that holds its arms: `[arms.NAME]`.
pub const ARMS: &str = "arms";
/// Rows of the tables that are no arms.
const BASELINES: [&str; 3] = ["uniform", "kmer-frequency", "markov-5"];
/// What must be the same in all arms, and why.
const COMMON: [(&str, &str); 6] = [
    ("tokenizer", "all arms are asked the same masks, and these have one tokenizer"),
    ("data", "all arms read the same windows"),
    ("evaluate", "all arms are asked the same masks"),
    ("seed", "the seeds of the runs are `--seeds`"),
    ("checkpoint", "it changes nothing of what is compared"),
    ("log", "it changes nothing of what is compared"),
];

/// An arm as it was given, with an admissible name and keys of sections that may differ. Whether the keys exist shows when it is resolved.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Its name: in tables, and in the path of its runs.
    pub name: String,
    /// Its keys.
    pub settings: Settings,
}

impl Arm {
    /// An arm.
    ///
    /// # Errors
    /// The name cannot be a folder's on every system or is a baseline's, or a key must be the same for all arms.
    pub fn new(name: &str, settings: Settings, place: &str) -> Result<Self> {
        let refuse =
            |what: String, hint: &str| Err(Error::Recipe { place: place.to_string(), what, hint: hint.to_string() });
        if !is_folder(name) {
            let what = format!("the arm is named `{}`, but a name becomes a folder", name.escape_debug());
            return refuse(what, FOLDER_RULE);
        }
        if BASELINES.contains(&name) {
            return refuse(
                format!("the arm is named `{name}`, but that is a baseline of the table"),
                "choose another name",
            );
        }
        for (key, _) in settings.given() {
            let section = key.split('.').next().unwrap_or(key);
            if let Some((_, why)) = COMMON.iter().find(|(common, _)| *common == section) {
                return Err(Error::Recipe {
                    place: format!("{}, arm `{name}`", settings.place(key)),
                    what: format!("`{key}` cannot differ between arms: {why}"),
                    hint: format!("set `{key}` for all arms, or compare in another directory"),
                });
            }
        }
        Ok(Self { name: name.to_string(), settings })
    }

    /// The arms of a recipe, in the order of the file, and what the recipe says besides.
    ///
    /// # Errors
    /// As [`Settings::read`] and [`Arm::new`].
    pub fn read(path: &std::path::Path) -> Result<(Settings, Vec<Arm>)> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse_recipe(&text, &path.display().to_string())
    }

    /// As [`Arm::read`], from the text of a recipe that errors call `name`.
    ///
    /// # Errors
    /// As [`Arm::read`].
    pub fn parse_recipe(text: &str, name: &str) -> Result<(Settings, Vec<Arm>)> {
        let (common, parts) = Settings::parse_parts(text, name, ARMS)?;
        let arms =
            parts.into_iter().map(|(arm, settings)| Arm::new(&arm, settings, &format!("{name}, [{ARMS}.{arm}]")));
        Ok((common, arms.collect::<Result<_>>()?))
    }

    /// An arm of the command line: `NAME:key=value,key=value`, or a name alone for the common recipe as it is. Commas in brackets and quotes belong to a
    /// value.
    ///
    /// # Errors
    /// As [`Settings::set`] and [`Arm::new`].
    ///
    /// # Examples
    /// ```
    /// use tatabox::compare::Arm;
    /// let arm = Arm::parse("wide:mask.strategy=random-mask,mask.spans=[8, 10]")?;
    /// assert_eq!(arm.name, "wide");
    /// assert_eq!(arm.settings.given().count(), 2);
    /// # Ok::<(), tatabox::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let place = format!("--arm {text}");
        let (name, keys) = text.split_once(':').unwrap_or((text, ""));
        if text.contains(':') && keys.trim().is_empty() {
            return Err(Error::Recipe {
                place,
                what: "expected keys after `:`, got none".to_string(),
                hint: format!(
                    "write `--arm {name}` for the common recipe as it is, or `--arm {name}:mask.strategy=token`"
                ),
            });
        }
        let mut settings = Settings::empty();
        for assignment in pieces(keys) {
            if assignment.trim().is_empty() {
                continue;
            }
            let typed = format!("--arm {}:{}", name.trim(), assignment.trim());
            settings.set_at(assignment, typed).map_err(|error| match error {
                Error::Recipe { what, .. } => Error::Recipe {
                    place: place.clone(),
                    what: format!("in `{assignment}`: {what}"),
                    hint: "write `--arm wide:mask.strategy=random-mask,mask.rate=constant`: a name, `:`, and keys with values"
                        .to_string(),
                },
                other => other,
            })?;
        }
        Self::new(name.trim(), settings, &place)
    }
}

/// The parts between commas that stand in no bracket and no quote.
fn pieces(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0i32, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            (None, ',') if depth <= 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Refuses two arms of one name. Names that differ in case only are one name to some file systems.
///
/// # Errors
/// Two arms have the same name.
pub fn check_distinct(arms: &[Arm]) -> Result<()> {
    for (at, arm) in arms.iter().enumerate() {
        if let Some(other) = arms[..at].iter().find(|other| other.name.eq_ignore_ascii_case(&arm.name)) {
            return Err(Error::Recipe {
                place: "the arms".to_string(),
                what: format!("two arms have the same name: `{}` and `{}`", other.name, arm.name),
                hint: format!("name one of them `{}-2`", arm.name),
            });
        }
    }
    Ok(())
}

/// Adds the arm's name to an error about one of its keys.
pub fn in_arm(error: Error, name: &str) -> Error {
    match error {
        Error::Recipe { place, what, hint } => Error::Recipe { place: format!("{place}, arm `{name}`"), what, hint },
        Error::Core(tatabox_core::Error::Value { key, got, expected, hint }) => {
            Error::Recipe { place: format!("arm `{name}`"), what: format!("`{key}` is {got}, but {expected}"), hint }
        }
        Error::Core(tatabox_core::Error::Data { what, hint }) => {
            tatabox_core::Error::Data { what: format!("arm `{name}`: {what}"), hint }.into()
        }
        other => other,
    }
}

/// An error about an arm that is not there, with the nearest name as the hint.
pub fn unknown(name: &str, place: &str, known: &[&str]) -> Error {
    Error::Recipe {
        place: place.to_string(),
        what: format!("there is no arm `{name}`"),
        hint: match nearest(name, known.iter().copied()) {
            Some(near) => format!("the nearest name is `{near}`"),
            None => format!("the arms are {}", known.join(", ")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", line in "[a-z:=.,\\[\\]\"' ]{0,40}") {
            let _ = (Arm::parse(&text), Arm::parse(&line), Arm::parse_recipe(&text, "x"), Arm::parse_recipe(&line, "x"));
        }
    }

    #[test]
    fn an_arm_of_the_command_line_keeps_lists_and_quotes_together() {
        let arm = Arm::parse("a.b-1:mask.spans=[6, 8],mask.strategy=\"random-mask\",train.learning_rate=1e-3").unwrap();
        let given: Vec<(String, String)> = arm.settings.given().map(|(key, value)| (key.to_string(), value)).collect();
        let expected =
            [("mask.spans", "[6, 8]"), ("mask.strategy", "\"random-mask\""), ("train.learning_rate", "0.001")];
        assert_eq!(given, expected.map(|(key, value)| (key.to_string(), value.to_string())));
        assert_eq!(Arm::parse("plain").unwrap().settings.given().count(), 0);
        let error = Arm::parse("plain:").unwrap_err();
        assert_eq!(error.to_string(), "--arm plain:: expected keys after `:`, got none");
        assert!(error.hint().unwrap().starts_with("write `--arm plain` for the common recipe as it is"));
        let error = Arm::parse("a:mask.strategy").unwrap_err();
        assert!(error.to_string().contains("in `mask.strategy`: expected `key=value`"), "{error}");
        assert!(error.hint().unwrap().contains("--arm wide:"));
    }

    #[test]
    fn a_name_must_be_a_folder_on_every_system() {
        for bad in ["", ".", "..", "-a", "a/b", "../up", "a b", "é", "a.", "a\n", "uniform", &"x".repeat(65)] {
            let error = Arm::new(bad, Settings::empty(), "here").expect_err(bad);
            assert!(error.is_usage() && error.hint().is_some(), "{bad}: {error}");
        }
        for good in ["a", "0", "kmer-span", "random_mask.v2", &"x".repeat(64)] {
            Arm::new(good, Settings::empty(), "here").unwrap();
        }
    }

    #[test]
    fn what_must_be_the_same_is_refused_with_its_reason() {
        for key in ["tokenizer.k=4", "data.max_length=64", "evaluate.sequences=5", "seed=3", "log.every=2"] {
            let error = Arm::parse(&format!("a:{key}")).expect_err(key);
            let name = key.split('=').next().unwrap();
            assert!(error.to_string().contains(&format!("arm `a`: `{name}` cannot differ between arms")), "{error}");
            // What was typed is an arm, and no `--set`.
            assert!(error.to_string().starts_with(&format!("--arm a:{key}, ")), "{error}");
        }
    }

    #[test]
    fn names_that_differ_in_case_only_are_the_same() {
        let arms = [Arm::parse("a").unwrap(), Arm::parse("b").unwrap(), Arm::parse("A").unwrap()];
        check_distinct(&arms[..2]).unwrap();
        assert!(check_distinct(&arms).unwrap_err().to_string().contains("`a` and `A`"));
    }
}
