//! What can go wrong: which file, where in it, what was expected, what was found, and what to do.

use std::path::PathBuf;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`: {source}", path = path.display())]
    File {
        /// What was tried: "read", "write", "create", "rename".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file's content is not what its format asks for.
    #[error("`{path}`{place}: expected {expected}, got {got}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where in it, with its leading comma or space: `, line 12`, ` at byte 48`; empty for the whole file.
        place: String,
        /// What the format asks for.
        expected: String,
        /// What is there.
        got: String,
        /// What to type or change, empty if there is nothing to say.
        hint: String,
    },
    /// A value given by the user is out of its range or does not fit another.
    #[error("`{key}` is {got}, but {expected}")]
    Value {
        /// The recipe key or option.
        key: String,
        /// What was given.
        got: String,
        /// What is allowed.
        expected: String,
        /// What to type instead, empty if there is nothing to say.
        hint: String,
    },
    /// The data cannot serve the request (a genome shorter than a window, a contig of N only).
    #[error("{what}")]
    Data {
        /// What was asked, where, and what was found.
        what: String,
        /// What to do, empty if there is nothing to say.
        hint: String,
    },
}

impl Error {
    /// The hint of this error, if it has one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::File { .. } => None,
            Error::Format { hint, .. } | Error::Value { hint, .. } | Error::Data { hint, .. } => {
                (!hint.is_empty()).then_some(hint.as_str())
            }
        }
    }

    /// True where the command line or the recipe is at fault (exit code 2), false where the work failed (exit code 1).
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Value { .. })
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
