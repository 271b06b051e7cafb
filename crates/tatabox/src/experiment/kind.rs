//! Kinds of experiments: what their directories look like, and what may be added to them.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tatabox_core::io::whole::TEMPORARY;
use tatabox_core::report::{Html, Latex, Markdown, Renderer, Text};

use super::folder::{Folder, Results};
use crate::error::{Error, Result};
use crate::run::LOCK;

/// A kind of experiment.
#[derive(Debug)]
pub struct Kind {
    /// The verb of the command line; its result is `VERB.json`.
    pub verb: &'static str,
    /// What one is called: `benchmark`.
    pub noun: &'static str,
    /// The record's name: it makes a directory one of this kind.
    pub record: &'static str,
    /// The arguments of the command that begins one, for hints.
    pub arguments: &'static str,
    /// Files that a start that was killed may leave without a record.
    pub leftovers: &'static [&'static str],
}

impl Kind {
    /// Refuses a directory that holds something else. Writes nothing.
    ///
    /// # Errors
    /// It is a file, or holds something and not the record.
    pub fn check(&self, dir: &Path) -> Result<()> {
        let refuse = |what: String| {
            let hint = "choose another directory with `-o`".to_string();
            Err(Error::Directory { path: dir.to_path_buf(), what, hint })
        };
        if !dir.exists() || dir.join(self.record).is_file() {
            return Ok(());
        }
        if !dir.is_dir() {
            return refuse(format!("is a file, expected a directory for the {}", self.noun));
        }
        let ours = |name: &str| name == LOCK || self.leftovers.contains(&name) || name.starts_with(TEMPORARY);
        let mut entries = fs::read_dir(dir).map_err(Error::file("read", dir))?.flatten();
        if entries.all(|entry| ours(&entry.file_name().to_string_lossy())) {
            return Ok(());
        }
        refuse(format!("is not empty and holds no {}: it has no `{}`", self.noun, self.record))
    }

    /// Makes the directory where it is not there, and locks it.
    ///
    /// # Errors
    /// As [`Kind::check`]; or another process works in it.
    pub fn open(&self, dir: &Path) -> Result<Folder> {
        self.check(dir)?;
        Folder::lock(dir)
    }

    /// Locks a directory that holds one.
    ///
    /// # Errors
    /// It does not; or another process works in it.
    pub fn resume(&self, dir: &Path) -> Result<Folder> {
        if dir.join(self.record).is_file() {
            return Folder::lock(dir);
        }
        let what = if dir.exists() {
            format!("is no {}: it has no `{}`", self.noun, self.record)
        } else {
            "does not exist".to_string()
        };
        let hint = format!("begin with `tatabox {} {}`", self.verb, self.arguments);
        Err(Error::Directory { path: dir.to_path_buf(), what, hint })
    }

    /// Reads the record.
    ///
    /// # Errors
    /// It cannot be read, or is no record of this kind.
    pub fn read<Design: DeserializeOwned>(&self, dir: &Path) -> Result<Design> {
        let path = dir.join(self.record);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let expected = format!("the record of a {}", self.noun);
        toml::from_str(&text).map_err(|error| Error::format(&path, "", expected, error.to_string().trim(), ""))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write<Design: Serialize>(&self, folder: &Folder, design: &Design) -> Result<()> {
        let text = toml::to_string(design).map_err(|error| Error::Recipe {
            place: self.record.to_string(),
            what: format!("cannot be written: {error}"),
            hint: String::new(),
        })?;
        let Kind { verb, noun, .. } = self;
        folder
            .write(self.record, &format!("# This {noun}, resolved: `tatabox {verb} --resume` goes on with it.\n{text}"))
    }

    /// Writes tables, page and result.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn publish<R: Serialize>(&self, folder: &Folder, results: &Results<'_, R>) -> Result<()> {
        folder.write("table.txt", &Text.render(results.tables))?;
        folder.write("table.md", &Markdown.render(results.tables))?;
        folder.write("table.tex", &Latex.render(results.tables))?;
        folder.write("table.csv", results.csv)?;
        folder.write("report.html", &Html.render(results.page))?;
        let json = serde_json::to_string_pretty(results.result).expect("a plain struct has a JSON form") + "\n";
        folder.write(&format!("{}.json", self.verb), &json)
    }

    /// The error of a directory that holds another one: in what, how it is there, and how it is asked for here.
    pub fn another(&self, dir: &Path, what: &str, there: &str, here: &str) -> Error {
        let Kind { verb, noun, .. } = self;
        Error::Directory {
            path: dir.to_path_buf(),
            what: format!("holds another {noun}: {what} is {there} there, and {here} here"),
            hint: format!(
                "go on with `tatabox {verb} --resume {}`, or choose another directory with `-o`",
                dir.display()
            ),
        }
    }

    /// Refuses the first value, of those that may not change, that is another here than there: `(what, there, here)`.
    ///
    /// # Errors
    /// As [`Kind::another`].
    pub fn unchanged(&self, dir: &Path, values: &[(&str, String, String)]) -> Result<()> {
        match values.iter().find(|(_, there, here)| there != here) {
            Some((what, there, here)) => Err(self.another(dir, what, there, here)),
            None => Ok(()),
        }
    }
}
