//! Labels in the input, if they are such as the model knows.

use std::path::Path;

use tatabox_core::labelled::{Record, Said, Target, Task, header_labels, target_of};

use crate::error::{Error, Result};

/// Ways in which a record may say its label: four rules of FASTA headers, and the cells of a table.
const WAYS: usize = 5;
const CELLS: usize = 4;

/// The labels of records as far as they were read, by each way that has held for all of them.
pub(super) struct Labels<'a> {
    task: Task,
    outputs: &'a [String],
    /// Whether the user named the columns: then they must hold labels.
    named: bool,
    ways: [Option<Vec<Target>>; WAYS],
    note: Option<String>,
}

impl<'a> Labels<'a> {
    pub fn new(task: Task, outputs: &'a [String], named: bool) -> Labels<'a> {
        Labels { task, outputs, named, ways: Default::default(), note: None }.ready()
    }

    fn ready(mut self) -> Self {
        self.ways.iter_mut().for_each(|way| *way = Some(Vec::new()));
        // A number of a regression is said with its key alone: other words of a header are numbers too often.
        if self.task == Task::Regression {
            self.ways[1..CELLS].iter_mut().for_each(|way| *way = None);
        }
        self
    }

    /// Reads the label of the next record.
    ///
    /// # Errors
    /// The user named its column, and it is no label of this model.
    pub fn take(&mut self, path: &Path, columns: &[String], record: &Record) -> Result<()> {
        let mut found: [Option<Target>; WAYS] = Default::default();
        match &record.said {
            Said::Header(text) => {
                for (found, label) in found.iter_mut().zip(header_labels(text)) {
                    *found = label.and_then(|label| target_of(self.task, self.outputs, &[], &[label]));
                }
            }
            Said::Cells(cells) => {
                found[CELLS] = target_of(self.task, self.outputs, columns, cells);
                if found[CELLS].is_none() && !cells.is_empty() {
                    self.unfit(path, columns, cells, record.line)?;
                }
            }
        }
        for (way, found) in self.ways.iter_mut().zip(found) {
            match (way.as_mut(), found) {
                (Some(targets), Some(target)) => targets.push(target),
                _ => *way = None,
            }
        }
        Ok(())
    }

    fn unfit(&mut self, path: &Path, columns: &[String], cells: &[String], line: u64) -> Result<()> {
        let got = cells.iter().map(|cell| format!("`{cell}`")).collect::<Vec<_>>().join(", ");
        let expected = match self.task {
            Task::Regression => format!("{} numbers ({})", self.outputs.len(), self.outputs.join(", ")),
            _ => format!("a label that the model knows ({})", self.outputs.join(", ")),
        };
        if self.named {
            let hint = "leave `--label-column` away to predict without measuring";
            return Err(Error::format(path, format!(", line {line}"), expected, got, hint));
        }
        if self.ways[CELLS].is_some() {
            let columns = columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let what = if columns.is_empty() { "labels".into() } else { format!("the column {columns}") };
            let place = format!("`{}`, line {line}", path.display());
            self.note = Some(format!("{what} is not used to measure: {place} has {got}, not {expected}"));
        }
        Ok(())
    }

    /// The labels of all records, `[records]`, if there is one way in which all of them say theirs; and what should be known.
    pub fn finish(self) -> (Option<Vec<Target>>, Option<String>) {
        (self.ways.into_iter().flatten().find(|targets| !targets.is_empty()), self.note)
    }
}
