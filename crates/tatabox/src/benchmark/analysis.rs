//! What the runs say, by data set and by group of data sets.

use std::collections::BTreeMap;

use serde::Serialize;
use tatabox_core::assess::Metric;
use tatabox_core::labelled::Task;
use tatabox_core::stats::Interval;

use super::design::{Design, Entry};
use super::published::{DOUBTS, PUBLISHED};
use super::suite::NAMED;
use crate::trial::{Ended, Spread, metrics_of};

/// The result of a benchmark: `benchmark.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Benchmark {
    /// The suite.
    pub suite: String,
    /// The seeds of the runs.
    pub seeds: Vec<u64>,
    /// Data sets of the suite that are not there.
    pub missing: Vec<String>,
    /// Data sets that are not finished, and are in none of the numbers.
    pub datasets_left: Vec<String>,
    /// The finished data sets.
    pub datasets: Vec<DatasetResult>,
}

/// What everybody reached on a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetResult {
    /// Its name.
    pub dataset: String,
    /// Which table it stands in.
    pub group: String,
    /// What was asked.
    pub task: Task,
    /// Names of the classes, labels or targets.
    pub outputs: Vec<String>,
    /// The metric of the table.
    pub metric: Metric,
    /// The fine-tuning preset.
    pub preset: String,
    /// Records of train, dev and test.
    pub records: [u64; 3],
    /// Records as published, where that is known.
    pub published_records: Option<[u64; 3]>,
    /// In what it is not the published data; none where it is.
    pub partial: Option<String>,
    /// What was done to its parts.
    pub notes: Vec<String>,
    /// Who took part.
    pub learners: Vec<LearnerScore>,
    /// What papers printed for it.
    pub published: Vec<PublishedScore>,
}

/// What one learner reached on a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearnerScore {
    /// Its name.
    pub learner: String,
    /// Whether it is one of the baselines.
    pub baseline: bool,
    /// Metrics over the seeds.
    pub metrics: BTreeMap<Metric, Spread>,
    /// The metric of the table for each class, label or target, in the order of the outputs.
    pub by_output: Vec<Option<Spread>>,
    /// Runs that give one answer to everything.
    pub collapsed: usize,
    /// The runs.
    pub runs: Vec<RunScore>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunScore {
    /// Its seed.
    pub seed: u64,
    /// Epochs that were trained.
    pub epochs: u32,
    /// The epoch whose weights were asked.
    pub best_epoch: u32,
    /// One answer to everything.
    pub collapsed: bool,
    /// The metric of the table; none where it is not defined.
    pub value: Option<f64>,
    /// How far it moves with the test examples: 95 %, bootstrap.
    pub interval: Option<Interval>,
}

/// A figure of a paper, in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublishedScore {
    /// The model.
    pub model: String,
    /// Where it stands.
    pub source: String,
    /// The output; none for all together.
    pub output: Option<String>,
    /// The figure.
    pub percent: f64,
    /// What is wrong with it; none where nothing is known to be.
    pub doubt: Option<String>,
}

/// The runs on a data set: `[learners][seeds]`.
pub(super) struct Measured<'a> {
    pub entry: &'a Entry,
    pub runs: Vec<(String, bool, Vec<Ended>)>,
}

