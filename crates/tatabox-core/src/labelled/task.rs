//! What the labels mean: the task, the names of the classes and their order, and the targets.
//!
//! | labels | task | order |
//! |---|---|---|
//! | whole numbers in one column, at most 100 different ones | binary or multi-class | by value |
//! | at most 100 different words in one column | binary or multi-class | by letters |
//! | words with `;` between | multi-label | by letters |
//! | 0 and 1 in several columns | multi-label | of the columns |
//! | other numbers, in one column or several | regression | of the columns |
//!
//! Where nearly all labels are numbers, one that is none is refused and makes no class, unless the task is given.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Raw, RawFile, ReadOptions};
use super::folder::Name;
use super::{Example, Labelled, Problem, Split, SplitName, Target, Task, problem};
use crate::error::{Error, Result};
use crate::io::{lines, malformed};
use crate::seq::Composition;

/// Different labels above which whole numbers are amounts, and words names of records: neither are classes.
const MOST_CLASSES: usize = 100;

/// The share of labels that are numbers from which on one that is none is taken for a mistake.
const NEARLY_ALL: f64 = 0.9;

/// Rows with labels become examples with targets.
pub(super) fn understood(files: Vec<(RawFile, Name)>, left: Vec<String>, options: &ReadOptions) -> Result<Labelled> {
    let files = with_labels(files)?;
    let rows: Vec<Labels<'_>> = files
        .iter()
        .flat_map(|(file, _)| file.rows.iter().map(move |row| Labels { file, row, values: values(row) }))
        .collect();
    rows.iter().try_for_each(Labels::check)?;
    let meaning = Meaning::of(&rows, options.task)?;
    let targets: Vec<Target> = rows.iter().map(|row| meaning.target(row)).collect::<Result<_>>()?;
    let columns = files.iter().map(|(file, _)| &file.targets).find(|names| !names.is_empty());
    let width = rows.first().map_or(0, |row| row.values.len());
    let named = columns.filter(|names| names.len() == width).cloned();
    let named = || named.clone().unwrap_or_else(|| (0..width).map(|at| format!("target {at}")).collect());
    let id2label = match &meaning {
        Meaning::Classes { names, .. } | Meaning::Sets { names } => names.clone(),
        Meaning::Flags => named(),
        Meaning::Numbers => Vec::new(),
    };
    let target_names = if matches!(meaning, Meaning::Numbers) { named() } else { Vec::new() };
    let task = meaning.task(id2label.len());
    let mut problems = problem::of_files(files.iter().map(|(file, _)| file), &left);
    let cards = files.iter().map(|(file, _)| file.card.clone()).collect();
    let mut parts: BTreeMap<SplitName, Split> = BTreeMap::new();
    let mut targets = targets.into_iter();
    for (file, name) in files {
        for row in file.rows {
            let part = row.split.or(name.split).unwrap_or(SplitName::All);
            let empty = || Split { name: part, examples: Vec::new(), letters: Composition::default() };
            let split = parts.entry(part).or_insert_with(empty);
            split.letters.add(&row.letters);
            let Some(target) = targets.next() else { break };
            let Raw { id, codes, second, origin, group, .. } = row;
            split.examples.push(Example { id, codes, second, target, origin, group });
        }
    }
    let splits = parts.into_values().collect();
    let mut labelled = Labelled { task, id2label, targets: target_names, splits, files: cards, problems: Vec::new() };
    problems.extend(Problem::of(&labelled));
    labelled.problems = problems;
    Ok(labelled)
}

/// The rows of files without labels get that of their name.
fn with_labels(mut files: Vec<(RawFile, Name)>) -> Result<Vec<(RawFile, Name)>> {
    let classes: BTreeSet<&str> = files.iter().map(|(_, name)| name.class.as_str()).collect();
    let by_name = files.iter().all(|(file, _)| !file.has_labels) && classes.len() > 1 && !classes.contains("");
    for (file, name) in &mut files {
        if by_name {
            file.rows.iter_mut().for_each(|row| row.labels = vec![name.class.clone()]);
        } else if !file.has_labels {
            let hint = "name the column (`--label-column`), write `>name|label` in FASTA, or give a file or folder a class, at least two";
            return Err(malformed(
                &file.path,
                "",
                "labels (a column `label`, `class`, `target`…)",
                "sequences alone",
                hint,
            ));
        }
    }
    Ok(files)
}

/// The labels of a row and where it stands.
struct Labels<'a> {
    file: &'a RawFile,
    row: &'a Raw,
    values: Vec<&'a str>,
}

