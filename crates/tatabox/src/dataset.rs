//! What a run is trained on: `dataset.json`, and the way back from it to the genome.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tatabox_core::baseline::{BaselineScores, Baselines};
use tatabox_core::corpus::{Holdout, Region, Sampler};
use tatabox_core::count::{Strands, count};
use tatabox_core::genome::{FileCard, Genome, GenomeCard};
use tatabox_core::io::input::fingerprint;
use tatabox_core::mask::frozen::{FrozenMasks, Origin};

use crate::checkpoint::MODEL;
use crate::error::{Error, Result};
use crate::model_files::ModelFiles;
use crate::run::DATASET;

/// What a run is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// The genome's files, wherever the run is resumed from; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// Share of the bases that are not A, C, G or T.
    pub n_share: f64,
    /// Share of C and G among the known bases.
    pub gc_share: f64,
    /// Bases that training windows lie in.
    pub training_bases: u64,
    /// What is kept for evaluation, 1-based and inclusive: `chrI:1001-2000`.
    pub held_out: Vec<String>,
    /// Files with their hashes, and contigs.
    pub genome: GenomeCard,
    /// The file of scores that the masks go by, in the run directory; none for masks that need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<FileCard>,
    /// The model that the run began with; none where its weights were fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// What can be guessed of the run's frozen masks without a model.
    pub baselines: Vec<BaselineScores>,
}

/// The model that a run began with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// Its directory.
    pub path: PathBuf,
    /// The step of a run's checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// SHA-256 of its weights.
    pub sha256: String,
}

impl Init {
    /// The model of a directory.
    ///
    /// # Errors
    /// Its weights cannot be read.
    pub fn of(dir: &Path, files: &ModelFiles) -> Result<Self> {
        let path = std::path::absolute(dir).map_err(Error::file("find", dir))?;
        Ok(Self { path, step: files.step, sha256: fingerprint(&files.folder.join(MODEL))?.sha256 })
    }
}

impl std::fmt::Display for Init {
    /// `/runs/rice, step 1000 (SHA-256 0123456789ab…)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = self.step.map_or(String::new(), |step| format!(", step {step}"));
        write!(f, "{}{step} (SHA-256 {}…)", self.path.display(), self.sha256.get(..12).unwrap_or(&self.sha256))
    }
}

impl Dataset {
    /// The data of a sampler for training windows.
    pub fn new(genome: &Genome, sampler: &Sampler, baselines: Vec<BaselineScores>) -> Self {
        let card = genome.card().clone();
        let absolute = |path: &str| fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        Self {
            inputs: card
                .files
                .iter()
                .map(|file| if file.path == "-" { "-".into() } else { absolute(&file.path) })
                .collect(),
            n_share: card.n_share(),
            gc_share: card.gc_share(),
            training_bases: sampler.usable_bases(),
            held_out: sampler.held_out().iter().map(|region| region.label(genome)).collect(),
            genome: card,
            scores: None,
            init: None,
            baselines,
        }
    }

    /// Nats a masked token that are had without a model, over all of the run's frozen masks, by the baseline's name.
    pub fn baseline_losses(&self) -> BTreeMap<String, f64> {
        self.baselines.iter().map(|one| (one.name.clone(), one.scores.overall.nats_per_token)).collect()
    }

    /// Reads `dataset.json`.
    ///
    /// # Errors
    /// It cannot be read or was changed by hand.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::format(path, format!(", line {}", error.line()), "the record of a run's data", error.to_string(), "")
        })
    }

    /// The data of a run; none where the directory is no run.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn of_run(dir: &Path) -> Result<Option<Self>> {
        let record = dir.join(DATASET);
        if record.is_file() { Self::read(&record).map(Some) } else { Ok(None) }
    }

    /// The text of `dataset.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plain struct has a JSON form") + "\n"
    }

    /// Opens the genome again and checks that it is the same, byte for byte.
    ///
    /// # Errors
    /// A file is gone, or another one lies in its place.
    pub fn open(&self, cache: &Path) -> Result<Genome> {
        let gone = |path: &PathBuf| path.as_os_str() == "-" || !path.exists();
        // A pipe cannot be read again, but what it gave is kept.
        if self.inputs.iter().any(gone)
            && let Some(genome) = Genome::stored(&self.genome.files, cache)
        {
            return Ok(genome);
        }
        let genome = Genome::open(&self.inputs, cache)?;
        let hashes = |card: &GenomeCard| card.files.iter().map(|file| file.sha256.clone()).collect::<Vec<_>>();
        for (file, (expected, got)) in self.inputs.iter().zip(hashes(&self.genome).iter().zip(&hashes(genome.card()))) {
            if expected != got {
                let hint = "put the genome of this run back, or start a new run with another `-o`";
                return Err(Error::format(file, "", format!("the file with SHA-256 {expected}"), got.clone(), hint));
            }
        }
        Ok(genome)
    }

    /// True where a window lies on a contig of this genome and is not held out whole: the run may have trained on it.
    pub fn may_have_seen(&self, window: &Origin) -> bool {
        let is_held_out = |label: &String| {
            let (contig, range) = label.rsplit_once(':').unwrap_or_default();
            let (first, last) = range.split_once('-').unwrap_or_default();
            contig == window.contig
                && first.parse().is_ok_and(|first: u64| first <= window.start + 1)
                && last.parse().is_ok_and(|last: u64| window.start + window.bases <= last)
        };
        let is_known = self.genome.contigs.iter().any(|contig| contig.name == window.contig);
        is_known && !self.held_out.iter().any(is_held_out)
    }

    /// What is held out, in the words of a recipe.
    pub fn holdout(&self) -> Holdout {
        if self.held_out.is_empty() { Holdout::None } else { Holdout::List(self.held_out.clone()) }
    }
}

