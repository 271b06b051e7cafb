//! Answers as a table: a line a sequence or window.

use std::io;

use tatabox_core::io::whole;
use tatabox_core::labelled::Task;
use tatabox_core::metrics::argmax;

use super::journal::Journal;
use super::{Format, Request, sequences, windows};
use crate::error::{Error, Result};

/// The probability from which a label holds.
const HOLDS: f32 = 0.5;

/// `id`, `prediction` (not of a regression), and a column an output. A sequence without an answer has `NA` there.
///
/// # Errors
/// The inputs cannot be read again, or the table cannot be written.
pub(super) fn sequences(
    request: &Request<'_>,
    task: Task,
    outputs: &[String],
    asked: &sequences::Asked<'_>,
    journal: &mut Journal,
) -> Result<()> {
    let mut reader = asked.reader();
    let mut rows = journal.rows(0)?;
    written(request, task, outputs, &["id"], |line| {
        while let Some((_, _, record)) = reader.next_record()? {
            line(vec![record.id], &rows.next_row()?)?;
        }
        Ok(())
    })
}

/// `contig`, `start`, `end` (0-based, half-open), then as of sequences.
///
/// # Errors
/// The table cannot be written.
pub(super) fn windows(
    request: &Request<'_>,
    task: Task,
    outputs: &[String],
    asked: &windows::Asked<'_>,
    journal: &mut Journal,
) -> Result<()> {
    let mut rows = journal.rows(0)?;
    written(request, task, outputs, &["contig", "start", "end"], |line| {
        for window in asked.windows(&asked.runs) {
            let contig = asked.genome.contigs()[window.contig].name.clone();
            line(vec![contig, window.start.to_string(), window.end.to_string()], &rows.next_row()?)?;
        }
        Ok(())
    })
}

/// What writes a line: its first cells, and the answer.
type Line<'a> = dyn FnMut(Vec<String>, &[f32]) -> Result<()> + 'a;

fn written(
    request: &Request<'_>,
    task: Task,
    outputs: &[String],
    first: &[&str],
    lines: impl FnOnce(&mut Line<'_>) -> Result<()>,
) -> Result<()> {
    // An error of reading passes through the writer, which knows only its own kind.
    let mut failure = None;
    let delimiter = if request.format == Format::Csv { b',' } else { b'\t' };
    let done = whole::write(request.output, |out| {
        let mut table = csv::WriterBuilder::new().delimiter(delimiter).from_writer(out);
        let mut put = |cells: &[String]| -> Result<()> {
            let written = table.write_record(cells).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => error,
                other => io::Error::other(format!("{other:?}")),
            });
            written.map_err(Error::file("write", request.output))
        };
        let prediction = (task != Task::Regression).then(|| "prediction".to_string());
        let head: Vec<String> =
            first.iter().map(|name| (*name).to_string()).chain(prediction).chain(outputs.iter().cloned()).collect();
        let all = put(&head).and_then(|()| {
            lines(&mut |mut cells, row| {
                cells.extend(prediction_of(task, outputs, row));
                cells.extend(row.iter().map(number));
                put(&cells)
            })
        });
        all.map_err(|error| {
            let word = io::Error::other(error.to_string());
            failure = Some(error);
            word
        })?;
        table.flush()
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}

/// The class with the highest probability, or the labels that hold.
fn prediction_of(task: Task, outputs: &[String], row: &[f32]) -> Option<String> {
    let answered = !row[0].is_nan();
    match task {
        Task::Regression => None,
        _ if !answered => Some("NA".into()),
        Task::MultiLabel => {
            let held = outputs.iter().zip(row).filter(|(_, value)| **value >= HOLDS);
            Some(held.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";"))
        }
        Task::Binary | Task::MultiClass => Some(outputs[argmax(row)].clone()),
    }
}

/// As few digits as give the same number again; `NA` where there is none.
fn number(value: &f32) -> String {
    if value.is_nan() { "NA".into() } else { value.to_string() }
}