pub(super) fn analyse(design: &Design, measured: &[Measured<'_>]) -> Benchmark {
    let done = |id: &str| measured.iter().any(|one| one.entry.id == id);
    Benchmark {
        suite: design.suite.clone(),
        seeds: design.seeds.clone(),
        missing: design.missing.clone(),
        datasets_left: design.datasets.iter().map(|one| one.id.clone()).filter(|id| !done(id)).collect(),
        datasets: measured.iter().map(|one| of_dataset(&design.suite, one)).collect(),
    }
}

fn of_dataset(suite: &str, measured: &Measured<'_>) -> DatasetResult {
    let entry = measured.entry;
    let learners = measured.runs.iter().map(|(learner, baseline, runs)| {
        let spread =
            |value: &dyn Fn(&Ended) -> Option<f64>| Spread::of(&runs.iter().map(value).collect::<Option<Vec<f64>>>()?);
        let whole = |&metric: &Metric| Some((metric, spread(&|run| run.metric(metric))?));
        LearnerScore {
            learner: learner.clone(),
            baseline: *baseline,
            metrics: metrics_of(entry.task).iter().filter_map(whole).collect(),
            by_output: (0..entry.outputs.len()).map(|at| spread(&|run| run.metric_of(at, entry.metric))).collect(),
            collapsed: runs.iter().filter(|run| run.collapsed).count(),
            runs: runs
                .iter()
                .map(|run| RunScore {
                    seed: run.seed,
                    epochs: run.epochs,
                    best_epoch: run.best_epoch,
                    collapsed: run.collapsed,
                    value: run.metric(entry.metric),
                    interval: run.assessment.metrics.get(&entry.metric).and_then(|of| of.interval),
                })
                .collect(),
        }
    });
    DatasetResult {
        dataset: entry.id.clone(),
        group: entry.group.clone(),
        task: entry.task,
        outputs: entry.outputs.clone(),
        metric: entry.metric,
        preset: entry.preset.clone(),
        records: entry.records,
        published_records: entry.published_records,
        partial: entry.partial(),
        notes: entry.notes.clone(),
        learners: learners.collect(),
        // A data set of one's own that happens to have a paper's name is not the paper's.
        published: if NAMED.contains(&suite) { published(entry) } else { Vec::new() },
    }
}

/// What papers printed for a data set in its metric.
fn published(entry: &Entry) -> Vec<PublishedScore> {
    let mut found = Vec::new();
    let outputs = std::iter::once(None).chain(entry.outputs.iter().map(|name| Some(name.as_str())));
    for output in outputs {
        for one in PUBLISHED.iter().filter(|one| one.metric == entry.metric) {
            if let Some(percent) = one.figure(&entry.id, output) {
                let doubted = DOUBTS.iter().find(|(set, model, _)| {
                    *set == entry.id && (model.is_empty() && output.is_none() || *model == one.model)
                });
                found.push(PublishedScore {
                    model: one.model.to_string(),
                    source: one.source.to_string(),
                    output: output.map(String::from),
                    percent,
                    doubt: doubted.map(|(_, _, what)| what.to_string()),
                });
            }
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::finetune::Source;
    use tatabox_core::assess::{Assessment, Estimate, Output};

    pub fn entry(id: &str, group: &str, metric: Metric, records: [u64; 3]) -> Entry {
        let regression = metric == Metric::Pearson;
        Entry {
            id: id.into(),
            group: group.into(),
            task: if regression { Task::Regression } else { Task::Binary },
            outputs: if regression { ["Dev_x", "Hk_x"] } else { ["0", "1"] }.map(String::from).to_vec(),
            metric,
            preset: "randommask-pd".into(),
            epochs: None,
            records,
            published_records: Some([100, 10, 20]),
            notes: Vec::new(),
            sha256: Vec::new(),
            source: Source {
                data: vec!["/x".into()],
                task: None,
                sequence_columns: Vec::new(),
                label_columns: Vec::new(),
                genome: Vec::new(),
                split: None,
                dev_share: 10,
                seed: 0,
                learn_from_dev: false,
            },
        }
    }

    fn ended(entry: &Entry, seed: u64, value: f64) -> Ended {
        let interval = Some(Interval { low: value - 0.1, high: value + 0.1 });
        let metrics: BTreeMap<Metric, Estimate> = [(entry.metric, Estimate { value, interval })].into();
        let output = |name: &String| Output { name: name.clone(), records: 1, metrics: metrics.clone(), curves: None };
        Ended {
            learner: "rm".into(),
            settings: serde_json::json!({}),
            seed,
            train: 100,
            train_sha256: "all".into(),
            dev: 10,
            epochs: 5,
            best_epoch: 3,
            collapsed: value == 0.0,
            mean_answer: vec![0.5; 2],
            assessment: Assessment {
                task: entry.task,
                records: 20,
                collapsed: value == 0.0,
                outputs: entry.outputs.iter().map(output).collect(),
                metrics,
                confusion: None,
            },
        }
    }

    /// A model and a baseline on three data sets, two seeds each.
    pub fn example(entries: &[Entry]) -> Benchmark {
        let design = Design {
            suite: "gue".into(),
            data: "/data".into(),
            seeds: vec![1, 2],
            dev_share: 10,
            learn_from_dev: false,
            baselines: true,
            genome: Vec::new(),
            set: Vec::new(),
            missing: vec!["SSP".into()],
            models: Vec::new(),
            datasets: entries.to_vec(),
        };
        let runs = |entry: &Entry, name: &str, baseline: bool, value: f64| {
            (name.to_string(), baseline, vec![ended(entry, 1, value), ended(entry, 2, value + 0.02)])
        };
        let measured: Vec<Measured<'_>> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| Measured {
                entry,
                runs: vec![runs(entry, "rm", false, 0.8 - 0.1 * at as f64), runs(entry, "cnn", true, 0.0)],
            })
            .collect();
        analyse(&design, &measured)
    }

    pub fn entries() -> Vec<Entry> {
        vec![
            entry("PD-notata", "PD", Metric::Mcc, [100, 10, 20]),
            entry("PD-all", "PD", Metric::Mcc, [100, 10, 18]),
            entry("EAP", "EAP", Metric::Pearson, [100, 10, 20]),
        ]
    }

    #[test]
    fn papers_figures_stand_beside_with_what_is_wrong_with_them() {
        let result = example(&entries());
        let notata = &result.datasets[0];
        let of = |model: &str| notata.published.iter().find(|one| one.model == model).unwrap();
        assert_eq!((of("NT").percent, of("DNABERT+RandomMask").percent), (78.07, 93.40));
        assert!(of("NT").doubt.as_ref().unwrap().contains("swapped") && of("DNABERT").doubt.is_none());
        let eap = &result.datasets[2];
        assert!(eap.published.iter().any(|one| one.output.is_none() && one.percent == 69.56 && one.doubt.is_some()));
        assert!(
            eap.published
                .iter()
                .any(|one| one.output.as_deref() == Some("Hk_x") && one.percent == 74.0 && one.doubt.is_none())
        );
    }

    #[test]
    fn data_that_is_not_the_published_one_says_so() {
        let result = example(&entries());
        assert_eq!(result.datasets[0].partial, None);
        assert_eq!(result.datasets[1].partial.as_deref(), Some("test has 18 records instead of 20"));
        let mut from_dev = entry("PD-all", "PD", Metric::Mcc, [10, 0, 20]);
        from_dev.source.learn_from_dev = true;
        from_dev.notes = vec!["the data has no train part: its dev part is learnt from".into()];
        assert!(from_dev.partial().unwrap().contains("learnt from the dev part (10 records instead of 100)"));
    }

    #[test]
    fn collapsed_runs_are_counted() {
        let result = example(&entries());
        assert_eq!((result.datasets[0].learners[1].collapsed, result.datasets[0].learners[0].collapsed), (1, 0));
    }
}
