//! The files of a simulated genome.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::Simulated;
use super::tables::LabelledTable;
use crate::io::whole;
use crate::{Error, Result};

/// Marks a directory whose files are being written.
pub const MARK: &str = ".simulating";

/// Bases on a line of the FASTA file.
const COLUMNS: usize = 60;

/// Writes a simulated genome into a directory, made if it is not there:
///
/// - `genome.fa`: 60 columns, repeats in lower case, runs of N;
/// - `truth.bed`: one line a record, sorted: contig, start, end (0-based, half-open), name, score 0, strand, kind, parent (`.` for none);
/// - `promoters/{train,dev,test}.csv`, `enhancers/{train,dev,test}.csv`: `sequence,label`;
/// - `truth.json`: written last; its keys are `config`, `rates` (`name`, `asked`, `realised`, `of`), `contigs` (`name`, `bases`), `split`,
///   `alphabet` (the order of the matrices' columns), `motifs` (`name`, `consensus`, `probabilities`), `pairs`, `families` and `tables` (rows).
///
/// Until that is there, `.simulating` marks what a killed simulation left, and a directory that has it may be written into again.
///
/// # Errors
/// [`check_vacant`]; `Error::File` naming the file that could not be written; no file is left half-written.
pub fn write(simulated: &Simulated, dir: &Path) -> Result<()> {
    check_vacant(dir)?;
    save(&dir.join(MARK), |_| Ok(()))?;
    save(&dir.join("genome.fa"), |out| {
        for contig in &simulated.contigs {
            writeln!(out, ">{}", contig.name)?;
            for line in contig.bases.chunks(COLUMNS) {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    })?;
    save(&dir.join("truth.bed"), |out| {
        for record in &simulated.truth {
            let contig = &simulated.contigs[record.contig].name;
            let (sign, kind, parent) =
                (record.strand.sign(), record.kind.name(), record.parent.as_deref().unwrap_or("."));
            writeln!(out, "{contig}\t{}\t{}\t{}\t0\t{sign}\t{kind}\t{parent}", record.start, record.end, record.name)?;
        }
        Ok(())
    })?;
    for (name, table) in [("promoters", &simulated.promoters), ("enhancers", &simulated.enhancers)] {
        for (part, examples) in [("train", &table.train), ("dev", &table.dev), ("test", &table.test)] {
            save(&dir.join(name).join(format!("{part}.csv")), |out| {
                writeln!(out, "sequence,label")?;
                examples.iter().try_for_each(|example| writeln!(out, "{},{}", example.sequence, example.label))
            })?;
        }
    }
    let truth = summary(simulated);
    save(&dir.join("truth.json"), |out| {
        serde_json::to_writer_pretty(&mut *out, &truth)?;
        writeln!(out)
    })?;
    let mark = dir.join(MARK);
    fs::remove_file(&mark).map_err(|source| Error::File { action: "remove", path: mark, source })
}

/// Refuses a directory that holds anything but what a killed simulation left: nothing of somebody else's is written over.
///
/// # Errors
/// It holds something, or cannot be read.
pub fn check_vacant(dir: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::File { action: "read", path: dir.to_path_buf(), source }),
    };
    if dir.join(MARK).exists() || entries.next().is_none() {
        return Ok(());
    }
    let expected = match dir.join("truth.json").exists() {
        true => "it already holds a simulated genome",
        false => "it is not empty, and nothing is written over",
    };
    let hint = "give another directory with `-o`, or remove this one first";
    let (key, got) = ("--output".into(), format!("`{}`", dir.display()));
    Err(Error::Value { key, got, expected: expected.into(), hint: hint.into() })
}

/// What `truth.json` holds.
fn summary(simulated: &Simulated) -> Value {
    let rows =
        |table: &LabelledTable| json!({"train": table.train.len(), "dev": table.dev.len(), "test": table.test.len()});
    let contigs = simulated.contigs.iter().map(|contig| json!({"name": contig.name, "bases": contig.bases.len()}));
    json!({
        "config": simulated.config,
        "rates": simulated.rates,
        "contigs": contigs.collect::<Vec<_>>(),
        "split": simulated.split,
        "alphabet": "ATCG",
        "motifs": simulated.motifs,
        "pairs": simulated.pairs,
        "families": simulated.families,
        "tables": {"promoters": rows(&simulated.promoters), "enhancers": rows(&simulated.enhancers)},
    })
}

/// Writes a file and the folder that it is in.
fn save(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| Error::File { action: "create", path: path.to_path_buf(), source })?;
    whole::write(path, content)
}
