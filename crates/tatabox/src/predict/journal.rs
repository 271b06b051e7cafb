//! Answers on disk while a prediction goes on: in the directory `OUTPUT.partial`, which is removed when the output is whole.
//!
//! `request.json` says what is predicted; `scores.f32` holds the answers, `[records][outputs]`, little-endian; `chunks.txt` has a line for every chunk that was
//! written: its records and the hash of its bytes. What is not as its line says was not written whole, and is written again.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tatabox_core::io::input::hex;
use tatabox_core::io::whole;

use crate::error::{Error, Result};

const REQUEST: &str = "request.json";
const SCORES: &str = "scores.f32";
const CHUNKS: &str = "chunks.txt";

/// How long written answers may wait to be synced: what a power cut takes, not a kill.
const UNSYNCED: Duration = Duration::from_secs(5);

/// Answers on disk.
pub(super) struct Journal {
    folder: PathBuf,
    scores: File,
    chunks: File,
    outputs: usize,
    records: u64,
    synced: Instant,
}

/// Where the journal of an output lies.
pub(super) fn folder(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    output.with_file_name(name)
}

impl Journal {
    /// Begins a journal, or goes on with one.
    ///
    /// # Errors
    /// There is one and it is not to be resumed; it is that of another prediction; another process holds it; it cannot be read or written.
    pub fn open(output: &Path, identity: &Value, outputs: usize, resume: bool) -> Result<Journal> {
        let folder = folder(output);
        let request = folder.join(REQUEST);
        if request.exists() {
            if !resume {
                let what = "holds a prediction that was not finished".into();
                let hint = "go on with it: the same command and `--resume`; or remove it".into();
                return Err(Error::Directory { path: folder, what, hint });
            }
            same(&request, identity)?;
        } else {
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        }
        let open = |name: &str| {
            let path = folder.join(name);
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            options.map_err(Error::file("write", path))
        };
        let (scores, chunks) = (open(SCORES)?, open(CHUNKS)?);
        if chunks.try_lock().is_err() {
            let what = "is held by another process that predicts into it".into();
            return Err(Error::Directory { path: folder, what, hint: "wait for it, or stop it first".into() });
        }
        let mut journal = Journal { folder, scores, chunks, outputs, records: 0, synced: Instant::now() };
        journal.verify()?;
        if !request.exists() {
            let text = serde_json::to_vec_pretty(identity).unwrap_or_default();
            whole::write(&request, |out| out.write_all(&text))?;
        }
        Ok(journal)
    }

    /// Records whose answers are there.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes the answers to the next chunk.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add(&mut self, rows: &[Vec<f32>]) -> Result<()> {
        let bytes: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        self.scores.write_all(&bytes).map_err(Error::file("write", self.folder.join(SCORES)))?;
        let line = format!("{} {}\n", rows.len(), hash(&bytes));
        self.chunks.write_all(line.as_bytes()).map_err(Error::file("write", self.folder.join(CHUNKS)))?;
        self.records += rows.len() as u64;
        if self.synced.elapsed() > UNSYNCED { self.sync() } else { Ok(()) }
    }

    /// Makes what was written last.
    ///
    /// # Errors
    /// The device fails.
    pub fn sync(&mut self) -> Result<()> {
        self.scores.sync_data().map_err(Error::file("write", self.folder.join(SCORES)))?;
        self.chunks.sync_data().map_err(Error::file("write", self.folder.join(CHUNKS)))?;
        self.synced = Instant::now();
        Ok(())
    }

    /// The answers from a record on.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn rows(&mut self, from: u64) -> Result<Rows> {
        let path = self.folder.join(SCORES);
        let mut file = File::open(&path).map_err(Error::file("read", &path))?;
        file.seek(SeekFrom::Start(from * 4 * self.outputs as u64)).map_err(Error::file("read", &path))?;
        Ok(Rows { path, file: BufReader::with_capacity(1 << 18, file), row: vec![0; 4 * self.outputs] })
    }

    /// Removes the journal: the output is whole.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(self) -> Result<()> {
        // The request first: without it, nobody takes the rest for a prediction to go on with.
        let request = self.folder.join(REQUEST);
        fs::remove_file(&request).map_err(Error::file("remove", &request))?;
        fs::remove_dir_all(&self.folder).map_err(Error::file("remove", &self.folder))
    }

    /// Keeps the chunks that are whole, and cuts off what is behind them.
    fn verify(&mut self) -> Result<()> {
        let failed = |name: &str| Error::file("read", self.folder.join(name));
        let is_begun = self.folder.join(REQUEST).exists();
        let (mut kept, mut kept_lines) = (0u64, 0u64);
        let mut scores = BufReader::with_capacity(1 << 18, &self.scores);
        let mut lines = BufReader::new(&self.chunks);
        let mut line = String::new();
        loop {
            line.clear();
            // What is no text was not written by this program, or not whole.
            if !is_begun || lines.read_line(&mut line).unwrap_or(0) == 0 {
                break;
            }
            let parts = line.strip_suffix('\n').and_then(|line| line.split_once(' '));
            let Some((records, sum)) = parts.and_then(|(records, sum)| Some((records.parse::<u64>().ok()?, sum)))
            else {
                break;
            };
            let mut bytes = Vec::new();
            let length = records * 4 * self.outputs as u64;
            (&mut scores).take(length).read_to_end(&mut bytes).map_err(failed(SCORES))?;
            if bytes.len() as u64 != length || hash(&bytes) != sum {
                break;
            }
            (kept, kept_lines) = (kept + length, kept_lines + line.len() as u64);
            self.records += records;
        }
        for (file, length, name) in [(&self.scores, kept, SCORES), (&self.chunks, kept_lines, CHUNKS)] {
            let cut = |mut file: &File| file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)));
            cut(file).map_err(Error::file("write", self.folder.join(name)))?;
        }
        Ok(())
    }
}

