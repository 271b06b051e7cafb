//! FASTA, as a stream of headers and pieces of sequence.
//!
//! A record may have lines of any length, with either line end, blank lines and spaces; the contig's name is the first word of its header.
//! Which letters are allowed is decided where the pieces are used; [`bad_letter`] words the error.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::input::{Fingerprint, Input};
use crate::io::malformed;
use crate::seq;

/// The longest header line that is read.
const LONGEST_HEADER: usize = 1 << 20;

/// Letters from which on a name of bases alone is a sequence at the wrong place.
const NAMELIKE: usize = 20;

/// Where something stands in a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, 1-based.
    pub line: u64,
    /// Byte of the line, 1-based.
    pub column: u64,
}

/// A part of a FASTA file.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A record begins.
    Header {
        /// The first word after `>`.
        name: String,
        /// All that stands after `>`.
        text: String,
        /// Where it stands.
        at: Place,
    },
    /// Sequence of the record: a line without its end, or a part of a long line.
    Bases {
        /// The letters as they stand there; white space may be among them.
        text: &'a [u8],
        /// Where the first of them stands.
        at: Place,
    },
}

/// A FASTA file that is being read.
pub struct Fasta {
    input: Input,
    at: Place,
    /// Bytes of the piece given last, to be consumed before the next.
    given: usize,
    record: Option<Record>,
    nameless: bool,
}

struct Record {
    name: String,
    line: u64,
    empty: bool,
}

impl Fasta {
    /// Starts to read.
    pub fn new(input: Input) -> Fasta {
        Fasta { input, at: Place { line: 1, column: 1 }, given: 0, record: None, nameless: false }
    }

    /// Takes records whose header begins with a space or names nothing; their name is its first word, or empty.
    pub fn nameless(self) -> Fasta {
        Fasta { nameless: true, ..self }
    }

    /// The file's name, for errors.
    pub fn path(&self) -> &Path {
        self.input.path()
    }

