//! The run directory: configuration, checkpoints, metrics, and on top the newest weights, as Hugging Face opens them.
//!
//! ```text
//! runs/rice/  config.toml · dataset.json · frozen.jsonl · pmi.tsv (where masks go by scores) · metrics.jsonl · checkpoints/step-N/
//!             config.json · vocab.txt · tokenizer_config.json · model.safetensors · state.safetensors · state.json   (the newest checkpoint)
//! ```
//! `config.toml` is written last: a directory that has one can be resumed. `.starting` marks a start that did not get so far, which the
//! next start sweeps away. `.lock` is held while a process works here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tatabox_core::io::whole::{self, TEMPORARY, sync_folder};

use crate::checkpoint::{Checkpoints, MODEL, MOMENTS, STATE};
use crate::error::{Error, Result};

/// The resolved configuration; its presence makes a directory a run.
pub const CONFIG: &str = "config.toml";
/// As [`CONFIG`], of a fine-tuning.
pub const FINETUNE: &str = "finetune.toml";
/// What makes a directory a run, and the verb that goes on with it.
const KINDS: [(&str, &str); 2] = [(CONFIG, "pretrain"), (FINETUNE, "finetune")];
/// What the run is trained on.
pub const DATASET: &str = "dataset.json";
/// The frozen masks on which held-out loss is measured.
pub const FROZEN: &str = "frozen.jsonl";
/// The scores that `pmi` and `pmi-vocab` go by.
pub const SCORES: &str = "pmi.tsv";
/// A line a log or evaluation.
pub const METRICS: &str = "metrics.jsonl";
const STARTING: &str = ".starting";
pub(crate) const LOCK: &str = ".lock";

/// Reads of a [`FINETUNE`] what is asked for.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Error::format(path, format!(", line {line}"), "the record of a fine-tuning", error.message().to_string(), "")
    })
}

/// A run directory, locked by this process.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    /// Held as long as this lives.
    _lock: File,
}

/// A run that is being made: what was written is deleted again unless [`NewRun::finish`] is reached.
#[derive(Debug)]
pub struct NewRun {
    run: Option<Run>,
    made: bool,
}

/// Refuses a directory that cannot take a new run, before anything is computed. Writes nothing.
///
/// # Errors
/// It holds a run, something else, or is no directory.
pub fn check_vacant(dir: &Path) -> Result<()> {
    let refuse =
        |what: &str, hint: String| Err(Error::Directory { path: dir.to_path_buf(), what: what.to_string(), hint });
    if !dir.exists() {
        return Ok(());
    }
    if !dir.is_dir() {
        return refuse("is a file, expected a directory for the run", "choose another directory with `-o`".to_string());
    }
    if let Some((_, verb)) = KINDS.iter().find(|(name, _)| dir.join(name).exists()) {
        let hint =
            format!("go on with `tatabox {verb} --resume {}`, or choose another directory with `-o`", dir.display());
        return refuse("already holds a run", hint);
    }
    let mut entries = fs::read_dir(dir).map_err(Error::file("read", dir))?;
    if dir.join(STARTING).exists() || entries.next().is_none() {
        return Ok(());
    }
    refuse("is not empty and holds no run", "choose another directory with `-o`".to_string())
}

impl Run {
    /// Starts a new run in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// As [`check_vacant`]; it cannot be written; another process is at work there.
    pub fn create(dir: &Path) -> Result<NewRun> {
        check_vacant(dir)?;
        let made = !dir.exists();
        fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let lock = match lock(dir) {
            Ok(lock) => lock,
            Err(error) => {
                if made {
                    let _ = fs::remove_dir(dir);
                }
                return Err(error);
            }
        };
        let new = NewRun { run: Some(Run { dir: dir.to_path_buf(), _lock: lock }), made };
        new.run().sweep_start()?;
        #[expect(clippy::disallowed_methods, reason = "a mark without content cannot be half written")]
        fs::write(dir.join(STARTING), "").map_err(Error::file("write", dir.join(STARTING)))?;
        Ok(new)
    }

