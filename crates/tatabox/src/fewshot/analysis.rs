//! What the runs of all draws say: means and spreads, and paired tests against one of those who take part.
//!
//! The unit of every test is the draw: all learn from the same examples of a draw and answer the same test part, so their metrics are compared draw by draw. A
//! sign flip of ten pairs is never below p = 2/1,024, and Holm's correction multiplies: see `docs/concepts/few-shot.md`.

use std::collections::BTreeMap;

use serde::Serialize;
use tatabox_core::assess::Metric;
use tatabox_core::labelled::Task;
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::stats::{Interval, Summary, holm, sign_flip};

use crate::trial::{CONFIDENCE, Ended, Spread, metrics_of};

/// Patterns of signs that a test draws where there are too many to count them all: 2^13 is the last that is counted.
pub const FLIPS: u64 = 10_000;

/// The result of a few-shot evaluation: `fewshot.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FewShot {
    /// What was asked.
    pub task: Task,
    /// Names of the classes, labels or targets.
    pub outputs: Vec<String>,
    /// Examples that may be learnt from.
    pub pool: usize,
    /// Examples that were asked.
    pub test: usize,
    /// The metric that the tables lead with.
    pub metric: Metric,
    /// Who the others are compared with.
    pub against: String,
    /// Examples of each class (in all for regression and multi-label).
    pub shots: Vec<u32>,
    /// Seeds of the draws in the numbers.
    pub seeds: Vec<u64>,
    /// Seeds of the draws that not everybody has finished.
    pub seeds_left: Vec<u64>,
    /// Who takes part.
    pub learners: Vec<LearnerResult>,
    /// Everybody else less `against`: over all numbers of shots, then for each.
    pub differences: Vec<Difference>,
}

/// What one learner reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearnerResult {
    /// Its name.
    pub learner: String,
    /// Whether it is one of the baselines.
    pub baseline: bool,
    /// By number of shots.
    pub by_shots: Vec<ShotsResult>,
}

/// What one learner reached with a number of shots.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShotsResult {
    /// Examples of each class.
    pub shots: u32,
    /// Runs that give one answer to everything.
    pub collapsed: usize,
    /// Metrics over the draws.
    pub metrics: BTreeMap<Metric, Spread>,
    /// The metrics of each class, label or target, in the order of the outputs.
    pub by_output: Vec<BTreeMap<Metric, Spread>>,
    /// The runs, one a draw.
    pub runs: Vec<RunResult>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunResult {
    /// The seed of its draw and of its training.
    pub seed: u64,
    /// SHA-256 of the indices it learnt from.
    pub train_sha256: String,
    /// Epochs, and the one whose weights were asked.
    pub epochs: u32,
    /// The epoch whose weights were asked.
    pub best_epoch: u32,
    /// One answer to everything.
    pub collapsed: bool,
    /// Its metrics.
    pub metrics: BTreeMap<Metric, f64>,
}

/// A learner less the one it is compared with, in the metric of the tables: above 0 is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The learner.
    pub learner: String,
    /// Examples of each class; none for the mean over all numbers of shots.
    pub shots: Option<u32>,
    /// The mean difference.
    pub difference: f64,
    /// Student's paired 95 % interval; none for one draw.
    pub interval: Option<Interval>,
    /// Student's paired test.
    pub student_p: Option<f64>,
    /// The paired permutation test: sign flips over the draws.
    pub p: f64,
    /// After Holm's correction: over the learners, or over learners and numbers of shots.
    pub p_holm: f64,
    /// The difference under each draw.
    pub differences: Vec<f64>,
}

/// The runs of one learner: `[shots][draws]`.
pub(super) struct Learnt {
    pub learner: String,
    pub baseline: bool,
    pub runs: Vec<Vec<Ended>>,
}

/// What is the same for all.
pub(super) struct Setting<'a> {
    pub task: Task,
    pub outputs: &'a [String],
    pub pool: usize,
    pub test: usize,
    pub metric: Metric,
    pub against: &'a str,
    pub shots: &'a [u32],
    pub seeds: &'a [u64],
    pub seeds_left: &'a [u64],
}

