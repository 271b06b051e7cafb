//! What is measured: `benchmark.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tatabox_core::assess::Metric;
use tatabox_core::labelled::{Labelled, SplitName, Task};
use tatabox_core::names::nearest;

use super::suite::{Dataset, Suite};
use crate::error::{Error, Result};
use crate::experiment::{Folder, Kind};
use crate::finetune::Source;
use crate::settings::{Settings, Value};
use crate::trial::{Contestant, Exam, Model, hashes, primary_metric};

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
    /// The genomes that intervals lie on, `FILE` or `NAME=FILE`: the name of a genome in the suite, or of a data set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub genome: Vec<String>,
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
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::file("find", path));
        self.data = absolute(&self.data)?;
        for given in &mut self.genome {
            let (name, file) = named(given);
            let file = absolute(Path::new(file))?.display().to_string();
            *given = if name.is_empty() { file } else { format!("{name}={file}") };
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
    pub(super) fn look(
        &mut self,
        suite: &Suite,
        contestants: &[Box<dyn Contestant>],
        cache: &Path,
        heard: &mut dyn FnMut(&str),
    ) -> Result<()> {
        (self.missing, self.datasets) = (Vec::new(), Vec::new());
        self.check_genomes(suite)?;
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
                genome: self.genome_of(dataset),
                split: None,
                dev_share: self.dev_share,
                seed: 0,
                learn_from_dev: self.learn_from_dev,
            };
            let keys = self.keys(&dataset.preset, dataset.epochs)?;
            let entry = Entry::of(dataset, source, cache, &keys, contestants);
            self.datasets.push(entry.map_err(|error| in_dataset(error, &dataset.id, dataset.genome.as_deref()))?);
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

    /// The files of the genome that a data set lies on; none where none is given for it.
    fn genome_of(&self, dataset: &Dataset) -> Vec<PathBuf> {
        let of = |wanted: &str| -> Vec<PathBuf> {
            let files = self.genome.iter().map(|given| named(given)).filter(|(name, _)| *name == wanted);
            files.map(|(_, file)| PathBuf::from(file)).collect()
        };
        let own = of(&dataset.id);
        if own.is_empty() { of(dataset.genome.as_deref().unwrap_or_default()) } else { own }
    }

    /// Refuses a genome that no data set of the suite lies on.
    fn check_genomes(&self, suite: &Suite) -> Result<()> {
        let known = |name: &str| {
            let is = |one: &Dataset| one.id == name || one.genome.as_deref() == Some(name);
            name.is_empty() || suite.datasets.iter().any(is)
        };
        let Some((name, _)) = self.genome.iter().map(|given| named(given)).find(|(name, _)| !known(name)) else {
            return Ok(());
        };
        let names: BTreeSet<&str> =
            suite.datasets.iter().flat_map(|one| [Some(one.id.as_str()), one.genome.as_deref()]).flatten().collect();
        Err(Error::Recipe {
            place: "--genome".to_string(),
            what: format!("no data set and no genome of suite {} is called `{name}`", suite.name),
            hint: match nearest(name, names.iter().copied()) {
                Some(near) => format!("the nearest name is `{near}`"),
                None => {
                    format!("name one of {}, or give the file alone", names.into_iter().collect::<Vec<_>>().join(", "))
                }
            },
        })
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
            ("`--set`", held.set.join(" "), self.set.join(" ")),
        ];
        BENCHMARK.unchanged(dir, &same)?;
        self.models = Model::added(held.models, self.models, &BENCHMARK, dir)?;
        // A data set that is there with another genome is another one below.
        let mut genome = held.genome;
        self.genome.retain(|given| !genome.contains(given));
        genome.append(&mut self.genome);
        self.genome = genome;
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
    fn of(
        dataset: &Dataset,
        source: Source,
        cache: &Path,
        keys: &Settings,
        contestants: &[Box<dyn Contestant>],
    ) -> Result<Entry> {
        let (data, notes) = source.read(cache)?;
        let exam = exam(&data)?;
        // What does not fit a model or the memory is told now, and not when its turn comes.
        contestants.iter().try_for_each(|one| one.bytes(keys, &exam).map(|_| ()))?;
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
        let (data, _) = self.source.read(cache).map_err(|error| in_dataset(error, &self.id, None))?;
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
        let mut here = self.records;
        if published[1] == 0 {
            // A dev part that was taken from train.
            here = [here[0] + here[1], 0, here[2]];
        }
        let parts: Vec<String> = (["train", "dev", "test"].iter().zip(here).zip(published))
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

/// A genome as it was given: its name, which may be empty, and its file.
fn named(given: &str) -> (&str, &str) {
    match given.split_once('=') {
        Some((name, file)) if !name.contains(['/', '\\']) => (name, file),
        _ => ("", given),
    }
}

/// Adds the data set's name to an error, and to a hint about its genome that genome's name.
fn in_dataset(error: Error, id: &str, genome: Option<&str>) -> Error {
    match error {
        Error::Core(tatabox_core::Error::Data { what, hint }) => {
            let genome = genome.filter(|_| hint.contains("--genome"));
            let hint = genome.map_or(hint.clone(), |genome| format!("give its genome: `--genome {genome}=FILE`"));
            let hint = format!("{hint}; or leave it out: `--only` with the others");
            tatabox_core::Error::Data { what: format!("data set {id}: {what}"), hint }.into()
        }
        other => other,
    }
}
