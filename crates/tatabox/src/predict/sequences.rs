//! Sequences of files, one after another: read once to count them and to see what is odd, and again to be asked.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tatabox_core::io::input;
use tatabox_core::labelled::{ReadOptions, Record, Sequences, Target};

use super::labels::Labels;
use super::{CHUNK, Item, Model};
use crate::error::{Error, Result};

/// The sequences that are asked.
pub(super) struct Asked<'a> {
    paths: &'a [PathBuf],
    options: &'a ReadOptions,
    hashes: Vec<String>,
    total: u64,
    /// Sequences without an answer: those too short for one k-mer, and those that hold none of known bases.
    pub unanswered: u64,
    short: u64,
    shortest: usize,
    unclear: (u64, u64),
    duplicates: (u64, String),
    label_note: Option<String>,
    /// The labels, `[records]`, where all records have one that the model knows.
    pub targets: Option<Vec<Target>>,
}

impl<'a> Asked<'a> {
    /// Reads all files once.
    ///
    /// # Errors
    /// A file cannot be read, or holds what is no sequence; a label in a column that the user named is none that the model knows.
    pub fn of(paths: &'a [PathBuf], options: &'a ReadOptions, model: &dyn Model) -> Result<Asked<'a>> {
        let shortest = model.shortest();
        let mut asked = Asked {
            paths,
            options,
            hashes: Vec::new(),
            total: 0,
            unanswered: 0,
            short: 0,
            shortest,
            unclear: (0, 0),
            duplicates: (0, String::new()),
            label_note: None,
            targets: None,
        };
        for path in paths {
            if path.is_dir() {
                let got = format!("the directory `{}`", path.display());
                let expected = "sequences are read from files".into();
                let hint = "give files: FASTA, CSV, TSV, JSON lines, Parquet, or BED with `--genome`".into();
                return Err(tatabox_core::Error::Value { key: "INPUT".into(), got, expected, hint }.into());
            }
            asked.hashes.push(input::fingerprint(path)?.sha256);
        }
        let mut labels = Labels::new(model.task(), model.outputs(), !options.label_columns.is_empty());
        let mut ids: HashSet<u64> = HashSet::new();
        let mut reader = Reader::new(paths, options);
        while let Some((path, columns, record)) = reader.next_record()? {
            asked.total += 1;
            check_pair(model, path, &record)?;
            labels.take(path, columns, &record)?;
            let unclear = record.letters.bases - record.letters.known();
            asked.unclear.0 += u64::from(unclear > 0);
            asked.unclear.1 += unclear;
            if !record.id.is_empty() {
                // Hashes: names of a hundred million reads would not fit into memory.
                let mut hasher = DefaultHasher::new();
                record.id.hash(&mut hasher);
                if !ids.insert(hasher.finish()) {
                    asked.duplicates.0 += 1;
                    if asked.duplicates.0 == 1 {
                        asked.duplicates.1.clone_from(&record.id);
                    }
                }
            }
            let too_short = |codes: &[u8]| codes.len() < shortest;
            let short = too_short(&record.codes) || record.second.as_deref().is_some_and(too_short);
            asked.short += u64::from(short);
            asked.unanswered += u64::from(!item(record).is_readable(shortest));
        }
        (asked.targets, asked.label_note) = labels.finish();
        Ok(asked)
    }

    /// What should be known.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let k = self.shortest;
        if self.short > 0 {
            notes.push(format!("{} sequences are shorter than k = {k} and have no answer", self.short));
        }
        if self.unanswered > self.short {
            let count = self.unanswered - self.short;
            notes.push(format!("{count} sequences hold no {k} known bases in a row and have no answer"));
        }
        if self.unclear.0 > 0 {
            let (sequences, letters) = self.unclear;
            notes.push(format!(
                "{sequences} sequences hold {letters} letters other than A, C, G, T, U; they are read as N"
            ));
        }
        if self.duplicates.0 > 0 {
            let (count, first) = &self.duplicates;
            notes.push(format!("{count} sequences have an id that another has before them, `{first}` the first"));
        }
        notes.extend(self.label_note.clone());
        if self.targets.is_some() && self.unanswered > 0 {
            notes.push(format!("{} sequences without an answer are not measured", self.unanswered));
        }
        notes
    }

    /// All records once more.
    pub fn reader(&self) -> Reader<'a> {
        Reader::new(self.paths, self.options)
    }
}

impl super::Asked for Asked<'_> {
    fn total(&self) -> u64 {
        self.total
    }

    fn identity(&self) -> Value {
        let genome = self.options.genome.as_ref().map(|genome| {
            let files = genome.card().files.iter();
            files.map(|file| file.sha256.clone()).collect::<Vec<_>>()
        });
        json!({"files": self.hashes, "sequence_columns": self.options.sequence_columns, "genome": genome})
    }

    fn chunks<'a>(&'a self, from: u64) -> Result<Box<dyn Iterator<Item = Result<Vec<Item>>> + 'a>> {
        let mut reader = self.reader();
        for _ in 0..from {
            reader.next_record()?;
        }
        Ok(Box::new(std::iter::from_fn(move || {
            let mut chunk = Vec::new();
            let mut bases = 0;
            while bases < CHUNK {
                match reader.next_record() {
                    Ok(Some((_, _, record))) => {
                        chunk.push(item(record));
                        bases += chunk[chunk.len() - 1].bases();
                    }
                    Ok(None) => break,
                    Err(error) => return Some(Err(error)),
                }
            }
            (!chunk.is_empty()).then_some(Ok(chunk))
        })))
    }
}

/// Refuses a single sequence where the model learnt from pairs, and a pair where it did not.
fn check_pair(model: &dyn Model, path: &Path, record: &Record) -> Result<()> {
    let (expected, got, hint) = match (model.pairs(), record.second.is_some()) {
        (true, false) => (
            "a pair of sequences, as the model learnt from",
            "one sequence",
            "name both columns: `--sequence-column A,B`",
        ),
        (false, true) => {
            ("one sequence, as the model learnt from", "a pair of them", "name one column: `--sequence-column A`")
        }
        _ => return Ok(()),
    };
    Err(Error::format(path, format!(", line {}", record.line), expected, got.to_string(), hint))
}

fn item(record: Record) -> Item {
    Item { id: record.id, codes: record.codes, second: record.second }
}

/// The records of several files.
pub(super) struct Reader<'a> {
    paths: &'a [PathBuf],
    options: &'a ReadOptions,
    /// The file that is open: its place among the paths, and its sequences.
    open: Option<(usize, Sequences)>,
}

impl<'a> Reader<'a> {
    fn new(paths: &'a [PathBuf], options: &'a ReadOptions) -> Reader<'a> {
        Reader { paths, options, open: None }
    }

    /// The next record, with its file and the names of its label columns.
    ///
    /// # Errors
    /// A file cannot be read, or holds what is no sequence.
    pub fn next_record(&mut self) -> Result<Option<(&'a PathBuf, &[String], Record)>> {
        let mut at = self.open.as_ref().map_or(0, |open| open.0);
        loop {
            let Some(path) = self.paths.get(at) else { return Ok(None) };
            if self.open.as_ref().is_none_or(|open| open.0 != at) {
                self.open = Some((at, Sequences::open(path, self.options)?));
            }
            let record = match &mut self.open {
                Some((_, sequences)) => sequences.next_record()?,
                None => None,
            };
            match record {
                Some(record) => {
                    let columns = self.open.as_ref().map_or(&[][..], |open| open.1.label_columns());
                    return Ok(Some((path, columns, record)));
                }
                None => at += 1,
            }
        }
    }
}