    /// The next piece, none at the end.
    ///
    /// # Errors
    /// The file cannot be read, is empty, is not FASTA, or has a record without a name or without a sequence.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        loop {
            self.input.consume(std::mem::take(&mut self.given));
            let at = self.at;
            let buffer = self.input.fill(|| format!(", line {}", at.line))?;
            if buffer.is_empty() {
                return self.end();
            }
            if at.column == 1 && buffer[0] == b'>' {
                return self.header().map(Some);
            }
            let text = match memchr::memchr(b'\n', buffer) {
                Some(length) => {
                    self.at = Place { line: at.line + 1, column: 1 };
                    self.given = length + 1;
                    length
                }
                None => {
                    self.at.column += buffer.len() as u64;
                    self.given = buffer.len();
                    buffer.len()
                }
            };
            let Some(first) = buffer[..text].iter().position(|byte| !byte.is_ascii_whitespace()) else { continue };
            // Files of some editors start with a byte-order mark; it is white space to whoever wrote them.
            if self.record.is_none() && at == (Place { line: 1, column: 1 }) && buffer.starts_with(b"\xef\xbb\xbf>") {
                (self.given, self.at) = (3, at);
                continue;
            }
            let Some(record) = &mut self.record else {
                let start = buffer[first..text].to_vec();
                return Err(not_fasta(self.input.path(), at.line, &start));
            };
            record.empty = false;
            let trimmed = text - usize::from(text > 0 && buffer[text - 1] == b'\r');
            let text = &self.input.fill(String::new)?[..trimmed];
            return Ok(Some(Piece::Bases { text, at }));
        }
    }

    /// Reads the rest and says what the file was.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn finish(self) -> Result<Fingerprint> {
        self.input.finish()
    }

    fn header(&mut self) -> Result<Piece<'static>> {
        let at = self.at;
        self.close_record("the next record")?;
        let mut header = Vec::new();
        loop {
            let buffer = self.input.fill(|| format!(", line {}", at.line))?;
            let end = memchr::memchr(b'\n', buffer);
            header.extend_from_slice(&buffer[..end.unwrap_or(buffer.len())]);
            let count = end.map_or(buffer.len(), |end| end + 1);
            if header.len() > LONGEST_HEADER {
                let expected = format!("a header line of at most {LONGEST_HEADER} bytes");
                let hint = "check that the file is FASTA with line ends";
                return Err(malformed(self.path(), line(at), expected, "a longer line", hint));
            }
            self.input.consume(count);
            if end.is_some() || count == 0 {
                break;
            }
        }
        self.at = Place { line: at.line + 1, column: 1 };
        let wrong = |got: &str, hint: &str| Err(malformed(self.path(), line(at), "a contig name after `>`", got, hint));
        // What stands behind the name may be in any encoding: authors, species.
        let text = String::from_utf8_lossy(&header[1..]);
        let named = text.split_ascii_whitespace().next().unwrap_or_default();
        if named.contains(char::REPLACEMENT_CHARACTER) {
            return wrong("bytes that are not UTF-8", "check that the file is FASTA, and whole");
        }
        let text = text.strip_suffix('\r').unwrap_or(&text);
        if text.contains('\r') {
            return wrong(
                "carriage returns as line ends",
                "the file has the line ends of old Macs: `tr '\\r' '\\n'` mends it",
            );
        }
        let name = text.split_ascii_whitespace().next().unwrap_or_default();
        if !self.nameless && (name.is_empty() || text.starts_with([' ', '\t'])) {
            return wrong("no name", "give every record a name of its own: `>chr1`");
        }
        if name.chars().any(char::is_control) {
            return wrong("control characters", "check that the file is FASTA, and whole");
        }
        self.record = Some(Record { name: name.to_owned(), line: at.line, empty: true });
        Ok(Piece::Header { name: name.to_owned(), text: text.trim().to_owned(), at })
    }

    fn end(&mut self) -> Result<Option<Piece<'static>>> {
        if self.record.is_none() {
            let got = if self.at == (Place { line: 1, column: 1 }) { "an empty file" } else { "blank lines only" };
            let hint = "check the path, and that the file was downloaded or written whole";
            return Err(malformed(self.path(), "", "a FASTA record (`>name`)", got, hint));
        }
        self.close_record("the end of the file")?;
        Ok(None)
    }

    fn close_record(&mut self, next: &str) -> Result<()> {
        let Some(record) = self.record.as_ref().filter(|record| record.empty) else { return Ok(()) };
        let bases = record.name.bytes().filter(|byte| b"ACGTUNacgtun".contains(byte)).count();
        let hint = if record.name.len() >= NAMELIKE && bases == record.name.len() {
            "the sequence seems to stand behind `>`: `sed 's/^>//'` makes a file of one sequence a line"
        } else {
            "remove the empty record, or check that the file is whole"
        };
        let expected = format!("a sequence under `>{}`", record.name);
        Err(malformed(self.path(), format!(", line {}", record.line), expected, next, hint))
    }
}

/// The error for a letter of a sequence that is no IUPAC nucleotide.
pub fn bad_letter(path: &Path, contig: &str, at: Place, letter: u8) -> Error {
    malformed(
        path,
        format!(", line {}, column {} (contig `{contig}`)", at.line, at.column),
        "a nucleotide (A, C, G, T, U, N or another IUPAC code)",
        seq::show(letter),
        seq::hint_for(letter),
    )
}

fn line(at: Place) -> String {
    format!(", line {}", at.line)
}

