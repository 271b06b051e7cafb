//! Writing labelled data: GUE's form (`train.csv`, `dev.csv`, `test.csv`), where each record comes from, and the card.

use std::fs;
use std::io;
use std::path::Path;

use super::{Card, Labelled, Made, origins};
use crate::error::{Error, Result};
use crate::io::whole;
use crate::seq::Sequence;

/// Writes a data set into a folder: one `NAME.csv` a part with the header `sequence,label` (`sequence1,sequence2,label` for pairs), `origins.tsv` if the
/// places of the records are known (split, row from 0, contig, start, end, strand, id, label, group; 0-based and half-open), and at last `dataset.json`.
///
/// # Errors
/// The folder holds a data set already, or a file cannot be written.
pub fn write(data: &Labelled, folder: &Path, made: Option<Made>) -> Result<Card> {
    let last = folder.join("dataset.json");
    if last.exists() {
        let what = format!("`{}` already holds a data set", folder.display());
        return Err(Error::Data { what, hint: "give another directory with `-o`, or remove this one first".into() });
    }
    fs::create_dir_all(folder).map_err(|source| Error::File { action: "create", path: folder.into(), source })?;
    let pairs = data.pairs();
    for split in &data.splits {
        whole::write(&folder.join(format!("{}.csv", split.name)), |out| {
            let mut table = csv::WriterBuilder::new().from_writer(out);
            let header: &[&str] = if pairs { &["sequence1", "sequence2", "label"] } else { &["sequence", "label"] };
            table.write_record(header).map_err(io::Error::other)?;
            for example in &split.examples {
                let text = |codes: &Vec<u8>| Sequence { codes: codes.clone() }.to_string();
                let sequences = [Some(&example.codes), example.second.as_ref()].into_iter().flatten().map(text);
                let cells: Vec<String> = sequences.chain([data.label(&example.target)]).collect();
                table.write_record(&cells).map_err(io::Error::other)?;
            }
            table.flush()
        })?;
    }
    if data.examples().any(|example| example.origin.is_some()) {
        whole::write(&folder.join(origins::FILE), |out| origins::write(data, out))?;
    }
    let card = Card::of(data, made);
    whole::write(&last, |out| {
        serde_json::to_writer_pretty(&mut *out, &card)?;
        writeln!(out)
    })?;
    Ok(card)
}
