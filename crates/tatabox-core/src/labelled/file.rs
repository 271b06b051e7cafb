//! One file of labelled sequences as rows, whatever its form.

use std::path::{Path, PathBuf};

use super::columns::{self, Columns, is_header};
use super::folder::split_word;
use super::{SplitName, Task};
use super::{headers, kmers};

use crate::error::{Error, Result};
use crate::genome::{FileCard, Genome};
use crate::interval::{self, Interval};
use crate::io::fasta::{Fasta, Piece};
use crate::io::input::{self, Input};
use crate::io::malformed;
use crate::io::parquet;
use crate::io::table::{Row, Table};
use crate::seq::{self, Composition, Sequence, class};

/// What the reader is told; all of it is found out where nothing is said.
#[derive(Clone, Default)]
pub struct ReadOptions {
    /// What is asked of the sequences.
    pub task: Option<Task>,
    /// The column of the sequence, or the two of a pair.
    pub sequence_columns: Vec<String>,
    /// The column of the label, or several.
    pub label_columns: Vec<String>,
    /// The genome that intervals lie on.
    pub genome: Option<Genome>,
}

/// A row before its label is understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw {
    pub line: u64,
    pub id: String,
    pub codes: Vec<u8>,
    pub second: Option<Vec<u8>>,
    pub labels: Vec<String>,
    pub split: Option<SplitName>,
    pub group: Option<String>,
    pub origin: Option<Interval>,
    pub letters: Composition,
}

/// A file as rows.
#[derive(Clone, Debug)]
pub(super) struct RawFile {
    pub path: PathBuf,
    pub card: FileCard,
    pub rows: Vec<Raw>,
    /// Names of the label columns.
    pub targets: Vec<String>,
    /// Rows or lines that hold nothing.
    pub blank: u64,
    /// Rows with U, and rows with T.
    pub with_u: u64,
    pub with_t: u64,
    pub has_sequences: bool,
    pub has_labels: bool,
}

impl RawFile {
    fn new(path: &Path, card: FileCard) -> RawFile {
        RawFile {
            path: path.into(),
            card,
            rows: Vec::new(),
            targets: Vec::new(),
            blank: 0,
            with_u: 0,
            with_t: 0,
            has_sequences: true,
            has_labels: false,
        }
    }

    /// The error of a table of labels that nothing has the sequences of.
    pub fn without_sequences(&self) -> Error {
        let hint = "a table of labels alone needs a FASTA file of the same part beside it; else name the column: `--sequence-column COLUMN`";
        malformed(&self.path, "", "a column with the sequences", "labels alone", hint)
    }

    /// The codes of sequence text, its letters counted.
    fn parse(&mut self, line: u64, text: &str, letters: &mut Composition) -> Result<Vec<u8>> {
        let place = || format!(", line {line}");
        let text = kmers::undone(text).map_err(|(one, next)| {
            let expected = "k-mers that overlap by all letters but one";
            malformed(
                &self.path,
                place(),
                expected,
                format!("`{one}` and then `{next}`"),
                "check that the row is whole",
            )
        })?;
        if let Some(at) = text.bytes().position(|byte| class::OF[usize::from(byte)] & class::BAD != 0) {
            let letter = text.as_bytes()[at];
            let got = format!("{} at position {} of the sequence", seq::show(letter), at + 1);
            let expected = "nucleotides (A, C, G, T, U, N or another IUPAC code)";
            return Err(malformed(&self.path, place(), expected, got, seq::hint_for(letter)));
        }
        if text.is_empty() {
            let hint = "remove the row, or give its sequence";
            return Err(malformed(&self.path, place(), "a sequence", "none", hint));
        }
        let has = |letter: u8| text.bytes().any(|byte| byte.eq_ignore_ascii_case(&letter));
        self.with_u += u64::from(has(b'U'));
        self.with_t += u64::from(has(b'T'));
        let (sequence, found) = Sequence::parse(text.as_bytes())?;
        letters.add(&found);
        Ok(sequence.codes)
    }
}

