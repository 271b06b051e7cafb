//! The file of frozen masks: JSON lines, one sequence a line, every fact on the line that it is about.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FrozenMasks, FrozenSequence, Masked, Origin};
use crate::error::{Error, Result};
use crate::io::whole;
use crate::tokenizer::{CLS, SEP, TokenKind, Tokenizer, TokenizerConfig};
use crate::units::{TokenId, TokenPos};

/// Hugging Face's label for "nothing is asked here".
const NOT_ASKED: i64 = -100;

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    /// The index of the window.
    window: u64,
    contig: String,
    /// From 0.
    start: u64,
    bases: u64,
    strand: String,
    mask: String,
    span: u32,
    masked_tokens: usize,
    hidden_bases: u32,
    k: usize,
    stride: usize,
    seed: u64,
    input_ids: Vec<u32>,
    labels: Vec<i64>,
}

impl FrozenMasks {
    /// Writes the set, a sequence a line: the keys `window`, `contig`, `start` (from 0), `bases`, `strand`, `mask`, `span`, `masked_tokens`,
    /// `hidden_bases`, `k`, `stride`, `seed`, `input_ids` and `labels`.
    ///
    /// # Errors
    /// [`Error::File`] with what could not be done.
    pub fn write(&self, path: &Path) -> Result<()> {
        whole::write(path, |out| self.write_to(out))
    }

    /// As [`FrozenMasks::write`], to any writer.
    ///
    /// # Errors
    /// The writer's own.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        for sequence in &self.sequences {
            serde_json::to_writer(&mut out, &self.line(sequence))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn line(&self, sequence: &FrozenSequence) -> Line {
        let mut labels = vec![NOT_ASKED; sequence.masked.input_ids.len()];
        for &(position, id) in &sequence.masked.targets {
            labels[position.index()] = i64::from(id.0);
        }
        Line {
            window: sequence.window,
            contig: sequence.origin.contig.clone(),
            start: sequence.origin.start,
            bases: sequence.origin.bases,
            strand: if sequence.origin.reverse { "-" } else { "+" }.into(),
            mask: sequence.mask.clone(),
            span: sequence.span,
            masked_tokens: sequence.masked.targets.len(),
            hidden_bases: sequence.hidden_bases,
            k: self.tokenizer.k(),
            stride: self.tokenizer.stride(),
            seed: self.seed,
            input_ids: sequence.masked.input_ids.iter().map(|id| id.0).collect(),
            labels,
        }
    }

    /// Reads a set back and checks it: ids in the vocabulary, labels that are k-mers of the same sequence, one tokenizer for the whole file, at
    /// least one label in it.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be read, [`Error::Format`] naming the line.
    pub fn read(path: &Path) -> Result<FrozenMasks> {
        let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
        Self::parse(BufReader::new(File::open(path).map_err(failed)?), path)
    }

    /// As [`FrozenMasks::read`], from any reader; `path` is for messages only.
    pub fn parse(reader: impl BufRead, path: &Path) -> Result<FrozenMasks> {
        let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
        let mut set: Option<FrozenMasks> = None;
        for (index, text) in reader.split(b'\n').enumerate() {
            let text = text.map_err(failed)?;
            if text.trim_ascii().is_empty() {
                continue;
            }
            let wrong = |(expected, got)| malformed(path, format!(", line {}", index + 1), expected, got);
            let line: Line = serde_json::from_slice(&text)
                .map_err(|error| wrong(("a JSON object of a frozen sequence".into(), error.to_string())))?;
            let set = match &mut set {
                None => {
                    let kind = if line.k == 1 { TokenKind::Base } else { TokenKind::Kmer };
                    let config = TokenizerConfig { kind, k: line.k, stride: line.stride, dnabert_compat: false };
                    let tokenizer =
                        Tokenizer::new(config).map_err(|error| wrong(("a tokenizer".into(), error.to_string())))?;
                    set.insert(FrozenMasks { tokenizer, seed: line.seed, sequences: Vec::new() })
                }
                Some(set) => set,
            };
            let sequence = checked(&set.tokenizer, line).map_err(wrong)?;
            set.sequences.push(sequence);
        }
        match set {
            Some(set) if set.sequences.iter().any(|sequence| !sequence.masked.targets.is_empty()) => Ok(set),
            Some(_) => Err(malformed(path, String::new(), "at least one label".into(), "-100 everywhere".into())),
            None => Err(malformed(path, String::new(), "frozen sequences, one a line".into(), "an empty file".into())),
        }
    }
}

