//! The choices of the `[mask]` table that have names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CorruptionUnit;
use crate::error::{Error, Result};
use crate::names::nearest;

/// Writes an enum's names once: `Display`, `FromStr` (refusing an unknown name with the nearest known one) and serde through both.
macro_rules! named {
    ($type:ident, $key:literal, $($variant:ident = $name:literal),+) => {
        impl $type {
            /// The names in recipes.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($type::$variant => $name),+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok($type::$variant),)+
                    _ => Err(unknown_name($key, name, Self::NAMES)),
                }
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(name: String) -> Result<Self> {
                name.parse()
            }
        }
    };
}

/// The error of a name that is not known. The nearest one stands in the message too, because serde keeps only that.
fn unknown_name(key: &str, name: &str, known: &[&str]) -> Error {
    let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = nearest(name, known.iter().copied());
    Error::Value {
        key: key.into(),
        got: format!("`{name}`"),
        expected: match near {
            Some(near) => format!("the nearest known name is `{near}` (known: {all})"),
            None => format!("the known names are {all}"),
        },
        hint: near.map_or(String::new(), |near| format!("set `{key} = \"{near}\"`")),
    }
}

/// Which tokens are masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Strategy {
    /// Tokens, one by one.
    Token,
    /// A centre and its k-1 neighbours.
    #[default]
    KmerSpan,
    /// Spans of m tokens, m by phase.
    RandomMask,
}
named!(Strategy, "mask.strategy", Token = "token", KmerSpan = "kmer-span", RandomMask = "random-mask");

/// How the centre rate of a span follows from the mask rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Rate {
    /// One centre rate for all spans: `mask_rate` over the shortest span (0.15 / 6 = 2.5 % for 6-mers, as in both papers). Overlaps leave fewer
    /// tokens masked (14.1 % for 6), longer spans more (up to 30 % for 14).
    #[default]
    Paper,
    /// A centre rate for every span, so that the masked share is `mask_rate`.
    Constant,
}
named!(Rate, "mask.rate", Paper = "paper", Constant = "constant");

/// The order of the phases of `random-mask`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Schedule {
    /// The paper's: the set of spans grows.
    #[default]
    Expanding,
    /// All spans from the first step.
    FixedWide,
    /// The paper's phases backwards, each as long as in the paper.
    Contracting,
    /// The paper's phases in an order that the seed draws, each as long as in the paper.
    Shuffled,
}
named!(
    Schedule,
    "mask.schedule",
    Expanding = "expanding",
    FixedWide = "fixed-wide",
    Contracting = "contracting",
    Shuffled = "shuffled"
);

named!(CorruptionUnit, "mask.corruption_unit", Token = "token", Span = "span");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        for name in Strategy::NAMES {
            assert_eq!(name.parse::<Strategy>().unwrap().to_string(), *name);
        }
        for name in Schedule::NAMES {
            assert_eq!(name.parse::<Schedule>().unwrap().to_string(), *name);
        }
        for name in Rate::NAMES {
            assert_eq!(name.parse::<Rate>().unwrap().to_string(), *name);
        }
        for name in CorruptionUnit::NAMES {
            assert_eq!(name.parse::<CorruptionUnit>().unwrap().to_string(), *name);
        }
    }

    #[test]
    fn an_unknown_name_has_the_nearest_known_one_as_its_hint() {
        let error = "shuffeld".parse::<Schedule>().unwrap_err();
        assert_eq!(error.hint(), Some("set `mask.schedule = \"shuffled\"`"));
        assert_eq!("pmi".parse::<Strategy>().unwrap_err().hint(), None);
    }
}
