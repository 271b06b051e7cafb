//! What is odd in labelled data without being unreadable: counted, and said with what to do.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::file::RawFile;
use super::{Example, Labelled, SplitName, Target};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Numbers measured on this data need the reader's care.
    Warning,
    /// Numbers measured on this data do not say what they seem to say.
    Serious,
}

/// Something odd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Its name, for scripts.
    pub id: String,
    /// How much it matters.
    pub severity: Severity,
    /// How many records it touches.
    pub count: u64,
    /// What it is, in words.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem.
    pub fn new(id: &str, severity: Severity, count: u64, what: impl Into<String>, hint: &str) -> Problem {
        Problem { id: id.into(), severity, count, what: what.into(), hint: hint.into() }
    }

    /// The problems of the labels and names of whole data.
    pub(super) fn of(data: &Labelled) -> Vec<Problem> {
        [unseen(data), duplicate_ids(data)].into_iter().flatten().collect()
    }

    /// The sequences that are too short to hold one k-mer.
    pub fn shorter_than(data: &Labelled, k: usize) -> Option<Problem> {
        let short = |example: &&Example| {
            example.codes.len() < k || example.second.as_ref().is_some_and(|codes| codes.len() < k)
        };
        let count = data.examples().filter(short).count() as u64;
        let what = format!("{count} sequences are shorter than k = {k} bases and hold no k-mer");
        (count > 0).then(|| {
            Problem::new("short-sequences", Severity::Warning, count, what, "take them out, or choose a smaller k")
        })
    }
}

/// What was odd in the files.
pub(super) fn of_files<'a>(files: impl Iterator<Item = &'a RawFile>, left: &[String]) -> Vec<Problem> {
    use Severity::{Note, Warning};
    let (mut blank, mut with_u, mut with_t, mut unclear, mut rows_unclear) = (0, 0, 0, 0, 0);
    for file in files {
        blank += file.blank;
        with_u += file.with_u;
        with_t += file.with_t;
        unclear += file.rows.iter().map(|row| row.letters.bases - row.letters.known()).sum::<u64>();
        rows_unclear += file.rows.iter().filter(|row| row.letters.bases > row.letters.known()).count() as u64;
    }
    let mut problems = Vec::new();
    if blank > 0 {
        problems.push(Problem::new("blank-rows", Note, blank, format!("{blank} rows are empty and were skipped"), ""));
    }
    if with_u > 0 && with_t > 0 {
        let what = format!("{with_u} sequences are written with U and {with_t} with T; U is read as T");
        problems.push(Problem::new(
            "mixed-alphabets",
            Warning,
            with_u.min(with_t),
            what,
            "DNA and RNA in one table: is that meant?",
        ));
    } else if with_u > 0 {
        problems.push(Problem::new("rna", Note, with_u, format!("{with_u} sequences are RNA; U is read as T"), ""));
    }
    if unclear > 0 {
        let what =
            format!("{rows_unclear} sequences hold {unclear} letters other than A, C, G, T, U; they are read as N");
        problems.push(Problem::new("unknown-bases", Note, rows_unclear, what, ""));
    }
    if !left.is_empty() {
        let shown = left.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let what = format!("{} files say neither train, dev nor test and were left out: {shown}", left.len());
        problems.push(Problem::new(
            "files-left-out",
            Warning,
            left.len() as u64,
            what,
            "give the files themselves if they belong to the data",
        ));
    }
    problems
}

/// Classes that are not everywhere they should be.
fn unseen(data: &Labelled) -> Vec<Problem> {
    use Severity::{Serious, Warning};
    let mut counts: HashMap<SplitName, Vec<u64>> = HashMap::new();
    for split in &data.splits {
        let of = counts.entry(split.name).or_insert_with(|| vec![0; data.id2label.len()]);
        for example in &split.examples {
            match &example.target {
                Target::Class(class) => of[*class as usize] += 1,
                Target::Labels(labels) => labels.iter().enumerate().for_each(|(at, &holds)| of[at] += u64::from(holds)),
                Target::Values(_) => {}
            }
        }
    }
    let mut problems = Vec::new();
    if data.id2label.len() == 1 {
        let what = format!("there is one class only, `{}`: nothing can be told apart", data.id2label[0]);
        let count = data.examples().count() as u64;
        problems.push(Problem::new(
            "one-class",
            Serious,
            count,
            what,
            "add the other class, or name another label column",
        ));
    }
    let Some(train) = counts.get(&SplitName::Train) else { return problems };
    for name in [SplitName::Dev, SplitName::Test] {
        let Some(other) = counts.get(&name) else { continue };
        for (class, label) in data.id2label.iter().enumerate() {
            if train[class] == 0 && other[class] > 0 {
                let what = format!("label `{label}` has {} records in {name} and none in train", other[class]);
                problems.push(Problem::new(
                    "unseen-label",
                    Serious,
                    other[class],
                    what,
                    "no model can learn it: divide the data again",
                ));
            } else if train[class] > 0 && other[class] == 0 {
                let what = format!("label `{label}` has {} records in train and none in {name}", train[class]);
                problems.push(Problem::new(
                    "unmeasured-label",
                    Warning,
                    train[class],
                    what,
                    "what is learnt of it is not measured",
                ));
            }
        }
    }
    problems
}

fn duplicate_ids(data: &Labelled) -> Vec<Problem> {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    data.examples().filter(|example| !example.id.is_empty()).for_each(|one| *seen.entry(&one.id).or_default() += 1);
    let count: u64 = seen.values().filter(|&&count| count > 1).map(|count| count - 1).sum();
    let first =
        data.examples().map(|example| example.id.as_str()).find(|id| seen.get(id).is_some_and(|&count| count > 1));
    let what =
        format!("{count} records have an id that another has before them, `{}` the first", first.unwrap_or_default());
    let problem = Problem::new("duplicate-ids", Severity::Note, count, what, "");
    if count > 0 { vec![problem] } else { Vec::new() }
}
