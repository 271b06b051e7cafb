//! Reading and writing the field's file formats.

use std::path::Path;

use crate::error::Error;

pub mod whole;

pub mod input;

pub(crate) mod lines;

pub mod fasta;

pub mod table;

pub mod parquet;

pub mod twobit;

pub mod bigwig;

/// A file whose content is not what its format asks for.
pub(crate) fn malformed(
    path: &Path,
    place: impl Into<String>,
    expected: impl Into<String>,
    got: impl Into<String>,
    hint: impl Into<String>,
) -> Error {
    Error::Format {
        path: path.into(),
        place: place.into(),
        expected: expected.into(),
        got: got.into(),
        hint: hint.into(),
    }
}
