//! Tables of text with any delimiter, quoted or not, and JSON lines as a table of their keys.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::malformed;
use crate::error::{Error, Result};

/// A table in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The file, for errors.
    pub path: PathBuf,
    /// Names of the columns; empty where the file has none.
    pub header: Vec<String>,
    /// The rows that hold something, `[rows][columns]`.
    pub rows: Vec<Row>,
    /// Rows without any letter, which are left out.
    pub blank: u64,
}

/// A row and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file, 1-based.
    pub line: u64,
    /// Its cells, without white space around them.
    pub cells: Vec<String>,
}

impl Table {
    /// Reads a table: the delimiter is the tab, comma or semicolon that the first lines have equally often, in this order. `is_header` says of the first
    /// row whether it names the columns.
    ///
    /// # Errors
    /// The text is not UTF-8, or a row has more or fewer cells than the first.
    pub fn parse(path: &Path, text: &[u8], is_header: impl Fn(&[String]) -> bool) -> Result<Table> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let delimiter = delimiter(text);
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(delimiter).has_headers(false).flexible(true).trim(csv::Trim::All);
        let mut table = Table { path: path.into(), header: Vec::new(), rows: Vec::new(), blank: blank_lines(text) };
        let mut first_row = true;
        // The csv crate begins a record before the blank lines that precede it.
        let (mut line, mut counted) = (1, 0);
        for record in builder.from_reader(text).records() {
            let record = record.map_err(|error| not_text(path, &error))?;
            let start = record.position().map_or(counted, |at| at.byte() as usize);
            let start = start + text[start..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            line += text[counted..start].iter().filter(|&&byte| byte == b'\n').count() as u64;
            counted = start;
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            if cells.iter().all(String::is_empty) {
                table.blank += 1;
            } else if std::mem::take(&mut first_row) && is_header(&cells) {
                table.header = cells;
            } else {
                table.rows.push(Row { line, cells });
            }
        }
        table.checked()
    }

    /// Reads JSON lines: a column for every key of the first object, in its order; a list becomes its values with `;` between, null nothing.
    ///
    /// # Errors
    /// A line is no JSON object, lacks a key of the first, or has one that the first has not.
    pub fn parse_json_lines(path: &Path, text: &[u8]) -> Result<Table> {
        let mut table = Table { path: path.into(), header: Vec::new(), rows: Vec::new(), blank: 0 };
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                table.blank += u64::from(at + 1 < text.split(|&byte| byte == b'\n').count());
                continue;
            }
            let place = format!(", line {}", at + 1);
            let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
                let hint = "write one object a line: {\"sequence\": \"ACGT\", \"label\": 1}";
                return Err(malformed(
                    path,
                    place,
                    "a JSON object",
                    super::lines::quoted(&String::from_utf8_lossy(line)),
                    hint,
                ));
            };
            if table.header.is_empty() {
                table.header = object.keys().cloned().collect();
            }
            let names = || table.header.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            if object.len() != table.header.len() || table.header.iter().any(|name| !object.contains_key(name)) {
                let got = object.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                return Err(malformed(path, place, format!("the keys of the first line: {}", names()), got, ""));
            }
            let cells = table.header.iter().map(|name| cell(&object[name])).collect();
            table.rows.push(Row { line: at as u64 + 1, cells });
        }
        table.checked()
    }

    /// The column of the first of these names that the table has; case does not count.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.header.iter().position(|column| column.eq_ignore_ascii_case(name)))
    }

    /// The error of one row.
    pub fn wrong(&self, row: &Row, expected: impl Into<String>, got: impl Into<String>, hint: &str) -> Error {
        malformed(&self.path, format!(", line {}", row.line), expected, got, hint)
    }

    /// The same table, if it has rows and they are equally long.
    pub(super) fn checked(self) -> Result<Table> {
        let Some(first) = self.rows.first() else {
            let got = if self.header.is_empty() { "an empty file" } else { "a header and nothing else" };
            let hint = "check the path, and that the file was downloaded or written whole";
            return Err(malformed(&self.path, "", "rows with sequences", got, hint));
        };
        let columns = if self.header.is_empty() { first.cells.len() } else { self.header.len() };
        match self.rows.iter().find(|row| row.cells.len() != columns) {
            Some(row) => {
                let expected = format!("{columns} columns, as in the first row");
                let hint = "check the delimiter and the quotes, and that the file is whole";
                Err(self.wrong(row, expected, format!("{}", row.cells.len()), hint))
            }
            None => Ok(self),
        }
    }
}

