//! What a recipe says about the tokenizer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names::nearest;

/// What a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TokenKind {
    /// k neighbouring bases.
    #[default]
    Kmer,
    /// One base.
    Base,
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenKind::Kmer => "kmer",
            TokenKind::Base => "base",
        })
    }
}

impl FromStr for TokenKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "kmer" => Ok(TokenKind::Kmer),
            "base" => Ok(TokenKind::Base),
            _ => Err(Error::Value {
                key: "tokenizer.kind".into(),
                got: format!("`{name}`"),
                expected: "the known kinds are `kmer`, `base`".into(),
                hint: nearest(name, ["kmer", "base"])
                    .map_or(String::new(), |known| format!("set `tokenizer.kind = \"{known}\"`")),
            }),
        }
    }
}

impl From<TokenKind> for String {
    fn from(kind: TokenKind) -> String {
        kind.to_string()
    }
}

impl TryFrom<String> for TokenKind {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

/// The `[tokenizer]` table of a recipe. Keys left out take the defaults: overlapping 6-mers, or k = 1 where `kind = "base"`.
///
/// # Examples
/// ```
/// use tatabox_core::tokenizer::{TokenKind, TokenizerConfig};
/// let config: TokenizerConfig = serde_json::from_str(r#"{"kind": "base"}"#).unwrap();
/// assert_eq!((config.kind, config.k, config.stride), (TokenKind::Base, 1, 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct TokenizerConfig {
    /// k-mers or single bases.
    pub kind: TokenKind,
    /// Bases in a token: 3..=8 for k-mers, 1 for bases.
    pub k: usize,
    /// Bases between the starts of two tokens: 1 (overlapping) or k (side by side).
    pub stride: usize,
    /// Drop the last k-mer of every sequence, as DNABERT's `process_pretrain_data.py` does by an off-by-one.
    pub dnabert_compat: bool,
}

/// The keys that were given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    kind: TokenKind,
    k: Option<usize>,
    stride: Option<usize>,
    #[serde(default)]
    dnabert_compat: bool,
}

impl From<Given> for TokenizerConfig {
    fn from(given: Given) -> Self {
        let default_k = match given.kind {
            TokenKind::Kmer => 6,
            TokenKind::Base => 1,
        };
        Self {
            kind: given.kind,
            k: given.k.unwrap_or(default_k),
            stride: given.stride.unwrap_or(1),
            dnabert_compat: given.dnabert_compat,
        }
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        Self { kind: TokenKind::Kmer, k: 6, stride: 1, dnabert_compat: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_refused_with_the_nearest_known_one() {
        let error = "k-mer".parse::<TokenKind>().unwrap_err();
        assert_eq!(error.to_string(), "`tokenizer.kind` is `k-mer`, but the known kinds are `kmer`, `base`");
        assert_eq!(error.hint(), Some("set `tokenizer.kind = \"kmer\"`"));
    }

    #[test]
    fn survives_a_round_trip_and_refuses_unknown_keys() {
        let config = TokenizerConfig { stride: 6, ..TokenizerConfig::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(text, r#"{"kind":"kmer","k":6,"stride":6,"dnabert_compat":false}"#);
        assert_eq!(serde_json::from_str::<TokenizerConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<TokenizerConfig>(r#"{"K": 6}"#).is_err());
    }
}