/// Reads a file: FASTA, Parquet, JSON lines, BED, or a table, as its first letter and its name say. A file of bare sequences has one a line.
///
/// # Errors
/// It cannot be read, or is not what its form asks for; a letter is no nucleotide; intervals have no genome, or do not fit it.
pub(super) fn read(path: &Path, options: &ReadOptions) -> Result<RawFile> {
    let fingerprint = input::fingerprint(path)?;
    let card = FileCard { path: path.display().to_string(), bytes: fingerprint.bytes, sha256: fingerprint.sha256 };
    let file = RawFile::new(path, card);
    let head = crate::io::lines::head(path)?;
    if head.starts_with(parquet::MAGIC) {
        return table(file, parquet::read(path)?, options);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match head.trim_ascii_start().first() {
        Some(b'>') => fasta(file),
        Some(b'{') => table(file, Table::parse_json_lines(path, &whole(path)?)?, options),
        _ if name.trim_end_matches(".gz").ends_with(".bed") => intervals(file, interval::read(path)?, options),
        _ => {
            let table = Table::parse(path, &whole(path)?, is_header)?;
            if table.header.is_empty() && table.rows[0].cells.len() == 1 {
                return bare(file, &table);
            }
            self::table(file, table, options)
        }
    }
}

/// All bytes of a file, unpacked.
fn whole(path: &Path) -> Result<Vec<u8>> {
    Input::open(path)?.read_all()
}

fn fasta(mut file: RawFile) -> Result<RawFile> {
    let mut records: Vec<(u64, String, String, String)> = Vec::new();
    let mut fasta = Fasta::new(Input::open(&file.path)?).nameless();
    while let Some(piece) = fasta.next_piece()? {
        match piece {
            Piece::Header { name, text, at } => records.push((at.line, name, text, String::new())),
            Piece::Bases { text, .. } => {
                // A byte that is no letter of text is refused below, where its line is known.
                let text = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(|&byte| char::from(byte));
                records.iter_mut().last().into_iter().for_each(|record| record.3.extend(text.clone()));
            }
        }
    }
    let texts: Vec<String> = records.iter().map(|record| record.2.clone()).collect();
    let said = headers::labels(&texts);
    file.has_labels = said.is_some();
    let mut said = said.unwrap_or_default().into_iter();
    for (line, id, _, text) in records {
        let mut raw = Raw { line, id, ..Raw::default() };
        if let Some(said) = said.next() {
            raw.id = raw.id.split('|').next().unwrap_or_default().to_owned();
            (raw.labels, raw.split) = (vec![said.label], said.split);
        }
        raw.codes = file.parse(line, &text, &mut raw.letters)?;
        file.rows.push(raw);
    }
    Ok(file)
}

fn bare(mut file: RawFile, table: &Table) -> Result<RawFile> {
    file.blank = table.blank;
    for row in &table.rows {
        let mut raw = Raw { line: row.line, ..Raw::default() };
        raw.codes = file.parse(row.line, &row.cells[0], &mut raw.letters)?;
        file.rows.push(raw);
    }
    Ok(file)
}

fn intervals(mut file: RawFile, intervals: Vec<Interval>, options: &ReadOptions) -> Result<RawFile> {
    let Some(genome) = &options.genome else {
        let what = format!("`{}` holds intervals and no sequences", file.path.display());
        return Err(Error::Data { what, hint: "give the genome that they lie on: `--genome hg38.fa`".into() });
    };
    for (at, interval) in intervals.into_iter().enumerate() {
        let codes = interval.read(genome)?;
        let text = Sequence { codes }.to_string();
        let mut raw = Raw { line: at as u64 + 1, id: interval.name.clone(), ..Raw::default() };
        raw.codes = file.parse(raw.line, &text, &mut raw.letters)?;
        raw.origin = Some(interval);
        file.rows.push(raw);
    }
    Ok(file)
}

fn table(mut file: RawFile, table: Table, options: &ReadOptions) -> Result<RawFile> {
    let columns = Columns::find(&table, options)?;
    let places = interval::of_table(&table);
    if columns.sequences.is_empty() {
        if let Some(places) = places? {
            file = intervals(file, places, options)?;
        } else if columns.labels.is_empty() {
            return Err(columns::missing(&table, "the sequences", "`sequence`, `seq`, `text`…", "--sequence-column"));
        } else {
            file.has_sequences = false;
            file.rows = table.rows.iter().map(|row| Raw { line: row.line, ..Raw::default() }).collect();
        }
    } else {
        for row in &table.rows {
            let mut raw = Raw { line: row.line, ..Raw::default() };
            raw.codes = file.parse(row.line, &row.cells[columns.sequences[0]], &mut raw.letters)?;
            if let Some(&second) = columns.sequences.get(1) {
                raw.second = Some(file.parse(row.line, &row.cells[second], &mut raw.letters)?);
            }
            file.rows.push(raw);
        }
        // The positions of other tables are a help and not their content: odd ones are left out.
        if let Ok(Some(places)) = places {
            file.rows.iter_mut().zip(places).for_each(|(raw, place)| raw.origin = Some(place));
        }
    }
    file.blank = table.blank;
    file.has_labels = !columns.labels.is_empty();
    file.targets = columns.labels.iter().filter_map(|&at| table.header.get(at).cloned()).collect();
    for (raw, row) in file.rows.iter_mut().zip(&table.rows) {
        let cell = |at: usize| row.cells[at].clone();
        raw.labels = columns.labels.iter().map(|&at| cell(at)).collect();
        raw.group = columns.group.map(cell);
        raw.id = columns.id.map_or_else(|| std::mem::take(&mut raw.id), cell);
        raw.split = columns.split.map(|at| split_of(&table, row, at)).transpose()?;
    }
    Ok(file)
}

fn split_of(table: &Table, row: &Row, at: usize) -> Result<SplitName> {
    let word = &row.cells[at];
    split_word(word).ok_or_else(|| table.wrong(row, "train, dev or test", crate::io::lines::quoted(word), ""))
}
