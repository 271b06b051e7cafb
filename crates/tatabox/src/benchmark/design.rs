//! What is measured: `benchmark.toml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tatabox_core::assess::Metric;
use tatabox_core::labelled::{Labelled, SplitName, Task};

use super::suite::{Dataset, Suite};
use crate::error::{Error, Result};
use crate::experiment::{Folder, Kind};
use crate::finetune::Source;
use crate::settings::{Settings, Value};
use crate::trial::{Exam, Model, hashes, primary_metric};

/// Benchmarks as experiments.
pub const BENCHMARK: Kind = Kind {
    verb: "benchmark",
    noun: "benchmark",
    record: "benchmark.toml",
    arguments: "RUN --suite gue --data GUE -o DIR",
    leftovers: &[],
};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// The suite.
    pub suite: String,
    /// The folder of the data.
    pub data: PathBuf,
    /// The seeds: everybody learns every data set once under each.
    pub seeds: Vec<u64>,
    /// The percentage of train that becomes dev where there is none.
    pub dev_share: u32,
    /// Whether dev is learnt from where there is no train part.
    pub learn_from_dev: bool,
    /// Whether the two baselines take part.
    pub baselines: bool,
    /// The genome that intervals lie on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genome: Vec<PathBuf>,
    /// Fine-tuning keys over the presets, as `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Data sets of the suite that are not below the folder.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The models.
    #[serde(default)]
    pub models: Vec<Model>,
    /// The data sets that are; filled in when the benchmark begins.
    #[serde(default)]
    pub datasets: Vec<Entry>,
}

/// A data set that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name.
    pub id: String,
    /// Which table it stands in.
    pub group: String,
    /// What is asked.
    pub task: Task,
    /// Names of the classes, labels or targets.
    pub outputs: Vec<String>,
    /// The metric of the table.
    pub metric: Metric,
    /// The fine-tuning preset.
    pub preset: String,
    /// Epochs, where they are not the preset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Records of train, dev and test as they are used.
    pub records: [u64; 3],
    /// Records as published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_records: Option<[u64; 3]>,
    /// What was done to the parts.
    #[serde(default)]
    pub notes: Vec<String>,
    /// SHA-256 of each part.
    pub sha256: Vec<String>,
    /// Where it lies and how it is read.
    pub source: Source,
}

impl Design {
    /// Checks what can be checked without the data.
    ///
    /// # Errors
    /// No or repeated seeds, two models of one name, a key that is no assignment.
    pub fn checked(mut self) -> Result<Design> {
        let refuse = |key: &str, got: &str, expected: &str, hint: &str| {
            Err(tatabox_core::Error::Value {
                key: key.into(),
                got: got.into(),
                expected: expected.into(),
                hint: hint.into(),
            }
            .into())
        };
        if self.seeds.is_empty() {
            return refuse("seeds", "empty", "at least one seed is needed", "write `--seeds 1,2,3`");
        }
        for (at, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..at].contains(seed) {
                return refuse(
                    "seeds",
                    &format!("{:?}", self.seeds),
                    &format!("seed {seed} stands twice"),
                    "name it once",
                );
            }
        }
        Model::check_distinct(&self.models)?;
        if self.models.is_empty() && !self.baselines {
            return refuse(
                "models",
                "empty",
                "there must be somebody to measure",
                "name a run, or leave `--without-baselines` away",
            );
        }
        self.keys("default", None)?;
        for path in self.genome.iter_mut().chain([&mut self.data]) {
            *path = std::path::absolute(&*path).map_err(Error::file("find", path.clone()))?;
        }
        Ok(self)
    }

    /// The fine-tuning keys under a preset.
    ///
    /// # Errors
    /// A `set` is no assignment.
    pub fn keys(&self, preset: &str, epochs: Option<u64>) -> Result<Settings> {
        let mut keys = Settings::empty();
        self.set.iter().try_for_each(|assignment| keys.set(assignment))?;
        keys.default_to("preset", Value::Text(preset.to_string()), "the suite");
        if let Some(epochs) = epochs {
            keys.default_to("train.epochs", Value::Integer(epochs as i64), "the suite");
        }
        Ok(keys)
    }

    /// Finds and reads every data set of a suite once, and writes down what it holds; those that are not there are named.
    ///
    /// # Errors
    /// None is there; one cannot be read, has no test part, or cannot be learnt.
    pub(super) fn look(&mut self, suite: &Suite, cache: &Path, heard: &mut dyn FnMut(&str)) -> Result<()> {
        (self.missing, self.datasets) = (Vec::new(), Vec::new());
        for dataset in &suite.datasets {
            let Some(place) = dataset.find(&self.data) else {
                self.missing.push(dataset.id.clone());
                continue;
            };
            heard(&dataset.id);
            let source = Source {
                data: vec![place],
                task: dataset.task,
                sequence_columns: Vec::new(),
                label_columns: Vec::new(),
                genome: self.genome.clone(),
                split: None,
                dev_share: self.dev_share,
                seed: 0,
                learn_from_dev: self.learn_from_dev,
            };
            self.datasets.push(Entry::of(dataset, source, cache).map_err(|error| in_dataset(error, &dataset.id))?);
        }
        if self.datasets.is_empty() {
            let places: Vec<&str> =
                suite.datasets.iter().take(3).filter_map(|one| one.places.first()).map(String::as_str).collect();
            return Err(tatabox_core::Error::Data {
                what: format!("no data set of suite {} is below `{}`", self.suite, self.data.display()),
                hint: format!(
                    "give the folder that holds {} …, each with train, dev and test files",
                    places.join(", ")
                ),
            }
            .into());
        }
        Ok(())
    }

    /// This design put over one that a directory holds: models, seeds and data sets are added.
    ///
    /// # Errors
    /// Anything else differs.
    pub(super) fn onto(mut self, held: Design, dir: &Path) -> Result<Design> {
        let same = [
            ("the suite", held.suite, self.suite.clone()),
            ("`--data`", held.data.display().to_string(), self.data.display().to_string()),
            ("`--dev-share`", held.dev_share.to_string(), self.dev_share.to_string()),
            ("`--learn-from-dev`", held.learn_from_dev.to_string(), self.learn_from_dev.to_string()),
            ("the genome", format!("{:?}", held.genome), format!("{:?}", self.genome)),
            ("`--set`", held.set.join(" "), self.set.join(" ")),
        ];
        BENCHMARK.unchanged(dir, &same)?;
        self.models = Model::added(held.models, self.models, &BENCHMARK, dir)?;
        let mut datasets = held.datasets;
        for entry in self.datasets {
            match datasets.iter().find(|held| held.id == entry.id) {
                None => datasets.push(entry),
                Some(held) if *held == entry => {}
                Some(held) => {
                    return Err(BENCHMARK.another(
                        dir,
                        &format!("data set {}", entry.id),
                        &format!("{:?} {:?}", held.records, held.sha256),
                        &format!("{:?} {:?}", entry.records, entry.sha256),
                    ));
                }
            }
        }
        let mut seeds = held.seeds;
        self.seeds.retain(|seed| !seeds.contains(seed));
        seeds.append(&mut self.seeds);
        self.seeds = seeds;
        self.missing.retain(|id| datasets.iter().all(|entry| entry.id != *id));
        self.datasets = datasets;
        self.baselines |= held.baselines;
        self.checked()
    }

    pub(super) fn read(dir: &Path) -> Result<Design> {
        BENCHMARK.read::<Design>(dir)?.checked()
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        BENCHMARK.write(folder, self)
    }
}