fn not_fasta(path: &Path, line: u64, start: &[u8]) -> Error {
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let (got, hint) = if !start.iter().take(64).all(printable) {
        ("binary data".to_owned(), "give a FASTA file, plain or gzip, or a UCSC .2bit file")
    } else {
        let shown: String = start.iter().take(24).map(|&byte| char::from(byte)).collect();
        let hint = match start[0] {
            b'@' => "this looks like FASTQ or SAM; give the genome's FASTA",
            b'<' => "this looks like a web page; the download went wrong",
            b'#' => "this looks like a table (VCF, GFF); give the genome's FASTA",
            _ => "give the genome's FASTA: a line `>name`, then its sequence",
        };
        (format!("`{}`", shown.trim_end()), hint)
    };
    malformed(path, format!(", line {line}"), "a FASTA header (`>name`)", got, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(text: &[u8]) -> Result<Vec<(String, String)>> {
        let mut fasta = Fasta::new(Input::from_reader("g.fa".into(), Cursor::new(text.to_vec()))?);
        let mut records: Vec<(String, String)> = Vec::new();
        while let Some(piece) = fasta.next_piece()? {
            match piece {
                Piece::Header { name, .. } => records.push((name, String::new())),
                Piece::Bases { text, .. } => {
                    records.last_mut().unwrap().1.push_str(std::str::from_utf8(text).unwrap());
                }
            }
        }
        Ok(records)
    }

    fn refused(text: &[u8]) -> (String, String) {
        let error = read(text).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_sequence_behind_the_sign_is_told_from_an_empty_record() {
        let (error, hint) = refused(b">ACGTACGTACGTACGTACGTAC\n>ACGTACGTACGTACGTACGTAA\n");
        assert!(error.contains("line 1: expected a sequence under") && hint.contains("sed 's/^>//'"), "{error} {hint}");
        assert!(refused(b">empty\n>b\nAC\n").1.contains("remove the empty record"));
    }

    #[test]
    fn reads_lines_of_any_length_with_either_line_end() {
        let records = read(b"\n>chr1 of yeast\r\nAC\r\nGTA\r\n\r\n>chr2\nacgt").unwrap();
        assert_eq!(records, [("chr1".into(), "ACGTA".into()), ("chr2".into(), "acgt".into())]);
        assert_eq!(read(b"\xef\xbb\xbf>a\nAC").unwrap(), [("a".into(), "AC".into())]);
    }

    #[test]
    fn says_that_a_file_is_empty() {
        assert_eq!(refused(b"").0, "`g.fa`: expected a FASTA record (`>name`), got an empty file");
        assert!(refused(b"\n \n").0.ends_with("got blank lines only"));
    }

    #[test]
    fn says_what_a_file_is_that_is_not_fasta() {
        let (error, hint) = refused(b"\n@read1\nACGT\n");
        assert_eq!(error, "`g.fa`, line 2: expected a FASTA header (`>name`), got `@read1`");
        assert!(hint.contains("FASTQ"));
        assert!(refused(b"ACGTACGT\n").0.ends_with("got `ACGTACGT`"));
        assert!(refused(b"\x7fELF\x02\x01\x00").0.ends_with("got binary data"));
        assert!(refused(b"<html>").1.contains("web page"));
    }

    #[test]
    fn names_a_record_without_a_sequence() {
        assert_eq!(refused(b">a\n>b\nACGT\n").0, "`g.fa`, line 1: expected a sequence under `>a`, got the next record");
        assert_eq!(
            refused(b">a\nAC\n>b\n\n").0,
            "`g.fa`, line 3: expected a sequence under `>b`, got the end of the file"
        );
        assert!(refused(b">a").0.ends_with("got the end of the file"));
    }

    #[test]
    fn a_name_may_be_missing_where_that_is_allowed() {
        let input = Input::from_reader("g.fa".into(), Cursor::new(b"> 6400\nAC\n>\nGT\n".to_vec())).unwrap();
        let mut fasta = Fasta::new(input).nameless();
        let at = Place { line: 1, column: 1 };
        let header = Piece::Header { name: "6400".into(), text: "6400".into(), at };
        assert_eq!(fasta.next_piece().unwrap(), Some(header));
        fasta.next_piece().unwrap();
        let header = Piece::Header { name: String::new(), text: String::new(), at: Place { line: 3, column: 1 } };
        assert_eq!(fasta.next_piece().unwrap(), Some(header));
    }

    #[test]
    fn asks_for_a_name_in_every_header() {
        assert_eq!(refused(b">\nACGT\n").0, "`g.fa`, line 1: expected a contig name after `>`, got no name");
        assert!(refused(b">a\rACGT\r").1.contains("old Macs"));
        assert!(refused(b">\xff\xfe\nAC").0.contains("not UTF-8"));
        assert_eq!(read(b">chr1 M\xfcller 2004\nAC").unwrap(), [("chr1".into(), "AC".into())]);
    }
}
