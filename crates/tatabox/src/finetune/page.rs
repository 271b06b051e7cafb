//! The report of a fine-tuning: `report.html` and `report.json`.

use tatabox_core::assess::Assessment;
use tatabox_core::labelled::{Card, Task};
use tatabox_core::report::{Body, Curves, Fact, Report, Section, Series};

use super::fit::Epoch;
use super::record::Record;

/// What there is to show.
pub struct Page<'a> {
    /// The name of the run.
    pub name: &'a str,
    /// What it is.
    pub record: &'a Record,
    /// What it learnt from.
    pub card: &'a Card,
    /// Its epochs.
    pub epochs: &'a [Epoch],
    /// How good it is on each part: name and assessment.
    pub assessments: &'a [(String, Assessment)],
}

impl Page<'_> {
    /// The report.
    pub fn report(&self) -> Report {
        let mut sections = vec![self.facts(), self.losses()];
        sections.extend(self.accuracy());
        sections.extend(self.assessments.iter().flat_map(|(part, assessment)| assessment.sections(part)));
        let best = self.epochs.iter().rev().find(|epoch| epoch.best).map_or(0, |best| best.epoch);
        let subtitle = format!("epoch {best} of {} that were trained", self.epochs.len());
        Report { title: format!("Fine-tuning {}", self.name), subtitle, sections }
    }

    fn facts(&self) -> Section {
        let Record { config, model, task, outputs, .. } = self.record;
        let parts: Vec<String> =
            self.card.splits.iter().map(|split| format!("{} {}", split.records, split.name)).collect();
        let train = &config.train;
        let mut facts = vec![
            Fact::new("Encoder", model.display().to_string()),
            Fact::new("Task", format!("{task}: {}", outputs.join(", "))),
            Fact::new("Examples", parts.join(", ")),
            Fact::new(
                "Tokens",
                format!(
                    "of {} bases, stride {}, windows of {}",
                    config.tokenizer.k, config.tokenizer.stride, config.data.max_length
                ),
            ),
            Fact::new(
                "Training",
                format!(
                    "{} epochs, {} examples a step, peak rate {:e}{}",
                    train.epochs,
                    train.batch_size,
                    train.optimizer.learning_rate,
                    if config.preset == "default" { String::new() } else { format!(" (preset {})", config.preset) }
                ),
            ),
            Fact::new("Precision", train.precision.clone()),
            Fact::new("Seed", config.seed.to_string()),
        ];
        if config.lora.rank > 0 {
            facts.push(Fact::new("LoRA", format!("rank {} of {}", config.lora.rank, config.lora.targets.join(", "))));
        } else if train.freeze != "none" {
            facts.push(Fact::new("Frozen", train.freeze.clone()));
        }
        Section::new("run", "The run", Body::Facts { facts })
    }

    fn losses(&self) -> Section {
        let curve = |name: &str, value: &dyn Fn(&Epoch) -> Option<f64>| Series {
            name: name.to_string(),
            points: self.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect(),
        };
        let series = vec![curve("training", &|epoch| Some(epoch.train_loss)), curve("dev", &|epoch| epoch.dev_loss)];
        let unit = if self.record.task == Task::Regression { "mean squared error" } else { "nats an example" };
        Section::new("loss", "Loss by epoch", curves(unit, series)).with_note(
            "Training: with dropout, weights and smoothing, the mean over the epoch. Dev: without; the epoch with the lowest is kept.",
        )
    }

    fn accuracy(&self) -> Option<Section> {
        let points: Vec<(f64, f64)> =
            self.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, 100.0 * epoch.dev_accuracy?))).collect();
        let series = vec![Series { name: "dev".to_string(), points }];
        (!series[0].points.is_empty())
            .then(|| Section::new("accuracy", "Accuracy by epoch", curves("% of the examples", series)))
    }
}

fn curves(y_label: &str, series: Vec<Series>) -> Body {
    let series = series.into_iter().filter(|series| !series.points.is_empty()).collect();
    Body::Curves(Curves { x_label: "epoch".to_string(), y_label: y_label.to_string(), series, ..Curves::default() })
}
