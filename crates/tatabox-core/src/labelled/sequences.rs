//! Sequences one after another, whether or not they have labels: what a model is asked.

use std::path::Path;

use super::Target;
use super::file::{self, Raw, ReadOptions};
use super::{Task, headers};
use crate::error::Result;
use crate::io::fasta::{self, Fasta, Piece, Place};
use crate::io::input::Input;
use crate::seq::{Composition, Sequence, class};

/// A sequence as a file has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The line it begins in, 1-based.
    pub line: u64,
    /// Its name; may be empty.
    pub id: String,
    /// Base codes, `[bases]`.
    pub codes: Vec<u8>,
    /// The second sequence of a pair.
    pub second: Option<Vec<u8>>,
    /// The cells of its label columns, or what stands in its FASTA header.
    pub said: Said,
    /// What its letters were, those of both sequences of a pair.
    pub letters: Composition,
}

/// Where a record's label may stand.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// In the cells of these columns; none where the table has no labels.
    Cells(Vec<String>),
    /// Somewhere in this header.
    Header(String),
}

impl Default for Said {
    fn default() -> Said {
        Said::Cells(Vec::new())
    }
}

/// The sequences of a file in their order. FASTA is read as it goes; tables and intervals are held in memory.
pub struct Sequences {
    source: Source,
    columns: Vec<String>,
}

enum Source {
    Fasta { fasta: Box<Fasta>, next: Option<Record> },
    Rows(std::vec::IntoIter<Raw>),
}

impl Sequences {
    /// Opens a file: FASTA, JSON lines, BED with a genome, a table, or one sequence a line; plain or gzip.
    ///
    /// # Errors
    /// It cannot be read, or is not what its form asks for; a table has no sequences; a letter is no nucleotide; intervals do not fit the genome.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Sequences> {
        if crate::io::lines::head(path)?.trim_ascii_start().first() == Some(&b'>') {
            let fasta = Box::new(Fasta::new(Input::open(path)?).nameless());
            return Ok(Sequences { source: Source::Fasta { fasta, next: None }, columns: Vec::new() });
        }
        let file = file::read(path, options)?;
        if !file.has_sequences {
            return Err(file.without_sequences());
        }
        Ok(Sequences { columns: file.targets, source: Source::Rows(file.rows.into_iter()) })
    }

    /// Names of the label columns; empty where there are none.
    pub fn label_columns(&self) -> &[String] {
        &self.columns
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// The file cannot be read; a record is empty; a letter is no nucleotide.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        match &mut self.source {
            Source::Rows(rows) => Ok(rows.next().map(|raw| Record {
                line: raw.line,
                id: raw.id,
                codes: raw.codes,
                second: raw.second,
                said: Said::Cells(raw.labels),
                letters: raw.letters,
            })),
            Source::Fasta { fasta, next } => read_fasta(fasta, next),
        }
    }
}

fn read_fasta(fasta: &mut Fasta, next: &mut Option<Record>) -> Result<Option<Record>> {
    loop {
        let path = fasta.path().to_path_buf();
        match fasta.next_piece()? {
            None => return Ok(next.take()),
            Some(Piece::Header { name, text, at }) => {
                let new = Record { line: at.line, id: name, said: Said::Header(text), ..Record::default() };
                if let Some(whole) = next.replace(new) {
                    return Ok(Some(whole));
                }
            }
            Some(Piece::Bases { text, at }) => {
                let Some(record) = next else { continue };
                if let Some(column) = text.iter().position(|&byte| class::OF[usize::from(byte)] & class::BAD != 0) {
                    let at = Place { column: at.column + column as u64, ..at };
                    return Err(fasta::bad_letter(&path, &record.id, at, text[column]));
                }
                let (sequence, letters) = Sequence::parse(text)?;
                record.codes.extend(sequence.codes);
                record.letters.add(&letters);
            }
        }
    }
}

/// What a label says to a model whose task and outputs are known; none where it is none of this model.
///
/// `cells` are the cells of the label columns, named `columns` (as many, or none where they have no names): a class by its name or its number; labels with `;`
/// between, or 0 and 1 in columns with the names of the outputs; numbers with `;` between or in several columns.
///
/// # Examples
/// ```
/// use tatabox_core::labelled::{Target, Task, target_of};
/// let outputs = ["0".to_string(), "1".to_string()];
/// assert_eq!(target_of(Task::Binary, &outputs, &[], &["1".into()]), Some(Target::Class(1)));
/// assert_eq!(target_of(Task::Binary, &outputs, &[], &["yes".into()]), None);
/// ```
pub fn target_of(task: Task, outputs: &[String], columns: &[String], cells: &[String]) -> Option<Target> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
    let find = |text: &str| {
        let same = |name: &String| name == text || number(name).is_some_and(|value| number(text) == Some(value));
        outputs.iter().position(same)
    };
    let parts = || match cells {
        [one] => one.split(';').map(str::trim).collect::<Vec<_>>(),
        more => more.iter().map(|cell| cell.trim()).collect(),
    };
    match task {
        Task::Binary | Task::MultiClass => match cells {
            [one] => find(one.trim()).map(|class| Target::Class(class as u32)),
            _ => None,
        },
        Task::MultiLabel => {
            let mut holds = vec![false; outputs.len()];
            if cells.is_empty() {
                return None;
            }
            if cells.len() == 1 {
                let names = parts().into_iter().filter(|name| !name.is_empty());
                names.map(|name| find(name).map(|at| holds[at] = true)).collect::<Option<()>>()?;
                return Some(Target::Labels(holds));
            }
            if cells.len() != outputs.len() {
                return None;
            }
            for (at, cell) in cells.iter().enumerate() {
                let output = columns.get(at).map_or(Some(at), |name| find(name))?;
                holds[output] = number(cell).filter(|value| *value == 0.0 || *value == 1.0)? == 1.0;
            }
            Some(Target::Labels(holds))
        }
        Task::Regression => {
            let values: Vec<f64> = parts().into_iter().map(number).collect::<Option<_>>()?;
            (values.len() == outputs.len()).then_some(Target::Values(values))
        }
    }
}

