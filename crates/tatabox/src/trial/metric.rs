//! Which metrics tables show.

use tatabox_core::assess::Metric;
use tatabox_core::labelled::Task;

use crate::error::Result;

/// The metrics that tables show for a task, the one that they lead with first. More of each is better but the last of regression.
pub fn metrics_of(task: Task) -> &'static [Metric] {
    match task {
        Task::Binary => &[Metric::Mcc, Metric::Accuracy, Metric::MacroF1, Metric::Auroc, Metric::AveragePrecision],
        Task::MultiClass => &[Metric::Mcc, Metric::Accuracy, Metric::MacroF1, Metric::Auroc],
        Task::MultiLabel => &[Metric::Auroc, Metric::AveragePrecision, Metric::MacroF1, Metric::MicroF1],
        Task::Regression => &[Metric::Pearson, Metric::Spearman, Metric::MeanSquaredError],
    }
}

/// The metric that tables lead with: the one asked for, if it is one of the task's of which more is better.
///
/// # Errors
/// It is not.
pub fn primary_metric(task: Task, asked: Option<Metric>) -> Result<Metric> {
    let known: Vec<Metric> =
        metrics_of(task).iter().copied().filter(|&metric| metric != Metric::MeanSquaredError).collect();
    match asked {
        None => Ok(known[0]),
        Some(metric) if known.contains(&metric) => Ok(metric),
        Some(metric) => {
            let names: Vec<String> = known.iter().map(|metric| format!("`{metric}`")).collect();
            Err(tatabox_core::Error::Value {
                key: "metric".into(),
                got: format!("`{metric}`"),
                expected: format!("tables of a {task} task lead with one of {}", names.join(", ")),
                hint: format!("write `--metric {}`", known[0]),
            }
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_lead_with_a_metric_of_the_task_of_which_more_is_better() {
        assert_eq!(primary_metric(Task::Binary, None).unwrap(), Metric::Mcc);
        assert_eq!(primary_metric(Task::Binary, Some(Metric::Auroc)).unwrap(), Metric::Auroc);
        for (task, metric) in [
            (Task::Binary, Metric::Pearson),
            (Task::Regression, Metric::MeanSquaredError),
            (Task::MultiLabel, Metric::Mcc),
        ] {
            let error = primary_metric(task, Some(metric)).unwrap_err();
            assert!(error.is_usage() && error.hint().is_some(), "{error}");
        }
    }
}
