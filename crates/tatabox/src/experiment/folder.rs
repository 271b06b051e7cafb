//! The directory of an experiment, and what is written there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tatabox_core::io::whole;
use tatabox_core::report::Report;

use crate::error::{Error, Result};
use crate::run::lock;

/// The directory of an experiment, locked by this process.
pub struct Folder {
    dir: PathBuf,
    _lock: File,
    made: bool,
}

/// The results of an experiment in their forms.
pub struct Results<'a, R> {
    /// The result.
    pub result: &'a R,
    /// The tables, as text, Markdown and LaTeX.
    pub tables: &'a Report,
    /// The tables as CSV, one line a figure.
    pub csv: &'a str,
    /// The page with curves.
    pub page: &'a Report,
}

impl Folder {
    /// Makes the directory where it is not there, and locks it.
    pub(super) fn lock(dir: &Path) -> Result<Folder> {
        let made = !dir.exists();
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        Ok(Folder { dir: dir.to_path_buf(), _lock: lock(dir)?, made })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the directory away again if this process made it: a start that fails leaves nothing.
    pub fn take_back(&self) {
        if self.made {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }

    /// Writes a file of it whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(whole::write(&self.dir.join(name), |out| out.write_all(text.as_bytes()))?)
    }
}

/// A name as a cell of CSV.
pub fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_string() }
}
