//! What the labels mean: the task, the names of the classes and their order, and the targets.
//!
//! | labels | task | order |
//! |---|---|---|
//! | whole numbers in one column, at most 100 different ones | binary or multi-class | by value |
//! | words in one column | binary or multi-class | by letters |
//! | words with `;` between | multi-label | by letters |
//! | 0 and 1 in several columns | multi-label | of the columns |
//! | other numbers, in one column or several | regression | of the columns |

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Raw, RawFile, ReadOptions};
use super::folder::Name;
use super::{Example, Labelled, Problem, Split, SplitName, Target, Task, problem};
use crate::error::{Error, Result};
use crate::io::{lines, malformed};
use crate::seq::Composition;

/// Different whole numbers above which labels are amounts and no classes.
const MOST_CLASSES: usize = 100;

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
        Meaning::Classes { names, .. } | Meaning::Sets { names } => {
            names.iter().map(|(_, name)| name.clone()).collect()
        }
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
            let part = name.split.or(row.split).unwrap_or(SplitName::All);
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
    /// One of these, by its text.
    Classes { names: Vec<(String, String)>, task: Option<Task> },
    /// Some of these, by their text.
    Sets { names: Vec<(String, String)> },
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
            return Ok(Meaning::Sets { names: names.into_iter().map(|name| (name.into(), name.into())).collect() });
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
            Some(task) if numeric && !whole => {
                Err(not(rows, &format!("a class (the task is {task})"), |value| value.fract() == 0.0))
            }
            _ => {
                let names = if whole {
                    by_value(&distinct)
                } else {
                    distinct.iter().map(|&name| (name.into(), name.into())).collect()
                };
                let classes = names.iter().map(|(_, name)| name).collect::<BTreeSet<_>>().len();
                if asked == Some(Task::Binary) && classes > 2 {
                    let shown: Vec<String> = names.iter().take(5).map(|(_, name)| format!("`{name}`")).collect();
                    return Err(Error::Data {
                        what: format!(
                            "the task is binary, but there are {classes} classes: {}{}",
                            shown.join(", "),
                            if classes > 5 { ", …" } else { "" }
                        ),
                        hint: "leave `--task` away, or name another label column".into(),
                    });
                }
                Ok(Meaning::Classes { names, task: asked })
            }
        }
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
            Meaning::Classes { names, .. } => {
                // Several spellings of one number are one class, at the index of its name.
                let mut index = 0;
                for (at, (text, name)) in names.iter().enumerate() {
                    index += u32::from(at > 0 && names[at - 1].1 != *name);
                    if text == row.values[0] {
                        break;
                    }
                }
                Target::Class(index)
            }
            Meaning::Sets { names } => {
                Target::Labels(names.iter().map(|(text, _)| row.values.contains(&text.as_str())).collect())
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

/// The error of the first value that is not what the task asks for.
fn not(rows: &[Labels<'_>], expected: &str, good: impl Fn(f64) -> bool) -> Error {
    let bad = |value: &&str| !number(value).is_some_and(&good);
    let found = rows.iter().find_map(|row| row.values.iter().copied().find(bad).map(|value| (row, value)));
    let (row, value) = found.unwrap_or((&rows[0], ""));
    row.wrong(expected, lines::quoted(value), "check the label column, or leave `--task` away")
}

/// Whole numbers in the order of their values, each with its plainest spelling.
fn by_value(distinct: &BTreeSet<&str>) -> Vec<(String, String)> {
    let mut values: Vec<(f64, String)> =
        distinct.iter().map(|&text| (number(text).unwrap_or(0.0), text.to_owned())).collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    values.into_iter().map(|(value, text)| (text, format!("{}", value + 0.0))).collect()
}
