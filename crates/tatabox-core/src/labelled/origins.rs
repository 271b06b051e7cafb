//! Where the records of a written data set come from, and which belong together: `origins.tsv` beside its tables, which hold sequences and labels alone.

use std::io::{self, Write};
use std::path::Path;

use super::file::RawFile;
use super::{Labelled, SplitName};
use crate::error::{Error, Result};
use crate::interval;
use crate::io::input::Input;
use crate::io::table::{Row, Table};

/// Its name.
pub(super) const FILE: &str = "origins.tsv";

/// Its columns.
const HEADER: [&str; 9] = ["split", "row", "contig", "start", "end", "strand", "id", "label", "group"];

/// Writes the records that have a place.
pub(super) fn write(data: &Labelled, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", HEADER.join("\t"))?;
    for split in &data.splits {
        for (row, example) in split.examples.iter().enumerate() {
            if let Some(at) = &example.origin {
                let (strand, label) = (if at.reverse { '-' } else { '+' }, data.label(&example.target));
                let (name, contig, id) = (split.name, &at.contig, &example.id);
                let group = example.group.as_deref().unwrap_or_default();
                writeln!(out, "{name}\t{row}\t{contig}\t{}\t{}\t{strand}\t{id}\t{label}\t{group}", at.start, at.end)?;
            }
        }
    }
    Ok(())
}

/// Gives the rows of a written table their names, places and groups again.
///
/// # Errors
/// The table is not the one that this was written for.
pub(super) fn put_back(file: &mut RawFile) -> Result<()> {
    let path = file.path.with_file_name(FILE);
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.split('.').next().unwrap_or_default().to_string();
    if stem.parse::<SplitName>().is_err() || !path.is_file() {
        return Ok(());
    }
    let table = Table::parse(&path, &Input::open(&path)?.read_all()?, |_| true)?;
    // Somebody else's table of this name says nothing to us.
    let (Some(split), Some(row), Some(places)) =
        (table.column(&["split"]), table.column(&["row"]), interval::of_table(&table)?)
    else {
        return Ok(());
    };
    let [id, label, group] = ["id", "label", "group"].map(|name| table.column(&[name]));
    for (cells, place) in table.rows.iter().zip(places).filter(|(one, _)| one.cells[split] == stem) {
        let cell = |at: Option<usize>| at.map(|at| cells.cells[at].clone()).filter(|text| !text.is_empty());
        let at: Option<usize> = cells.cells[row].parse().ok();
        let Some(raw) = at.and_then(|at| file.rows.get_mut(at)) else {
            return Err(another(&table, cells, &file.path, "a row of the table"));
        };
        if raw.codes.len() as u64 != place.end - place.start {
            return Err(another(&table, cells, &file.path, &format!("a place of {} bases", raw.codes.len())));
        }
        if raw.labels.len() == 1 && cell(label).is_some_and(|label| label != raw.labels[0]) {
            return Err(another(&table, cells, &file.path, &format!("label `{}`", raw.labels[0])));
        }
        raw.id = cell(id).unwrap_or_default();
        raw.group = cell(group);
        raw.origin = Some(place);
    }
    Ok(())
}

fn another(table: &Table, row: &Row, of: &Path, expected: &str) -> Error {
    let hint = "the table was changed after it was written: make the data set again, or remove `origins.tsv` (places and groups are then not known)";
    table.wrong(row, format!("{expected}, as in `{}`", of.display()), row.cells.join(" "), hint)
}
