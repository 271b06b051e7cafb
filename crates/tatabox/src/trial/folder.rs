//! The directory of an experiment: who may write into it, and where tables go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tatabox_core::io::whole::{self, TEMPORARY};

use crate::error::{Error, Result};
use crate::run::{LOCK, lock};

/// The directory of an experiment, locked by this process.
pub struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    /// Refuses a directory that holds something else than an experiment with this record. Writes nothing.
    ///
    /// # Errors
    /// It is a file, or holds something and not the record.
    pub fn check(dir: &Path, record: &str) -> Result<()> {
        let refuse = |what: String| {
            let hint = "choose another directory with `-o`".to_string();
            Err(Error::Directory { path: dir.to_path_buf(), what, hint })
        };
        if !dir.exists() || dir.join(record).is_file() {
            return Ok(());
        }
        if !dir.is_dir() {
            return refuse("is a file, expected a directory".to_string());
        }
        let ours = |name: &str| name == LOCK || name.starts_with(TEMPORARY);
        let mut entries = fs::read_dir(dir).map_err(Error::file("read", dir))?.flatten();
        if entries.all(|entry| ours(&entry.file_name().to_string_lossy())) {
            return Ok(());
        }
        refuse(format!("is not empty and holds no `{record}`"))
    }

    /// Makes the directory where it is not there, and locks it.
    ///
    /// # Errors
    /// As [`Folder::check`]; or another process works in it.
    pub fn open(dir: &Path, record: &str) -> Result<Folder> {
        Self::check(dir, record)?;
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        Ok(Folder { dir: dir.to_path_buf(), _lock: lock(dir)? })
    }

    /// Locks a directory that holds a record.
    ///
    /// # Errors
    /// It does not; `command` is the one to begin with, for the hint.
    pub fn resume(dir: &Path, record: &str, command: &str) -> Result<Folder> {
        if dir.join(record).is_file() {
            return Self::open(dir, record);
        }
        let what = if dir.exists() {
            format!("has no `{record}`: nothing was begun in it")
        } else {
            "does not exist".to_string()
        };
        Err(Error::Directory { path: dir.to_path_buf(), what, hint: format!("begin with `{command}`") })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
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
