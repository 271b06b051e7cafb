//! Programs that measure Tatabox against named peers; see `src/bin/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A whole number of at least 1, for options that count.
///
/// # Errors
/// It is something else.
pub fn positive(word: &str) -> std::result::Result<usize, String> {
    match word.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_string()),
        Ok(number) => Ok(number),
    }
}

/// The Python of PyTorch's environment in a checkout, made where it is missing.
///
/// # Errors
/// It cannot be made: no Python 3.11, no network.
pub fn environment(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/peers-venv");
    let status = Command::new("python3")
        .arg(root.join("benches/peers/setup.py"))
        .arg("--folder")
        .arg(&folder)
        .stdout(std::io::stderr())
        .status();
    if !status.context("python3 benches/peers/setup.py")?.success() {
        bail!("benches/peers/setup.py failed: the peer cannot be measured");
    }
    Ok(folder.join("bin/python"))
}