/// The labels of a row: its columns, or the parts of its one column.
fn values(row: &Raw) -> Vec<&str> {
    match row.labels.as_slice() {
        [one] => one.split(';').map(str::trim).collect(),
        more => more.iter().map(|label| label.trim()).collect(),
    }
}

impl Labels<'_> {
    fn wrong(&self, expected: impl Into<String>, got: impl Into<String>, hint: &str) -> Error {
        malformed(&self.file.path, format!(", line {}", self.row.line), expected, got, hint)
    }

    /// Every value says something.
    fn check(&self) -> Result<()> {
        let missing = |value: &&&str| {
            matches!(value.to_ascii_lowercase().as_str(), "nan" | "na" | "n/a" | "null" | "inf" | "-inf")
        };
        let hint = "remove the row, or give its label; unlabelled sequences have no place here";
        // One empty column may be the empty set of labels, where other rows hold several; that is seen later.
        let empty = self.row.labels.len() > 1 && self.values.contains(&"");
        match self.values.iter().find(missing) {
            Some(value) => Err(self.wrong("a label or a number", format!("`{value}`"), hint)),
            None if empty => Err(self.wrong("a label or a number", "nothing", hint)),
            None => Ok(()),
        }
    }
}

/// How labels are read.
enum Meaning {
    /// One of these; several spellings of one number (`1`, `1.0`) are one class.
    Classes { names: Vec<String>, index: BTreeMap<String, u32>, task: Option<Task> },
    /// Some of these.
    Sets { names: Vec<String> },
    /// 0 or 1 a column.
    Flags,
    /// A number a column.
    Numbers,
}

fn number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

