//! Tables of text, line by line, with the number of each line for whoever must complain about it.

use std::path::{Path, PathBuf};

use super::input::Input;
use super::malformed;
use crate::error::{Error, Result};

/// The byte order mark of UTF-8.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// The lines of a whole file, plain or compressed, without a byte order mark.
pub(crate) struct Lines {
    path: PathBuf,
    text: String,
}

impl Lines {
    /// Reads a file, `what` it ought to be in a word or two ("k-mer counts").
    ///
    /// # Errors
    /// The file cannot be read, is empty, is not text, or ends in the middle of a line.
    pub fn read(path: &Path, what: &str) -> Result<Self> {
        let input = Input::open(path)?;
        let path = input.path().to_path_buf();
        let bytes = input.read_all()?;
        let again = "make the file again, or copy it whole";
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
            malformed(&path, format!(", line {line}"), format!("{what} as text"), "binary data", "")
        })?;
        if text.starts_with('\u{feff}') {
            text.drain(..BOM.len()); // as spreadsheets write it
        }
        if text.is_empty() {
            return Err(malformed(&path, "", what, "an empty file", again));
        }
        if !text.ends_with('\n') {
            let line = text.lines().count();
            let got = "the end of the file; it was cut short";
            return Err(malformed(&path, format!(", line {line}"), "a line end", got, again));
        }
        Ok(Self { path, text })
    }

    /// The lines without their ends, each with its number from 1.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The error of one line.
    pub fn wrong(&self, line: usize, expected: impl Into<String>, got: impl Into<String>, hint: &str) -> Error {
        malformed(&self.path, format!(", line {line}"), expected, got, hint)
    }

    /// The error of the whole file.
    pub fn wrong_whole(&self, expected: impl Into<String>, got: impl Into<String>, hint: &str) -> Error {
        malformed(&self.path, "", expected, got, hint)
    }
}

/// The first bytes of a file, unpacked and without a byte order mark: a few lines at least, or all there is.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn head(path: &Path) -> Result<Vec<u8>> {
    let mut input = Input::open(path)?;
    let head = input.fill(String::new)?;
    Ok(head.strip_prefix(BOM).unwrap_or(head).to_vec())
}

/// A piece of text as an error quotes it: in backticks, its beginning only if it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