    /// Opens a run to go on with it; `config` is its [`CONFIG`] or [`FINETUNE`].
    ///
    /// # Errors
    /// There is no run of this kind, or another process is at work in it.
    pub fn open(dir: &Path, config: &str) -> Result<Self> {
        if !dir.join(config).is_file() {
            let other = KINDS.iter().find(|(name, _)| dir.join(name).is_file());
            let what = match (dir.exists(), other) {
                (false, _) => "does not exist".to_string(),
                (true, Some((_, verb))) => format!("is a run of `tatabox {verb}`"),
                (true, None) => format!("is no run: it has no `{config}`"),
            };
            let hint = match (other, config) {
                (Some((_, verb)), _) => format!("go on with `tatabox {verb} --resume {}`", dir.display()),
                (None, FINETUNE) => "start one with `tatabox finetune RUN --data DATA -o DIR`".to_string(),
                (None, _) => "start a run with `tatabox pretrain genome.fa -o DIR`".to_string(),
            };
            return Err(Error::Directory { path: dir.to_path_buf(), what, hint });
        }
        let run = Run { dir: dir.to_path_buf(), _lock: lock(dir)? };
        run.checkpoints().sweep()?;
        run.sweep_temporary()?;
        Ok(run)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Its checkpoints.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.dir.join("checkpoints"))
    }

    /// Replaces a file of the run: the new text is there whole, or the old one is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(whole::write(&self.path(name), |out| out.write_all(text.as_bytes()))?)
    }

    /// Makes a checkpoint the one that the directory itself shows: big files as hard links (copies where the file system has none), small
    /// ones as copies, `state.json` last.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn publish(&self, step: u64, companions: &[(String, String)]) -> Result<()> {
        let from = self.checkpoints().path(step);
        for (name, text) in companions {
            self.write(name, text)?;
        }
        for name in [MODEL, MOMENTS] {
            let (target, path) = (from.join(name), self.path(name));
            let temporary = self.path(&format!("{TEMPORARY}{name}"));
            let _ = fs::remove_file(&temporary);
            fs::hard_link(&target, &temporary)
                .or_else(|_| fs::copy(&target, &temporary).map(|_| ()))
                .and_then(|()| fs::rename(&temporary, &path))
                .map_err(Error::file("write", &path))?;
            // Where both names already are the same file, a rename leaves both.
            let _ = fs::remove_file(&temporary);
        }
        let state = fs::read_to_string(from.join(STATE)).map_err(Error::file("read", from.join(STATE)))?;
        self.write(STATE, &state)?;
        Ok(sync_folder(&self.dir)?)
    }

    /// Appends a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append_metrics(&self, line: &impl Serialize) -> Result<()> {
        let path = self.path(METRICS);
        let mut text = serde_json::to_string(line).expect("a plain struct has a JSON form");
        text.push('\n');
        let append = || OpenOptions::new().create(true).append(true).open(&path)?.write_all(text.as_bytes());
        append().map_err(Error::file("write", &path))
    }

    /// Drops the lines of steps after `step`: the run is about to compute them again. A line that a killed process left half-written goes
    /// as well.
    ///
    /// # Errors
    /// The file cannot be read or replaced.
    pub fn rewind_metrics(&self, step: u64) -> Result<()> {
        let path = self.path(METRICS);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let mut kept = String::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(Error::file("read", &path))?;
            let of_step =
                serde_json::from_slice::<serde_json::Value>(&line).ok().and_then(|value| value["step"].as_u64());
            if of_step.is_some_and(|of_step| of_step <= step) {
                kept.push_str(&String::from_utf8_lossy(&line));
                kept.push('\n');
            }
        }
        self.write(METRICS, &kept)
    }

    /// Deletes files that a killed process was writing.
    fn sweep_temporary(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir).map_err(Error::file("read", &self.dir))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_file(entry.path()).map_err(Error::file("delete", entry.path()))?;
            }
        }
        Ok(())
    }

    /// Deletes what a start that was killed left behind.
    fn sweep_start(&self) -> Result<()> {
        if !self.path(STARTING).exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.dir).map_err(Error::file("read", &self.dir))?.flatten() {
            let path = entry.path();
            if entry.file_name() == LOCK || entry.file_name() == STARTING {
                continue;
            }
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(Error::file("delete", &path))?;
        }
        Ok(())
    }
}

impl NewRun {
    /// The run as far as it is.
    pub fn run(&self) -> &Run {
        self.run.as_ref().expect("it is taken only by `finish` and `drop`")
    }

    /// Makes it a run: its configuration `name`, [`CONFIG`] or [`FINETUNE`], is the last file written.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self, name: &str, config: &str) -> Result<Run> {
        self.run().write(name, config)?;
        let starting = self.run().path(STARTING);
        fs::remove_file(&starting).map_err(Error::file("delete", starting))?;
        sync_folder(self.run().dir())?;
        Ok(self.run.take().expect("nobody took it before"))
    }
}

impl Drop for NewRun {
    fn drop(&mut self) {
        let Some(run) = self.run.take() else { return };
        let _ = run.sweep_start();
        let _ = fs::remove_file(run.path(STARTING));
        let _ = fs::remove_file(run.path(LOCK));
        if self.made {
            let _ = fs::remove_dir(run.dir());
        }
    }
}