/// The result over the draws that everybody has finished.
pub(super) fn analyse(setting: &Setting<'_>, learnt: &[Learnt]) -> FewShot {
    let learners = learnt.iter().map(|one| LearnerResult {
        learner: one.learner.clone(),
        baseline: one.baseline,
        by_shots: setting.shots.iter().zip(&one.runs).map(|(&shots, runs)| of_shots(setting, shots, runs)).collect(),
    });
    FewShot {
        task: setting.task,
        outputs: setting.outputs.to_vec(),
        pool: setting.pool,
        test: setting.test,
        metric: setting.metric,
        against: setting.against.to_string(),
        shots: setting.shots.to_vec(),
        seeds: setting.seeds.to_vec(),
        seeds_left: setting.seeds_left.to_vec(),
        learners: learners.collect(),
        differences: differences(setting, learnt),
    }
}

fn of_shots(setting: &Setting<'_>, shots: u32, runs: &[Ended]) -> ShotsResult {
    // A metric that is not defined for every run has no mean.
    let spread = |value: &dyn Fn(&Ended) -> Option<f64>| -> Option<Spread> {
        Spread::of(&runs.iter().map(value).collect::<Option<Vec<f64>>>()?)
    };
    let metrics = metrics_of(setting.task);
    let overall = |metric: &Metric| Some((*metric, spread(&|run| run.metric(*metric))?));
    let output = |at: usize| {
        let names: std::collections::BTreeSet<Metric> = runs
            .iter()
            .filter_map(|run| run.assessment.outputs.get(at))
            .flat_map(|output| output.metrics.keys().copied())
            .collect();
        names.into_iter().filter_map(|metric| Some((metric, spread(&|run| run.metric_of(at, metric))?))).collect()
    };
    let one = |run: &Ended| RunResult {
        seed: run.seed,
        train_sha256: run.train_sha256.clone(),
        epochs: run.epochs,
        best_epoch: run.best_epoch,
        collapsed: run.collapsed,
        metrics: metrics.iter().filter_map(|&metric| Some((metric, run.metric(metric)?))).collect(),
    };
    ShotsResult {
        shots,
        collapsed: runs.iter().filter(|run| run.collapsed).count(),
        metrics: metrics.iter().filter_map(overall).collect(),
        by_output: (0..setting.outputs.len()).map(output).collect(),
        runs: runs.iter().map(one).collect(),
    }
}

fn differences(setting: &Setting<'_>, learnt: &[Learnt]) -> Vec<Difference> {
    let base = learnt.iter().find(|one| one.learner == setting.against).unwrap_or(&learnt[0]);
    let draws = setting.seeds.len();
    let mut all = Vec::new();
    for one in learnt.iter().filter(|one| one.learner != base.learner) {
        // [shots][draws]; none where the metric is not defined.
        let by_shots: Vec<Option<Vec<f64>>> = one
            .runs
            .iter()
            .zip(&base.runs)
            .map(|(runs, others)| {
                let pair =
                    |(run, other): (&Ended, &Ended)| Some(run.metric(setting.metric)? - other.metric(setting.metric)?);
                runs.iter().zip(others).map(pair).collect()
            })
            .collect();
        let defined: Vec<&Vec<f64>> = by_shots.iter().flatten().collect();
        if !defined.is_empty() {
            let over_shots =
                |draw: usize| defined.iter().map(|values| values[draw]).sum::<f64>() / defined.len() as f64;
            all.push(difference(&one.learner, None, (0..draws).map(over_shots).collect(), setting.seeds));
        }
        for (&shots, values) in setting.shots.iter().zip(&by_shots) {
            if let Some(values) = values {
                all.push(difference(&one.learner, Some(shots), values.clone(), setting.seeds));
            }
        }
    }
    correct(&mut all);
    all.sort_by_key(|one| one.shots.is_some());
    all
}

fn difference(learner: &str, shots: Option<u32>, differences: Vec<f64>, seeds: &[u64]) -> Difference {
    let summary = Summary::of(&differences).expect("there is at least one draw");
    // The same signs for every test: a p-value does not depend on who else takes part.
    let mut rng = SeededRng::new(seeds[0], Purpose::Resample, 0, 0);
    let p = sign_flip(&differences, FLIPS, &mut rng);
    Difference {
        learner: learner.to_string(),
        shots,
        difference: summary.mean,
        interval: summary.interval(CONFIDENCE),
        student_p: summary.student_p(),
        p,
        p_holm: p,
        differences,
    }
}