/// The first half of a SHA-256.
fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}

/// Refuses to go on with a journal of another prediction, and says in what it differs.
fn same(request: &Path, identity: &Value) -> Result<()> {
    let text = fs::read(request).map_err(Error::file("read", request))?;
    let stored: Value = serde_json::from_slice(&text).unwrap_or_default();
    let mut differing = Vec::new();
    differences("", &stored, identity, &mut differing);
    if differing.is_empty() {
        return Ok(());
    }
    let folder = request.parent().unwrap_or(request).to_path_buf();
    let what = format!("holds a prediction of something else: {} differ", differing.join(", "));
    Err(Error::Directory { path: folder, what, hint: "give the same inputs, model and options, or remove it".into() })
}

/// The keys whose values differ.
fn differences(key: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one.as_object(), other.as_object()) {
        (Some(left), Some(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort();
            keys.dedup();
            for name in keys {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                differences(&below, &of(left), &of(right), found);
            }
        }
        _ if one != other => found.push(format!("`{key}`")),
        _ => {}
    }
}

/// Answers, one after another.
pub(super) struct Rows {
    path: PathBuf,
    file: BufReader<File>,
    row: Vec<u8>,
}

impl Rows {
    /// The next answer, `[outputs]`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next_row(&mut self) -> Result<Vec<f32>> {
        self.file.read_exact(&mut self.row).map_err(Error::file("read", &self.path))?;
        Ok(self.row.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(first: usize, count: usize) -> Vec<Vec<f32>> {
        (first..first + count).map(|at| vec![at as f32, -(at as f32)]).collect()
    }

    #[test]
    fn what_was_not_written_whole_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("x.tsv");
        let partial = super::folder(&output);
        let open = || Journal::open(&output, &json!({"a": 1}), 2, true).unwrap();
        let begin = || {
            let mut journal = open();
            journal.add(&rows(0, 3)).unwrap();
            journal.add(&rows(3, 5)).unwrap();
        };
        let append = |name: &str, bytes: &[u8]| {
            OpenOptions::new().append(true).open(partial.join(name)).unwrap().write_all(bytes).unwrap();
        };
        let cut = |name: &str, by: u64| {
            let file = OpenOptions::new().write(true).open(partial.join(name)).unwrap();
            file.set_len(file.metadata().unwrap().len() - by).unwrap();
        };
        let tears: [(&dyn Fn(), u64); 6] = [
            (&|| {}, 8),
            (&|| append(SCORES, &[7; 5]), 8),
            (&|| append(CHUNKS, b"4 abc"), 8),
            (&|| append(CHUNKS, b"\xff\xfe\n"), 8),
            (&|| cut(SCORES, 1), 3),
            (&|| cut(CHUNKS, 1), 3),
        ];
        for (at, (tear, kept)) in tears.into_iter().enumerate() {
            begin();
            tear();
            let mut journal = open();
            assert_eq!(journal.records(), kept, "{at}");
            journal.add(&rows(kept as usize, 4)).unwrap();
            let mut found = journal.rows(1).unwrap();
            for record in 1..kept + 4 {
                assert_eq!(found.next_row().unwrap(), [record as f32, -(record as f32)], "{at}");
            }
            assert!(found.next_row().is_err());
            drop(journal);
            // A changed byte in the first chunk leaves nothing.
            let mut bytes = fs::read(partial.join(SCORES)).unwrap();
            bytes[2] ^= 1;
            fs::write(partial.join(SCORES), bytes).unwrap();
            let journal = open();
            assert_eq!(journal.records(), 0, "{at}");
            journal.remove().unwrap();
            assert!(!partial.exists());
        }
    }

    #[test]
    fn a_prediction_goes_on_only_where_it_is_asked_to_and_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("x.tsv");
        let open = |identity: Value, resume| Journal::open(&output, &identity, 2, resume);
        let identity = json!({"model": {"sha256": "a"}, "input": 1});
        let held = open(identity.clone(), false).unwrap();
        let error = open(identity.clone(), true).err().unwrap().to_string();
        assert!(error.contains("is held by another process"), "{error}");
        drop(held);
        let error = open(identity.clone(), false).err().unwrap();
        assert!(error.to_string().contains("x.tsv.partial` holds a prediction that was not finished"), "{error}");
        assert!(error.hint().unwrap().contains("--resume") && error.is_usage());
        let error = open(json!({"model": {"sha256": "b"}, "input": 1}), true).err().unwrap().to_string();
        assert!(error.ends_with("holds a prediction of something else: `model.sha256` differ"), "{error}");
        assert_eq!(open(identity, true).unwrap().records(), 0);
    }
}