/// Takes the lock of a directory; it is held as long as the file lives.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Directory {
            path: dir.to_path_buf(),
            what: "is in use by another process".to_string(),
            hint: "wait until that process ends, or choose another directory with `-o`".to_string(),
        }),
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run() -> (tempfile::TempDir, Run) {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("runs/rice")).unwrap().finish(CONFIG, "seed = 1\n").unwrap();
        (folder, run)
    }

    #[test]
    fn refuses_a_directory_that_holds_a_run() {
        let (_folder, run) = run();
        let dir = run.dir().to_path_buf();
        drop(run);
        let error = Run::create(&dir).unwrap_err();
        assert!(error.to_string().ends_with("already holds a run") && error.is_usage(), "{error}");
        assert!(error.hint().unwrap().contains("--resume"));
        assert_eq!(fs::read_to_string(dir.join(CONFIG)).unwrap(), "seed = 1\n");
    }

    #[test]
    fn refuses_a_directory_of_something_else_and_leaves_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.safetensors"), "mine").unwrap();
        assert!(Run::create(folder.path()).unwrap_err().to_string().contains("is not empty"));
        assert_eq!(names(folder.path()), ["model.safetensors"]);
        assert!(Run::create(&folder.path().join("model.safetensors")).unwrap_err().to_string().contains("is a file"));
    }

    #[test]
    fn a_start_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("rice");
        let new = Run::create(&dir).unwrap();
        new.run().write(DATASET, "{}").unwrap();
        drop(new);
        assert!(!dir.exists());
        fs::create_dir(&dir).unwrap();
        drop(Run::create(&dir).unwrap());
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn a_start_that_was_killed_is_swept_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("rice");
        let new = Run::create(&dir).unwrap();
        new.run().write(DATASET, "{}").unwrap();
        std::mem::forget(new);
        // The forgotten lock is still held by this process; a killed one would have let it go.
        fs::remove_file(dir.join(LOCK)).unwrap();
        let run = Run::create(&dir).unwrap().finish(CONFIG, "").unwrap();
        assert_eq!(names(run.dir()), [".lock", CONFIG]);
    }

    #[test]
    fn two_processes_do_not_work_in_one_run() {
        let (_folder, run) = run();
        let error = Run::open(run.dir(), CONFIG).unwrap_err();
        assert!(error.to_string().contains("in use by another process"), "{error}");
        let dir = run.dir().to_path_buf();
        drop(run);
        fs::write(dir.join(".writing-abc"), "half").unwrap();
        Run::open(&dir, CONFIG).unwrap();
        assert!(!dir.join(".writing-abc").exists());
    }

    #[test]
    fn what_is_no_run_cannot_be_resumed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Run::open(folder.path(), CONFIG).unwrap_err().to_string().contains("is no run"));
        assert!(Run::open(&folder.path().join("nowhere"), CONFIG).unwrap_err().to_string().contains("does not exist"));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = Run::create(&folder.path().join("file/run")).unwrap_err();
        assert!(error.to_string().starts_with("cannot create"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_directory_is_an_error_with_a_hint() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        // The super-user writes anywhere: then there is nothing to see.
        if fs::write(folder.path().join("probe"), "").is_err() {
            let error = Run::create(&folder.path().join("run")).unwrap_err();
            assert!(error.hint().unwrap().contains("check the permissions"), "{error}");
        }
    }

    #[test]
    fn metrics_are_rewound_to_the_step_of_the_checkpoint() {
        let (_folder, run) = run();
        for step in [1, 2, 3] {
            run.append_metrics(&serde_json::json!({"kind": "train", "step": step})).unwrap();
        }
        let path = run.path(METRICS);
        let torn = fs::read_to_string(&path).unwrap() + "{\"kind\": \"tr";
        fs::write(&path, torn).unwrap();
        run.rewind_metrics(2).unwrap();
        run.append_metrics(&serde_json::json!({"step": 3})).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"kind\":\"train\",\"step\":1}\n{\"kind\":\"train\",\"step\":2}\n{\"step\":3}\n");
    }

    #[test]
    fn publishing_twice_leaves_no_temporary_names() {
        let (_folder, run) = run();
        let from = run.checkpoints().path(5);
        fs::create_dir_all(&from).unwrap();
        for name in [MODEL, MOMENTS, STATE] {
            fs::write(from.join(name), name).unwrap();
        }
        let companions = [("config.json".to_string(), "{}".to_string())];
        run.publish(5, &companions).unwrap();
        run.publish(5, &companions).unwrap();
        assert_eq!(names(run.dir()), [".lock", "checkpoints", "config.json", CONFIG, MODEL, STATE, MOMENTS]);
    }
}