/// Holm's correction, apart for the means over all numbers of shots and for these one by one.
fn correct(differences: &mut [Difference]) {
    for overall in [true, false] {
        let mut family: Vec<&mut Difference> =
            differences.iter_mut().filter(|one| one.shots.is_none() == overall).collect();
        let corrected = holm(&family.iter().map(|one| one.p).collect::<Vec<_>>());
        family.iter_mut().zip(corrected).for_each(|(one, p)| one.p_holm = p);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tatabox_core::assess::{Assessment, Estimate};

    /// A run with this accuracy and Matthews' correlation.
    pub fn ended(learner: &str, seed: u64, accuracy: f64, collapsed: bool) -> Ended {
        let estimate = |value: f64| Estimate { value, interval: None };
        Ended {
            learner: learner.into(),
            settings: serde_json::json!({}),
            seed,
            train: 20,
            train_sha256: format!("draw {seed}"),
            dev: 0,
            epochs: 20,
            best_epoch: 20,
            collapsed,
            mean_answer: vec![0.5, 0.5],
            assessment: Assessment {
                task: Task::Binary,
                records: 100,
                collapsed,
                metrics: [
                    (Metric::Mcc, estimate(if collapsed { 0.0 } else { 2.0 * accuracy - 1.0 })),
                    (Metric::Accuracy, estimate(accuracy)),
                ]
                .into(),
                outputs: Vec::new(),
                confusion: None,
            },
        }
    }

    /// Three learners over ten draws and two numbers of shots: `b` is better than `a` by 0.1 of accuracy, `c` the same but for noise.
    pub fn example(draws: u64) -> FewShot {
        let outputs = ["0".to_string(), "1".to_string()];
        let run = |learner: &str, shots: usize, seed: u64| {
            let mut rng = SeededRng::new(seed, Purpose::Test, shots as u64, u64::from(learner.as_bytes()[0]));
            let lift = if learner == "b" { 0.1 } else { 0.0 };
            let collapsed = learner == "c" && seed == 0;
            // The luck of the draw is common.
            let luck = 0.2 * SeededRng::new(seed, Purpose::Test, 99, 0).unit();
            ended(
                learner,
                seed,
                if collapsed { 0.5 } else { 0.5 + 0.1 * shots as f64 + lift + luck + 0.01 * rng.unit() },
                collapsed,
            )
        };
        let seeds: Vec<u64> = (0..draws).collect();
        let learnt: Vec<Learnt> = ["a", "b", "c"]
            .map(|learner| Learnt {
                learner: learner.into(),
                baseline: learner == "c",
                runs: (0..2).map(|shots| seeds.iter().map(|&seed| run(learner, shots, seed)).collect()).collect(),
            })
            .into();
        let setting = Setting {
            task: Task::Binary,
            outputs: &outputs,
            pool: 50,
            test: 100,
            metric: Metric::Accuracy,
            against: "a",
            shots: &[10, 50],
            seeds: &seeds,
            seeds_left: &[20],
        };
        analyse(&setting, &learnt)
    }

    #[test]
    fn a_true_difference_is_found_although_the_luck_of_the_draw_is_larger() {
        let result = example(10);
        let of = |learner: &str, shots| {
            result.differences.iter().find(|one| one.learner == learner && one.shots == shots).unwrap()
        };
        let better = of("b", None);
        assert!((better.difference - 0.1).abs() < 0.01 && better.interval.unwrap().low > 0.09, "{better:?}");
        // All ten of one sign, twice as many patterns in both directions; two learners.
        assert_eq!((better.p, better.p_holm), (2.0 / 1024.0, 4.0 / 1024.0));
        assert_eq!(of("b", Some(50)).p_holm, 8.0 / 1024.0, "four tests of single numbers of shots");
        assert!(of("c", Some(50)).p > 0.05, "{:?}", of("c", Some(50)));
        let spread = |learner: usize| result.learners[learner].by_shots[0].metrics[&Metric::Accuracy].summary;
        assert!(spread(0).sd.unwrap() > 0.03, "unpaired, the spread hides half of it");
        assert!((spread(1).mean - spread(0).mean - of("b", Some(10)).difference).abs() < 1e-12);
    }

    #[test]
    fn collapsed_runs_are_counted_and_count_with_what_they_answered() {
        let result = example(10);
        let c = &result.learners[2].by_shots[0];
        assert_eq!((c.collapsed, c.runs.iter().filter(|run| run.collapsed).count()), (1, 1));
        assert_eq!(c.metrics[&Metric::Mcc].summary.n, 10);
        assert_eq!(c.runs[0].metrics[&Metric::Mcc], 0.0);
    }

    #[test]
    fn one_draw_has_no_spread_and_proves_nothing() {
        let result = example(1);
        let one = &result.differences[0];
        assert_eq!((one.interval, one.student_p, one.p), (None, None, 1.0));
        assert_eq!(result.learners[0].by_shots[0].metrics[&Metric::Accuracy].interval, None);
    }
}