fn malformed(path: &Path, place: String, expected: String, got: String) -> Error {
    let hint = "write frozen masks with `tatabox mask freeze GENOME -o FILE`".into();
    Error::Format { path: path.into(), place, expected, got, hint }
}

/// The sequence of a line, or what was expected and what it has.
fn checked(tokenizer: &Tokenizer, line: Line) -> std::result::Result<FrozenSequence, (String, String)> {
    let wrong = |expected: String, got: String| Err((expected, got));
    let (k, stride) = (tokenizer.k(), tokenizer.stride());
    if (line.k, line.stride) != (k, stride) {
        return wrong(
            format!("k = {k} and stride = {stride}, as on the first line"),
            format!("k = {} and stride = {}", line.k, line.stride),
        );
    }
    let tokens = line.input_ids.len();
    if line.labels.len() != tokens {
        return wrong(format!("{tokens} labels, one for each of the input_ids"), line.labels.len().to_string());
    }
    let reverse = match line.strand.as_str() {
        "+" => false,
        "-" => true,
        other => return wrong("strand `+` or `-`".into(), format!("`{}`", other.escape_debug())),
    };
    if let Some(position) = line.input_ids.iter().position(|&id| id as usize >= tokenizer.vocab_size()) {
        return wrong(
            format!("input_ids below {} (k = {k})", tokenizer.vocab_size()),
            format!("{} at position {position}", line.input_ids[position]),
        );
    }
    let ends = (line.input_ids.first(), line.input_ids.last());
    if tokens < 2 || ends != (Some(&CLS.0), Some(&SEP.0)) {
        return wrong(format!("input_ids from {} ([CLS]) to {} ([SEP])", CLS.0, SEP.0), format!("{ends:?}"));
    }
    let ids = tokenizer.content_ids();
    let mut targets = Vec::new();
    for (position, &label) in line.labels.iter().enumerate() {
        if label == NOT_ASKED {
            continue;
        }
        let is_content = (1..tokens - 1).contains(&position);
        match u32::try_from(label) {
            Ok(id) if is_content && ids.contains(&id) => targets.push((TokenPos(position as u32), TokenId(id))),
            _ if !is_content => {
                return wrong("the label -100 for [CLS] and [SEP]".into(), format!("{label} at position {position}"));
            }
            _ => {
                return wrong(
                    format!("labels of -100 or {}..={}", ids.start, ids.end - 1),
                    format!("{label} at position {position}"),
                );
            }
        }
    }
    let masked = Masked { input_ids: line.input_ids.into_iter().map(TokenId).collect(), targets };
    let origin = Origin { contig: line.contig, start: line.start, bases: line.bases, reverse };
    let sequence = FrozenSequence::new(tokenizer, masked, line.mask, line.span, line.window, origin);
    if let Err(error) = tokenizer.decode(&sequence.original_ids()) {
        return wrong("tokens that agree on their bases once the labels are filled in".into(), error.to_string());
    }
    let facts = (sequence.masked.targets.len(), sequence.hidden_bases);
    if facts != (line.masked_tokens, line.hidden_bases) {
        return wrong(
            format!("masked_tokens = {} and hidden_bases = {}, as its labels have", facts.0, facts.1),
            format!("{} and {}", line.masked_tokens, line.hidden_bases),
        );
    }
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::super::tests::frozen;
    use super::*;
    use proptest::prelude::*;

    /// The set as lines.
    fn text() -> Vec<serde_json::Value> {
        let set = frozen(2);
        set.sequences.iter().map(|sequence| serde_json::to_value(set.line(sequence)).unwrap()).collect()
    }

    fn read(lines: &[serde_json::Value]) -> Result<FrozenMasks> {
        let text: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        FrozenMasks::parse(text.join("\n").as_bytes(), Path::new("frozen.jsonl"))
    }

    #[test]
    fn reads_back_what_it_wrote_and_the_bytes_depend_on_the_seed_only() {
        let folder = tempfile::tempdir().unwrap();
        let (path, again) = (folder.path().join("frozen.jsonl"), folder.path().join("again.jsonl"));
        frozen(4).write(&path).unwrap();
        frozen(4).write(&again).unwrap();
        assert_eq!(FrozenMasks::read(&path).unwrap(), frozen(4));
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2); // nothing temporary is left
    }

    #[test]
    fn every_line_stands_alone() {
        for line in text() {
            let (ids, labels) = (line["input_ids"].as_array().unwrap(), line["labels"].as_array().unwrap());
            assert_eq!(ids.len(), labels.len());
            assert_eq!(labels.iter().filter(|label| **label != -100).count() as u64, line["masked_tokens"]);
            assert_eq!((&line["contig"], &line["strand"]), (&"chrI".into(), &"-".into()));
        }
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_wrong() {
        type Change = fn(&mut serde_json::Value);
        let changes: [(Change, &str); 11] = [
            (
                |line| line["input_ids"][3] = 4101.into(),
                "expected input_ids below 4101 (k = 6), got 4101 at position 3",
            ),
            (|line| line["input_ids"][0] = 9.into(), "expected input_ids from 2 ([CLS]) to 3 ([SEP]), got"),
            (
                |line| drop(line["labels"].as_array_mut().unwrap().pop()),
                "expected 512 labels, one for each of the input_ids, got 511",
            ),
            (|line| line["labels"][0] = 9.into(), "expected the label -100 for [CLS] and [SEP], got 9 at position 0"),
            (|line| line["labels"][5] = 4.into(), "expected labels of -100 or 5..=4100, got 4 at position 5"),
            (|line| line["labels"][5] = (-1).into(), "expected labels of -100 or 5..=4100, got -1 at position 5"),
            (|line| line["strand"] = ".".into(), "expected strand `+` or `-`, got `.`"),
            (|line| line["k"] = 5.into(), "expected k = 6 and stride = 1, as on the first line, got k = 5"),
            (|line| line["hidden_bases"] = 0.into(), "expected masked_tokens = "),
            (|line| line["input_ids"] = "x".into(), "expected a JSON object of a frozen sequence, got"),
            (
                // A visible token of another sequence: one after the first whose neighbours are visible too.
                |line| {
                    let labels = line["labels"].as_array().unwrap().clone();
                    let at = (2..500).find(|&at| labels[at - 1..=at + 1].iter().all(|label| *label == -100)).unwrap();
                    let id = line["input_ids"][at].as_u64().unwrap();
                    line["input_ids"][at] = (5 + (id - 5 + 2048) % 4096).into();
                },
                "expected tokens that agree on their bases once the labels are filled in, got token",
            ),
        ];
        for (change, message) in changes {
            let mut lines = text();
            change(&mut lines[1]);
            let error = read(&lines).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`frozen.jsonl`, line 2: {message}")), "{message}: {error}");
        }
    }

    #[test]
    fn a_file_that_asks_nothing_is_refused() {
        assert_eq!(
            read(&[]).unwrap_err().to_string(),
            "`frozen.jsonl`: expected frozen sequences, one a line, got an empty file"
        );
        let line = serde_json::json!({
            "window": 0, "contig": "c", "start": 0, "bases": 6, "strand": "+", "mask": "kmer-span", "span": 6, "masked_tokens": 0,
            "hidden_bases": 0, "k": 6, "stride": 1, "seed": 0, "input_ids": [2, 5, 3], "labels": [-100, -100, -100],
        });
        assert_eq!(
            read(&[line]).unwrap_err().to_string(),
            "`frozen.jsonl`: expected at least one label, got -100 everywhere"
        );
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(
            k in 0usize..10,
            stride in 0usize..10,
            input_ids in prop::collection::vec(prop_oneof![0u32..90, any::<u32>()], 0..9),
            labels in prop::collection::vec(prop_oneof![Just(-100i64), -101i64..90, any::<i64>()], 0..9),
            ends: bool,
            same_length: bool,
        ) {
            let (mut input_ids, mut labels) = (input_ids, labels);
            if same_length {
                labels.resize(input_ids.len(), -100);
            }
            if ends {
                input_ids = [vec![CLS.0], input_ids, vec![SEP.0]].concat();
                labels = [vec![-100], labels, vec![-100]].concat();
            }
            let line = serde_json::json!({
                "window": 0, "contig": "c", "start": 0, "bases": 6, "strand": "+", "mask": "m", "span": 6, "masked_tokens": 0, "hidden_bases": 0,
                "k": k, "stride": stride, "seed": 0, "input_ids": input_ids, "labels": labels,
            });
            let _ = read(&[line]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(FrozenMasks::parse(&bytes[..], Path::new("frozen.jsonl")).is_err());
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = FrozenMasks::read(Path::new("no/such/frozen.jsonl")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read `no/such/frozen.jsonl`"), "{error}");
    }
}