impl Meaning {
    fn of(rows: &[Labels<'_>], asked: Option<Task>) -> Result<Meaning> {
        let width = rows[0].values.len();
        let several = rows.iter().any(|row| row.row.labels.len() > 1);
        let joined = !several && rows.iter().any(|row| row.values.len() > 1);
        let all = |test: &dyn Fn(f64) -> bool| {
            rows.iter().all(|row| row.values.iter().all(|value| number(value).is_some_and(test)))
        };
        if several || (joined && all(&|_| true)) {
            if let Some(row) = rows.iter().find(|row| row.values.len() != width) {
                return Err(row.wrong(
                    format!("{width} labels, as in the first row"),
                    row.values.len().to_string(),
                    "",
                ));
            }
            let flags = all(&|value| value == 0.0 || value == 1.0) && asked != Some(Task::Regression);
            return match asked {
                Some(task @ (Task::Binary | Task::MultiClass)) => Err(rows[0].wrong(
                    format!("one class (the task is {task})"),
                    format!("{width} labels"),
                    "name one column: `--label-column COLUMN`",
                )),
                Some(Task::MultiLabel) if !flags => {
                    Err(not(rows, "0 or 1 (the task is multi-label)", |value| value == 0.0 || value == 1.0))
                }
                _ if flags => Ok(Meaning::Flags),
                _ if all(&|_| true) => Ok(Meaning::Numbers),
                _ => Err(not(rows, "a number in every label column", |_| true)),
            };
        }
        if joined || asked == Some(Task::MultiLabel) {
            if let Some(task @ (Task::Binary | Task::MultiClass | Task::Regression)) = asked {
                let row = rows.iter().find(|row| row.values.len() > 1).unwrap_or(&rows[0]);
                return Err(row.wrong(
                    format!("one label (the task is {task})"),
                    lines::quoted(&row.row.labels[0]),
                    "",
                ));
            }
            let mut names: BTreeSet<&str> = rows.iter().flat_map(|row| row.values.iter().copied()).collect();
            names.remove("");
            if names.is_empty() {
                return Err(rows[0].wrong("a label in some row at least", "none in any", "check the label column"));
            }
            return Ok(Meaning::Sets { names: names.into_iter().map(str::to_owned).collect() });
        }
        if let Some(row) = rows.iter().find(|row| row.values[0].is_empty()) {
            return Err(row.wrong("a label", "nothing", "remove the row, or give its label"));
        }
        let numeric = all(&|_| true);
        let whole = numeric && all(&|value| value.fract() == 0.0);
        let distinct: BTreeSet<&str> = rows.iter().map(|row| row.values[0]).collect();
        match asked {
            Some(Task::Regression) if !numeric => Err(not(rows, "a number (the task is regression)", |_| true)),
            Some(Task::Regression) => Ok(Meaning::Numbers),
            None if numeric && (!whole || distinct.len() > MOST_CLASSES) => Ok(Meaning::Numbers),
            None if !numeric => {
                doubtful(rows, &distinct)?;
                Meaning::classes(&distinct, false, asked)
            }
            Some(task) if numeric && !whole => {
                Err(not(rows, &format!("a class (the task is {task})"), |value| value.fract() == 0.0))
            }
            _ => Meaning::classes(&distinct, whole, asked),
        }
    }

    /// Classes by the texts that stand for them; of whole numbers in the order of their values, of words by letters.
    fn classes(distinct: &BTreeSet<&str>, whole: bool, asked: Option<Task>) -> Result<Meaning> {
        let mut texts: Vec<(f64, String, &str)> = (distinct.iter())
            .map(|&text| match number(text).filter(|_| whole) {
                // Its plainest spelling; minus zero is zero.
                Some(value) => (value, format!("{}", value + 0.0), text),
                None => (0.0, text.to_owned(), text),
            })
            .collect();
        texts.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (mut names, mut index) = (Vec::new(), BTreeMap::new());
        for (_, name, text) in texts {
            if names.last() != Some(&name) {
                names.push(name);
            }
            index.insert(text.to_owned(), names.len() as u32 - 1);
        }
        if asked == Some(Task::Binary) && names.len() > 2 {
            let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
            return Err(Error::Data {
                what: format!(
                    "the task is binary, but there are {} classes: {}{}",
                    names.len(),
                    shown.join(", "),
                    if names.len() > 5 { ", …" } else { "" }
                ),
                hint: "leave `--task` away, or name another label column".into(),
            });
        }
        Ok(Meaning::Classes { names, index, task: asked })
    }

    fn task(&self, classes: usize) -> Task {
        match self {
            Meaning::Classes { task: Some(task), .. } => *task,
            Meaning::Classes { .. } => {
                if classes > 2 {
                    Task::MultiClass
                } else {
                    Task::Binary
                }
            }
            Meaning::Sets { .. } | Meaning::Flags => Task::MultiLabel,
            Meaning::Numbers => Task::Regression,
        }
    }

    fn target(&self, row: &Labels<'_>) -> Result<Target> {
        Ok(match self {
            Meaning::Classes { index, .. } => Target::Class(index[row.values[0]]),
            Meaning::Sets { names } => {
                Target::Labels(names.iter().map(|name| row.values.contains(&name.as_str())).collect())
            }
            Meaning::Flags => Target::Labels(row.values.iter().map(|value| number(value) == Some(1.0)).collect()),
            Meaning::Numbers => {
                let values = row.values.iter().map(|value| number(value));
                Target::Values(
                    values
                        .collect::<Option<_>>()
                        .ok_or_else(|| row.wrong("numbers", lines::quoted(&row.values.join(";")), ""))?,
                )
            }
        })
    }
}

/// Refuses words that can hardly be classes: a few among numbers, or too many.
fn doubtful(rows: &[Labels<'_>], distinct: &BTreeSet<&str>) -> Result<()> {
    let numbers = rows.iter().filter(|row| number(row.values[0]).is_some()).count();
    let word = rows.iter().find(|row| number(row.values[0]).is_none());
    let Some(row) = word else { return Ok(()) };
    let got = lines::quoted(row.values[0]);
    if numbers as f64 >= NEARLY_ALL * rows.len() as f64 {
        let hint = "mend or remove the row; if it is a class, say so: `--task binary` or `--task multi-class`";
        return Err(row.wrong(format!("a number, as {numbers} of {} labels are", rows.len()), got, hint));
    }
    if distinct.len() > MOST_CLASSES {
        let expected =
            format!("one of at most {MOST_CLASSES} classes, but there are {} different labels", distinct.len());
        let hint =
            "name the label column (`--label-column COLUMN`), or say that they are classes: `--task multi-class`";
        return Err(row.wrong(expected, got, hint));
    }
    Ok(())
}

/// The error of the first value that is not what the task asks for.
fn not(rows: &[Labels<'_>], expected: &str, good: impl Fn(f64) -> bool) -> Error {
    let bad = |value: &&str| !number(value).is_some_and(&good);
    let found = rows.iter().find_map(|row| row.values.iter().copied().find(bad).map(|value| (row, value)));
    let (row, value) = found.unwrap_or((&rows[0], ""));
    row.wrong(expected, lines::quoted(value), "check the label column, or leave `--task` away")
}