/// The labels that a FASTA header may hold, one a rule: `label=…`; the last but one of `name|label|training`; the last of `name|label`; the second of two words.
pub fn header_labels(text: &str) -> [Option<String>; 4] {
    headers::RULES.map(|rule| rule(text).map(|said| said.label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str, text: &str) -> Result<Vec<Record>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut sequences = Sequences::open(&path, &ReadOptions::default())?;
        let mut records = Vec::new();
        while let Some(record) = sequences.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn fasta_and_tables_give_the_same_records_without_labels() {
        let of = |records: Vec<Record>| -> Vec<(String, Vec<u8>)> {
            records.into_iter().map(|record| (record.id, record.codes)).collect()
        };
        let fasta = all("x.fa", ">a one\nAC\nGT\n>b\r\nnnTT\r\n").unwrap();
        assert_eq!((fasta[1].line, fasta[1].letters.n, &fasta[0].said), (4, 2, &Said::Header("a one".into())));
        let expected = vec![("a".to_string(), vec![0, 2, 3, 1]), ("b".to_string(), vec![4, 4, 1, 1])];
        assert_eq!(of(fasta), expected);
        assert_eq!(of(all("x.csv", "id,sequence\na,ACGT\nb,NNTT\n").unwrap()), expected);
        let bare = of(all("x.txt", "ACGT\nNNTT\n").unwrap());
        assert_eq!(bare[0], (String::new(), expected[0].1.clone()));
        let pairs = all("x.csv", "sequence1,sequence2\nAC,GT\n").unwrap();
        assert_eq!(pairs[0].second, Some(vec![3, 1]));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let refused = |name: &str, text: &str, part: &str| {
            let error = all(name, text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        refused("x.fa", ">a\nAC\n>b\nAG!T\n", "line 4, column 3 (contig `b`): expected a nucleotide");
        refused("x.fa", ">a\n>b\nAC\n", "line 1: expected a sequence under `>a`, got the next record");
        refused("x.csv", "id,sequence\na,ACGT\nb,\n", "line 3: expected a sequence, got none");
        refused("x.csv", "id,sequence\na,ACXT\n", "line 2: expected nucleotides");
        refused("x.csv", "id,value\na,1\n", "expected a column with the sequences");
        refused("x.csv", "", "got an empty file");
    }

    #[test]
    fn labels_are_read_as_the_model_knows_them() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        let of = |task, outputs: &[&str], columns: &[&str], cells: &[&str]| {
            target_of(task, &names(outputs), &names(columns), &names(cells))
        };
        assert_eq!(of(Task::MultiClass, &["a", "b", "c"], &["label"], &["c"]), Some(Target::Class(2)));
        assert_eq!(of(Task::Binary, &["0", "1"], &[], &["1.0"]), Some(Target::Class(1)));
        assert_eq!(of(Task::Binary, &["0", "1"], &[], &["2"]), None);
        let labels = |holds: [bool; 2]| Some(Target::Labels(holds.to_vec()));
        assert_eq!(of(Task::MultiLabel, &["x", "y"], &["label"], &["y; x"]), labels([true, true]));
        assert_eq!(of(Task::MultiLabel, &["x", "y"], &["label"], &[""]), labels([false, false]));
        assert_eq!(of(Task::MultiLabel, &["x", "y"], &["y", "x"], &["1", "0"]), labels([false, true]));
        assert_eq!(of(Task::MultiLabel, &["x", "y"], &["y", "z"], &["1", "0"]), None);
        assert_eq!(of(Task::MultiLabel, &["x", "y"], &["y", "x"], &["1", "0.5"]), None);
        assert_eq!(of(Task::Regression, &["x", "y"], &[], &["0.5;-1"]), Some(Target::Values(vec![0.5, -1.0])));
        assert_eq!(of(Task::Regression, &["x"], &[], &["nan"]), None);
        assert_eq!(of(Task::Binary, &["0", "1"], &[], &[]), None);
        let [keyed, _, last, second] = header_labels("a|1 label=0");
        assert_eq!((keyed.as_deref(), last.as_deref(), second.as_deref()), (Some("0"), Some("1 label=0"), None));
    }
}