/// The scores of the baselines on frozen masks, counted on all of the genome but the held-out regions.
///
/// # Errors
/// The masks ask for nothing.
pub fn baselines(
    genome: &Genome,
    held_out: &[Region],
    both_strands: bool,
    frozen: &FrozenMasks,
) -> Result<Vec<BaselineScores>> {
    let strands = if both_strands { Strands::Both } else { Strands::Forward };
    let counts = count(genome, held_out, Baselines::lengths(&frozen.tokenizer), strands, &|_| ())?;
    Ok(Baselines::new(&frozen.tokenizer, counts)?.score(frozen)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{config, genome};
    use crate::data::{freeze, sampler};
    use tatabox_core::corpus::Part;

    fn dataset(folder: &Path) -> (Genome, Dataset) {
        let genome = genome(folder).1;
        let sampler = sampler(&config(&[]), &genome, Part::Train).unwrap();
        let dataset = Dataset::new(&genome, &sampler, Vec::new());
        (genome, dataset)
    }

    #[test]
    fn what_is_written_finds_the_same_genome_again() {
        let folder = tempfile::tempdir().unwrap();
        let (genome, dataset) = dataset(folder.path());
        let path = folder.path().join("dataset.json");
        fs::write(&path, dataset.to_json()).unwrap();
        let read = Dataset::read(&path).unwrap();
        assert_eq!(read, dataset);
        assert_eq!(read.open(&folder.path().join("another cache")).unwrap().card(), genome.card());
        assert_eq!(read.held_out, ["chrI:14001-15000", "chrII:14001-15000"]);
    }

    #[test]
    fn another_genome_in_its_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path()).1;
        fs::write(&dataset.inputs[0], ">chrI\nACGTACGTTTGACA\n").unwrap();
        let error = dataset.open(&folder.path().join("cache")).err().unwrap();
        assert!(error.to_string().contains("expected the file with SHA-256"), "{error}");
        fs::remove_file(&dataset.inputs[0]).unwrap();
        // Gone, but read before: the cache has it.
        assert_eq!(dataset.open(&folder.path().join("cache")).unwrap().card().bases(), dataset.genome.bases());
        assert!(dataset.open(&folder.path().join("empty")).is_err());
    }

    #[test]
    fn a_window_is_held_out_only_if_all_of_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let genome = genome(folder.path()).1;
        let training = sampler(&config(&["data.holdout=[\"chrI:101-200\"]"]), &genome, Part::Train).unwrap();
        let data = Dataset::new(&genome, &training, Vec::new());
        let seen = |contig: &str, start, bases| {
            data.may_have_seen(&Origin { contig: contig.to_string(), start, bases, reverse: false })
        };
        assert!(!seen("chrI", 100, 100) && !seen("chrI", 150, 5));
        assert!(seen("chrI", 99, 100) && seen("chrI", 101, 100) && seen("chrI", 300, 5) && seen("chrII", 100, 100));
        assert!(!seen("another genome's", 300, 5));
    }

    #[test]
    fn baselines_never_see_what_is_held_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genome.fa");
        // A stretch of A in a genome without: only who counted it would guess it.
        let mut bases: Vec<u8> = (0..20_000).map(|at| b"CGTTGCCT"[at * at % 8]).collect();
        bases[14_000..15_000].fill(b'A');
        fs::write(&path, format!(">chrI\n{}\n", String::from_utf8(bases).unwrap())).unwrap();
        let genome = Genome::open(&[path], &folder.path().join("cache")).unwrap();
        let frozen = freeze(&config(&["data.strands=forward"]), &genome, 10).unwrap();
        let held_out = [Region { contig: 0, start: 14_000, end: 15_000 }];
        let blind = baselines(&genome, &held_out, false, &frozen).unwrap();
        let seeing = baselines(&genome, &[], false, &frozen).unwrap();
        for (blind, seeing) in blind.iter().zip(&seeing).skip(1) {
            assert!(blind.scores.overall.nats_per_token > seeing.scores.overall.nats_per_token + 0.5, "{}", blind.name);
        }
    }
}
