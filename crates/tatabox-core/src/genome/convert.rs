//! FASTA to .2bit, one contig in memory at a time.

use std::collections::HashMap;
use std::io::Write;

use super::card::{ContigCard, FileCard};
use crate::error::{Error, Result};
use crate::io::fasta::{Fasta, Piece, Place, bad_letter};
use crate::io::input::Input;
use crate::io::malformed;
use crate::io::twobit::{ContigWriter, TwoBitWriter};

/// Converts the FASTA of several inputs into the records of one .2bit file.
pub struct Converter<W> {
    writer: TwoBitWriter<W>,
    /// Where each contig was first seen.
    seen: HashMap<String, String>,
    files: Vec<FileCard>,
    contigs: Vec<ContigCard>,
}

/// What a conversion made.
pub struct Converted<W> {
    /// The bytes that belong before the records.
    pub head: Vec<u8>,
    /// The stream that the records were written to.
    pub records: W,
    /// What was read.
    pub files: Vec<FileCard>,
    /// What it held.
    pub contigs: Vec<ContigCard>,
}

impl<W: Write> Converter<W> {
    /// Starts a conversion whose records go to `records`.
    pub fn new(records: W) -> Self {
        Converter { writer: TwoBitWriter::new(records), seen: HashMap::new(), files: Vec::new(), contigs: Vec::new() }
    }

    /// Reads a whole input; `given` is its path as the user gave it. `failed` words an error of the stream of records.
    pub fn read(&mut self, input: Input, given: String, failed: &impl Fn(std::io::Error) -> Error) -> Result<()> {
        let path = input.path().to_path_buf();
        let mut fasta = Fasta::new(input);
        let mut contig: Option<ContigWriter> = None;
        while let Some(piece) = fasta.next_piece()? {
            match piece {
                Piece::Header { name, at, .. } => {
                    if let Some(done) = contig.take() {
                        self.write(done).map_err(failed)?;
                    }
                    let place = format!(", line {}", at.line);
                    if name.len() > 255 {
                        let expected = "a contig name of at most 255 bytes";
                        let hint = "shorten the first word of the header";
                        return Err(malformed(&path, place, expected, format!("{} bytes", name.len()), hint));
                    }
                    let here = format!("`{}`, line {}", path.display(), at.line);
                    if let Some(first) = self.seen.insert(name.clone(), here) {
                        let got = format!("`{name}` again (first in {first})");
                        let hint = "rename one of them, or leave one of the files out";
                        return Err(malformed(&path, place, "each contig name once", got, hint));
                    }
                    contig = Some(ContigWriter::new(name));
                }
                Piece::Bases { text, at } => {
                    let contig = contig.as_mut().expect("the reader gives a header before sequence");
                    if contig.bases() + text.len() as u64 > ContigWriter::LONGEST {
                        let expected = format!("contigs of at most {} bases", ContigWriter::LONGEST);
                        let hint = "split the contig; the .2bit format counts bases in 32 bits";
                        let place = format!(", line {}", at.line);
                        return Err(malformed(&path, place, expected, format!("more in `{}`", contig.name()), hint));
                    }
                    if let Err(bad) = contig.push(text) {
                        let at = Place { line: at.line, column: at.column + bad.at as u64 };
                        return Err(bad_letter(&path, contig.name(), at, bad.letter));
                    }
                }
            }
        }
        if let Some(last) = contig {
            self.write(last).map_err(failed)?;
        }
        let fingerprint = fasta.finish()?;
        self.files.push(FileCard { path: given, bytes: fingerprint.bytes, sha256: fingerprint.sha256 });
        Ok(())
    }

    /// Ends the conversion.
    pub fn finish(self) -> Converted<W> {
        let (head, records) = self.writer.finish();
        Converted { head, records, files: self.files, contigs: self.contigs }
    }

    fn write(&mut self, mut contig: ContigWriter) -> std::io::Result<()> {
        let composition = contig.finish();
        self.writer.write(&contig)?;
        self.contigs.push(ContigCard { name: contig.name().to_owned(), composition });
        Ok(())
    }
}
