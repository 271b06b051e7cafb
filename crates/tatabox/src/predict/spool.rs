//! Standard input as a file: sequences are read twice, once to count them and once to be asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tatabox_core::io::input::STDIN;
use tatabox_core::io::whole;

use super::journal;
use crate::error::{Error, Result};

/// The inputs as files that can be read twice. Goes, with what it copied, when it is dropped.
pub(super) struct Spool {
    /// The inputs.
    pub paths: Vec<PathBuf>,
    copy: Option<PathBuf>,
}

impl Spool {
    /// Copies standard input beside the output, where it is among the inputs.
    ///
    /// # Errors
    /// It is there twice, or cannot be copied.
    pub fn of(paths: &[PathBuf], output: &Path, stdin: &mut dyn io::Read) -> Result<Spool> {
        let mut spool = Spool { paths: paths.to_vec(), copy: None };
        let is_stdin = |path: &&mut PathBuf| path.as_os_str() == STDIN;
        let mut piped = spool.paths.iter_mut().filter(is_stdin);
        if let Some(path) = piped.next() {
            if piped.next().is_some() {
                let (got, expected) = ("`-` twice".into(), "standard input can be read once".into());
                let hint = "give it once".into();
                return Err(tatabox_core::Error::Value { key: "INPUT".into(), got, expected, hint }.into());
            }
            let folder = journal::folder(output);
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
            let copy = folder.join("stdin");
            path.clone_from(&copy);
            spool.copy = Some(copy.clone());
            whole::write(&copy, |out| io::copy(stdin, out).map(drop))?;
        }
        Ok(spool)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            let _ = fs::remove_file(copy);
            // The folder stays where an unfinished prediction lies in it.
            let _ = copy.parent().map(fs::remove_dir);
        }
    }
}
