//! Parquet as a table: columns of text, numbers, truth values, or lists of them; packed with Snappy, Zstandard or gzip, or not.

use std::cell::Cell;
use std::fs::File;
use std::panic::{self, UnwindSafe};
use std::path::Path;
use std::sync::Once;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::malformed;
use super::table::{Row, Table};
use crate::error::{Error, Result};

/// How a Parquet file begins.
pub const MAGIC: &[u8] = b"PAR1";

/// Reads a whole file. Rows are counted from 1; a list becomes its values with `;` between, null nothing, true and false 1 and 0.
///
/// # Errors
/// The file cannot be read, is torn, packed in another way, or has a column of another kind.
pub fn read(path: &Path) -> Result<Table> {
    // The crate trusts lengths and places that a damaged file gives, and panics on some; that is this file's fault and ends nothing.
    quietly(|| rows(path)).unwrap_or_else(|| Err(torn(path, "damaged data")))
}

/// What the work gives; none where it panics, of which nothing is printed either. Panics of other threads are told as ever.
fn quietly<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(work);
    QUIET.set(false);
    result.ok()
}

fn torn(path: &Path, got: impl Into<String>) -> Error {
    let hint = "copy or download the file again; if it opens elsewhere, write it as CSV: `pandas.read_parquet(\"x.parquet\").to_csv(\"x.csv\", index=False)`";
    malformed(path, "", "whole Parquet data (plain, Snappy, Zstandard or gzip)", got, hint)
}

fn rows(path: &Path) -> Result<Table> {
    let failed = |error: parquet::errors::ParquetError| torn(path, error.to_string());
    let file = File::open(path).map_err(|source| Error::File { action: "read", path: path.into(), source })?;
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let header: Vec<String> = schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    let mut rows = Vec::new();
    for (at, row) in reader.get_row_iter(None).map_err(failed)?.enumerate() {
        let row = row.map_err(failed)?;
        let line = at as u64 + 1;
        let cell = |(name, field): (&String, &Field)| {
            cell(field).ok_or_else(|| {
                let (place, got) =
                    (format!(", row {line}, column `{name}`"), crate::io::lines::quoted(&field.to_string()));
                let hint = "leave such columns out of the file";
                malformed(path, place, "text, numbers, truth values or lists of them", got, hint)
            })
        };
        rows.push(Row { line, cells: row.get_column_iter().map(cell).collect::<Result<_>>()? });
    }
    Table { path: path.into(), header, rows, blank: 0 }.checked()
}

/// A value as tables of text write it; none where they cannot.
fn cell(field: &Field) -> Option<String> {
    Some(match field {
        Field::Null => String::new(),
        Field::Bool(value) => u8::from(*value).to_string(),
        Field::Byte(value) => value.to_string(),
        Field::Short(value) => value.to_string(),
        Field::Int(value) => value.to_string(),
        Field::Long(value) => value.to_string(),
        Field::UByte(value) => value.to_string(),
        Field::UShort(value) => value.to_string(),
        Field::UInt(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        Field::Float16(value) => value.to_string(),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        Field::Str(text) => text.trim().to_owned(),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).ok()?.trim().to_owned(),
        Field::ListInternal(list) => list.elements().iter().map(cell).collect::<Option<Vec<_>>>()?.join(";"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by pyarrow: benches/peers/parquet.py.
    fn golden(name: &str) -> Table {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
    }

    fn row(table: &Table, at: usize) -> String {
        table.rows[at].cells.join(",")
    }

    #[test]
    fn files_of_pyarrow_are_tables() {
        let table = golden("snappy.parquet");
        assert_eq!((table.header.join(","), table.rows.len()), ("sequence,label,fold".into(), 3));
        assert_eq!((row(&table, 1), table.rows[1].line), ("GGTTacgtNN,0,train".into(), 2));
        let table = golden("zstd.parquet");
        assert_eq!(table.header, ["id", "sequence", "liver", "brain"]);
        assert_eq!((row(&table, 0), row(&table, 3)), ("a,ACGTACGTAC,1,0".into(), "d,CCCCCCCCCC,0,1".into()));
        let table = golden("lists.parquet");
        assert_eq!((row(&table, 0), row(&table, 2)), ("ACGTACGTAC,0.5;-1.25".into(), "TTTTTTTTTT,3;0.0000001".into()));
        assert_eq!(row(&golden("null.parquet"), 3), "CCCCCCCCCC,");
    }

    #[test]
    fn torn_and_changed_files_are_errors() {
        let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snappy.parquet")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let mut refused = 0;
        for at in (0..whole.len()).step_by(5) {
            std::fs::write(&path, &whole[..at]).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains("expected whole Parquet data") && error.hint().is_some(), "{error}");
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            // Some bytes say nothing that is looked at; none may end the program.
            refused += usize::from(read(&path).is_err());
        }
        assert!(refused > whole.len() / 20, "{refused} of {}", whole.len());
    }
}