/// The delimiter that the first lines have equally often; if none has, the first that the first line has.
fn delimiter(text: &[u8]) -> u8 {
    let lines: Vec<&[u8]> =
        text.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(20).collect();
    let count = |line: &[u8], of: u8| line.iter().filter(|&&byte| byte == of).count();
    let first = |of: &u8| lines.first().map_or(0, |line| count(line, *of));
    let even = |of: &u8| first(of) > 0 && lines.iter().all(|line| count(line, *of) == first(of));
    let known = [b'\t', b',', b';'];
    known.into_iter().find(even).or_else(|| known.into_iter().find(|of| first(of) > 0)).unwrap_or(b',')
}

/// Lines of white space alone between lines that hold something; the csv crate skips them without a word.
fn blank_lines(text: &[u8]) -> u64 {
    let end = text.trim_ascii_end().len();
    text[..end].split(|&byte| byte == b'\n').filter(|line| *line == b"" || *line == b"\r").count() as u64
}

fn not_text(path: &Path, error: &csv::Error) -> Error {
    let place = error.position().map_or(String::new(), |at| format!(", line {}", at.line()));
    malformed(
        path,
        place,
        "a table of text",
        "bytes that are not UTF-8",
        "give CSV, TSV, JSON lines, FASTA or BED; plain or gzip",
    )
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        Table::parse(Path::new("t.csv"), text.as_bytes(), |cells| cells.iter().any(|cell| cell == "label"))
    }

    #[test]
    fn finds_the_delimiter_and_undoes_quotes() {
        let table = read("\"sequence\"\t\"label\"\n\"ACG, CGT\"\t\"1\"\n\n ACGT \t0\n").unwrap();
        assert_eq!(table.header, ["sequence", "label"]);
        assert_eq!(table.rows[0], Row { line: 2, cells: vec!["ACG, CGT".into(), "1".into()] });
        assert_eq!((table.rows[1].line, table.rows[1].cells[0].as_str(), table.blank), (4, "ACGT", 1));
        assert_eq!(read("+;ACGT\n-;ACGA\n").unwrap().rows[0].cells, ["+", "ACGT"]);
    }

    #[test]
    fn a_row_of_another_width_is_named() {
        let error = read("sequence,label\nACGT,1\nACGT\n").unwrap_err().to_string();
        assert_eq!(error, "`t.csv`, line 3: expected 2 columns, as in the first row, got 1");
        assert!(read("sequence,label\n").unwrap_err().to_string().ends_with("got a header and nothing else"));
        assert!(read("").unwrap_err().to_string().ends_with("got an empty file"));
    }

    #[test]
    fn json_lines_are_a_table_of_their_keys() {
        let read = |text: &str| Table::parse_json_lines(Path::new("t.jsonl"), text.as_bytes());
        let table =
            read("{\"sequence\": \"ACGT\", \"label\": [0.5, 1]}\n{\"label\": null, \"sequence\": \"AA\"}\n").unwrap();
        assert_eq!(table.header, ["sequence", "label"]);
        assert_eq!(table.rows[0].cells, ["ACGT", "0.5;1"]);
        assert_eq!(table.rows[1].cells, ["AA", ""]);
        let error = read("{\"sequence\": \"A\"}\n{\"seq\": \"A\"}\n").unwrap_err().to_string();
        assert_eq!(error, "`t.jsonl`, line 2: expected the keys of the first line: `sequence`, got `seq`");
        assert!(read("{\"a\": 1}\n[1]\n").unwrap_err().to_string().contains("line 2: expected a JSON object"));
    }
}
