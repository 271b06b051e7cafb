//! What masks know of a genome before the first step: the scores that `pmi` and `pmi-vocab` go by, and windows to measure a rate on.

use std::path::Path;

use tatabox_core::corpus::Part;
use tatabox_core::count::{self, Strands, count};
use tatabox_core::genome::{FileCard, Genome};
use tatabox_core::io::input::{Fingerprint, fingerprint};
use tatabox_core::mask::{self, MaskScores, MaskStrategy};
use tatabox_core::tokenizer::{Tokenizer, Tokens};

use crate::data::sampler;
use crate::error::{Error, Result};
use crate::recipe::RunConfig;

/// Tokens of the windows on which a rate is measured: enough for a tenth of a point.
const SAMPLE_TOKENS: u64 = 1_000_000;

/// The masks' knowledge of one genome.
#[derive(Clone, Debug)]
pub struct Learned {
    scores: MaskScores,
    sample: Vec<Tokens>,
    /// What is doubtful about the counts that the scores were made of.
    doubt: Option<String>,
}

impl Learned {
    /// What the masks of a run need, from the file of `mask.scores` or counted on the training part of the genome: what is held out is not counted. `None` where
    /// they need nothing. `progress` is called now and then with the bases counted since it was called last.
    ///
    /// # Errors
    /// The file or the genome cannot serve: too few words, a table of another k.
    pub fn new(config: &RunConfig, genome: &Genome, progress: &(dyn Fn(u64) + Sync)) -> Result<Option<Self>> {
        let k = config.tokenizer.k;
        let Some(lengths) = MaskScores::lengths(config.mask.strategy, k) else { return Ok(None) };
        let (scores, doubt) = match config.mask.scores_file() {
            Some(file) => MaskScores::of_file(&config.mask, Path::new(file), k, config.seed)
                .map_err(|error| refused(error, Path::new(file)))?,
            None => {
                let training = sampler(config, genome, Part::Train)?;
                let strands = if config.data.strands == "both" { Strands::Both } else { Strands::Forward };
                let counts = count(genome, training.held_out(), lengths, strands, progress)?;
                (MaskScores::of_counts(&config.mask, &counts, k, config.seed)?, None)
            }
        };
        Ok(Some(Self { sample: sample(config, genome)?, scores, doubt }))
    }

    /// What the masks of a run had when it was started, from its file of scores; `recorded` is what `dataset.json` says of that file.
    ///
    /// # Errors
    /// The file is not there, or not what it was.
    pub fn read(config: &RunConfig, genome: &Genome, path: &Path, recorded: Option<&FileCard>) -> Result<Option<Self>> {
        if !config.mask.is_learned() {
            return Ok(None);
        }
        if !path.exists() {
            let hint = "put that file back (`dataset.json` has its SHA-256; the same recipe on the same genome writes it again), or start a new run with another `-o`";
            let expected = "the scores by which the run was masked so far";
            return Err(Error::format(path, "", expected, "no file of that name", hint));
        }
        let Fingerprint { sha256, .. } = fingerprint(path)?;
        if let Some(recorded) = recorded.filter(|recorded| recorded.sha256 != sha256) {
            let expected = format!("the file with SHA-256 {}, by which the run was masked so far", recorded.sha256);
            let hint = "put that file back, or start a new run with another `-o`";
            return Err(Error::format(path, "", expected, sha256, hint));
        }
        let scores = MaskScores::read(config.mask.strategy, path)?;
        Ok(Some(Self { sample: sample(config, genome)?, scores, doubt: None }))
    }

    /// What the masks go by, in words, and what is doubtful about it.
    pub fn described(&self) -> String {
        let doubt = self.doubt.as_ref().map_or(String::new(), |doubt| format!("; note: {doubt}"));
        format!("masks go by {}{doubt}", self.scores)
    }

    /// Writes the scores whole, and says what was written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<FileCard> {
        self.scores.write(path)?;
        let Fingerprint { bytes, sha256 } = fingerprint(path)?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(FileCard { path: name, bytes, sha256 })
    }
}

/// A file of `mask.scores` that cannot be read or is none: the recipe is at fault, which named it.
fn refused(error: tatabox_core::Error, path: &Path) -> Error {
    const OWN: &str = "leave `mask.scores` out: the run then counts its own genome";
    let (what, hint) = match &error {
        tatabox_core::Error::File { .. } => (error.to_string(), format!("check the path, or {OWN}")),
        tatabox_core::Error::Format { .. } if is_genome(path) => {
            let what = format!("`{}` looks like a genome, and is no table of scores or counts", path.display());
            (what, format!("score it first: `tatabox pmi {} -o pmi.tsv`, or {OWN}", path.display()))
        }
        tatabox_core::Error::Format { hint, .. } => (error.to_string(), hint.clone()),
        _ => return error.into(),
    };
    Error::Recipe { place: "`mask.scores`".to_string(), what, hint }
}

/// True for a file that has something, and it is no table.
fn is_genome(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.len() > 0)
        && count::is_table(path).is_ok_and(|table| !table)
}

/// The masks of a run.
///
/// # Errors
/// The mask's settings do not fit the tokenizer or the scores, or scores are needed and missing.
pub fn strategy(config: &RunConfig, learned: Option<&Learned>) -> Result<Box<dyn MaskStrategy>> {
    let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
    let learned = learned.map(|learned| mask::Learned { scores: &learned.scores, sample: &learned.sample });
    Ok(config.mask.build(&tokenizer, config.train.steps, config.seed, learned)?)
}