impl Entry {
    fn of(dataset: &Dataset, source: Source, cache: &Path) -> Result<Entry> {
        let (data, notes) = source.read(cache)?;
        let exam = exam(&data)?;
        Ok(Entry {
            id: dataset.id.clone(),
            group: dataset.group.clone(),
            task: exam.task,
            outputs: exam.outputs.to_vec(),
            metric: primary_metric(exam.task, dataset.metric)?,
            preset: dataset.preset.clone(),
            epochs: dataset.epochs,
            records: [exam.pool.len(), exam.dev.len(), exam.test.len()].map(|count| count as u64),
            published_records: dataset.records,
            notes,
            sha256: hashes(&data),
            source,
        })
    }

    /// Reads it again.
    ///
    /// # Errors
    /// It is not what it was when the benchmark began.
    pub(super) fn data(&self, cache: &Path) -> Result<Labelled> {
        let (data, _) = self.source.read(cache).map_err(|error| in_dataset(error, &self.id))?;
        let now = hashes(&data);
        if now != self.sha256 {
            let path = self.source.data.first().cloned().unwrap_or_default();
            let expected = format!("the data with SHA-256 {}", self.sha256.join(" "));
            return Err(Error::format(
                path,
                "",
                expected,
                now.join(" "),
                "put it back as it was, or begin in another directory",
            ));
        }
        Ok(data)
    }

    /// Where it is not the published data, in words; none where it is, or where nothing is published.
    pub fn partial(&self) -> Option<String> {
        let published = self.published_records?;
        if self.source.learn_from_dev && self.notes.iter().any(|note| note.contains("no train part")) {
            return Some(format!("learnt from the dev part ({} records instead of {})", self.records[0], published[0]));
        }
        let parts: Vec<String> = (["train", "dev", "test"].iter().zip(self.records).zip(published))
            .filter(|((_, here), there)| here != there)
            .map(|((part, here), there)| format!("{part} has {here} records instead of {there}"))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What is learnt, chosen on and asked.
pub(super) fn exam(data: &Labelled) -> Result<Exam<'_>> {
    let mut exam = Exam::new(data)?;
    exam.dev = data.split(SplitName::Dev).map_or(Vec::new(), |split| split.examples.iter().collect());
    Ok(exam)
}

/// Adds the data set's name to an error.
fn in_dataset(error: Error, id: &str) -> Error {
    match error {
        Error::Core(tatabox_core::Error::Data { what, hint }) => {
            let hint = format!("{hint}; or leave it out: `--only` with the others");
            tatabox_core::Error::Data { what: format!("data set {id}: {what}"), hint }.into()
        }
        other => other,
    }
}
