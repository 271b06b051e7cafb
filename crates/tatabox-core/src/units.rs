//! Positions and ids as types of their own, so that a position never passes for an id.

use serde::{Deserialize, Serialize};

/// A 0-based position of a token in a model's input, `[CLS]` included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenPos(pub u32);

/// The id of a token in a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct TokenId(pub u32);

impl TokenPos {
    /// The position as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl TokenId {
    /// The id as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