/// Windows as the run draws them, where the masks measure their rate; else none.
fn sample(config: &RunConfig, genome: &Genome) -> Result<Vec<Tokens>> {
    let mut sample = Vec::new();
    if !config.mask.needs_sample() {
        return Ok(sample);
    }
    let (sampler, tokenizer) = (sampler(config, genome, Part::Train)?, Tokenizer::new(config.tokenizer.clone())?);
    let (mut codes, mut all) = (Vec::new(), 0);
    for index in 0.. {
        let mut tokens = Tokens::default();
        sampler.read(&sampler.window(config.seed, 0, index), &mut codes);
        tokenizer.encode(&codes, &mut tokens);
        all += tokens.ids.len() as u64;
        sample.push(tokens);
        if all >= SAMPLE_TOKENS {
            break;
        }
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Batches;
    use crate::data::tests::{config, genome};
    use tatabox_engine::Capacity;

    const WIDE: Capacity = Capacity { tokens: 4096, masked: 4096, sequences: 0 };

    #[test]
    fn what_is_read_again_masks_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let genome = genome(folder.path()).1;
        for extra in [
            &["mask.strategy=pmi", "mask.rate=constant"][..],
            &["mask.strategy=pmi", "mask.permuted=true"],
            &["mask.strategy=pmi-vocab"],
        ] {
            let config = config(extra);
            let path = folder.path().join("pmi.tsv");
            let fresh = Learned::new(&config, &genome, &|_| ()).unwrap().unwrap();
            let card = fresh.write(&path).unwrap();
            let again = Learned::read(&config, &genome, &path, Some(&card)).unwrap().unwrap();
            let step = |learned| {
                let strategy = strategy(&config, Some(learned)).unwrap();
                Batches::new(&config, &genome, strategy, WIDE).unwrap().step(3)
            };
            assert_eq!(step(&fresh), step(&again), "{extra:?}");
        }
    }

    #[test]
    fn a_changed_file_of_scores_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let genome = genome(folder.path()).1;
        let config = config(&["mask.strategy=pmi"]);
        let path = folder.path().join("pmi.tsv");
        let card = Learned::new(&config, &genome, &|_| ()).unwrap().unwrap().write(&path).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replacen("AAA\t", "AAA\t1", 1)).unwrap();
        let error = Learned::read(&config, &genome, &path, Some(&card)).unwrap_err();
        assert!(error.to_string().contains("by which the run was masked so far"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = Learned::read(&config, &genome, &path, Some(&card)).unwrap_err();
        assert!(error.to_string().ends_with("by which the run was masked so far, got no file of that name"), "{error}");
        assert!(error.hint().unwrap().contains("put that file back"), "{error:?}");
    }

    #[test]
    fn what_is_held_out_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genome.fa");
        // A stretch of A in a genome without: only who counted it knows AAA.
        let mut bases: Vec<u8> = (0..20_000).map(|at| b"CGTTGCCT"[at * at % 8]).collect();
        bases[14_000..15_000].fill(b'A');
        std::fs::write(&path, format!(">chrI\n{}\n", String::from_utf8(bases).unwrap())).unwrap();
        let genome = Genome::open(&[path], &folder.path().join("cache")).unwrap();
        let rank = |holdout: &str| {
            let config = config(&["mask.strategy=pmi", "data.strands=forward", holdout]);
            match Learned::new(&config, &genome, &|_| ()).unwrap().unwrap().scores {
                MaskScores::Table(table) => table.rank(0),
                MaskScores::Vocabulary(_) => unreachable!(),
            }
        };
        assert_eq!(rank("data.holdout=chrI:14001-15000"), None);
        assert_eq!(rank("data.holdout=none"), Some(1));
    }

    #[test]
    fn a_file_of_scores_that_is_none_is_refused_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let (path, genome) = genome(folder.path());
        let refused = |file: &Path| {
            let config = config(&["mask.strategy=pmi", &format!("mask.scores=\"{}\"", file.display())]);
            Learned::new(&config, &genome, &|_| ()).unwrap_err()
        };
        let torn = folder.path().join("torn.tsv");
        std::fs::write(&torn, "kmer\tcount\nAAA\t-3\n").unwrap();
        for (file, message, hint) in [
            (folder.path().join("nofile.tsv"), "`mask.scores`: cannot read ", "leave `mask.scores` out"),
            (path.clone(), "genome.fa` looks like a genome", "genome.fa -o pmi.tsv`, or leave `mask.scores` out"),
            (torn, "torn.tsv`, line 2: expected ", "mend that line"),
        ] {
            let error = refused(&file);
            assert!(error.is_usage() && error.to_string().starts_with("`mask.scores`: "), "{error}");
            assert!(error.to_string().contains(message) && error.hint().unwrap().contains(hint), "{error:?}");
        }
    }

    #[test]
    fn masks_without_scores_need_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Learned::new(&config(&[]), &genome(folder.path()).1, &|_| ()).unwrap().is_none());
        let missing = strategy(&config(&["mask.strategy=pmi"]), None).err().unwrap();
        assert!(missing.to_string().contains("there are no scores to go by"), "{missing}");
    }
}
