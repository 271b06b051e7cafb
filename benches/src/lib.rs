//! Programs that measure Tatabox against named peers; see `src/bin/`.

/// A whole number of at least 1, for options that count.
///
/// # Errors
/// It is something else.
pub fn positive(word: &str) -> Result<usize, String> {
    match word.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_string()),
        Ok(number) => Ok(number),
    }
}
