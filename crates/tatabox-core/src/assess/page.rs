//! An assessment as parts of a report.

use super::{Assessment, Estimate, Metric, Metrics, Output};
use crate::labelled::Task;
use crate::report::{Body, Cell, Curves, Section, Series, Table};

/// Outputs whose curves are drawn at most: there are no more colours.
const DRAWN: usize = 12;

impl Metric {
    /// The name for readers.
    pub fn title(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::Mcc => "MCC",
            Metric::Precision => "precision",
            Metric::Recall => "recall",
            Metric::F1 => "F1",
            Metric::MacroF1 => "macro F1",
            Metric::MicroF1 => "micro F1",
            Metric::Auroc => "AUROC",
            Metric::AveragePrecision => "average precision",
            Metric::Brier => "Brier's score",
            Metric::CalibrationError => "calibration error",
            Metric::Pearson => "Pearson",
            Metric::Spearman => "Spearman",
            Metric::MeanSquaredError => "mean squared error",
        }
    }
}

impl Assessment {
    /// The parts of a report that show it all, curves included. `name` says what was measured on (`test`): it stands in the headings, and before the ids.
    pub fn sections(&self, name: &str) -> Vec<Section> {
        let mut sections = self.tables(name);
        if self.task == Task::Regression {
            sections.extend(self.means(name));
        } else {
            sections.extend(self.curves(name));
        }
        sections
    }

    /// The tables alone, for a terminal.
    pub fn tables(&self, name: &str) -> Vec<Section> {
        let mut sections = vec![self.overall(name)];
        // One target is the whole.
        if self.outputs.len() > 1 {
            sections.push(self.by_output(name));
        }
        sections.extend(self.confused(name));
        sections
    }

    fn overall(&self, name: &str) -> Section {
        let columns = ["", "value", "from", "to"].map(String::from).to_vec();
        let rows = self.metrics.iter().map(|(metric, of)| {
            let title = match (metric, self.outputs.get(1)) {
                (Metric::F1, Some(second)) => format!("F1 of {}", second.name),
                _ => metric.title().to_string(),
            };
            let ends = of.interval.map(|interval| [interval.low, interval.high]);
            let ends = ends.map_or([Cell::Missing, Cell::Missing], |ends| ends.map(|end| Cell::number(end, 4)));
            [Cell::text(title), Cell::number(of.value, 4)].into_iter().chain(ends).collect()
        });
        let collapsed = if self.collapsed { " Everything got the same answer: nothing was told apart." } else { "" };
        let note =
            format!("{} records; intervals of 95 % from 1,000 bootstrap draws of them.{collapsed}", self.records);
        Section::new(
            &format!("{name}-metrics"),
            &format!("Metrics ({name})"),
            Body::Table(Table { columns, rows: rows.collect() }),
        )
        .with_note(&note)
    }

    fn by_output(&self, name: &str) -> Section {
        let mut metrics: Vec<Metric> = self.outputs.iter().flat_map(|output| output.metrics.keys().copied()).collect();
        metrics.sort();
        metrics.dedup();
        let head = ["", "records"].into_iter().chain(metrics.iter().map(|metric| metric.title()));
        let row = |output: &Output| {
            let cells = metrics.iter().map(|metric| shown(&output.metrics, *metric));
            [Cell::text(&output.name), Cell::number(output.records as f64, 0)].into_iter().chain(cells).collect()
        };
        let table = Table { columns: head.map(String::from).collect(), rows: self.outputs.iter().map(row).collect() };
        let of = match self.task {
            Task::Binary | Task::MultiClass => "class",
            Task::MultiLabel => "label",
            Task::Regression => "target",
        };
        Section::new(&format!("{name}-{of}"), &format!("Metrics by {of} ({name})"), Body::Table(table))
    }

    fn confused(&self, name: &str) -> Option<Section> {
        let confusion = self.confusion.as_ref()?;
        let names = || self.outputs.iter().map(|output| output.name.clone());
        let columns = ["true".to_string()].into_iter().chain(names().map(|name| format!("as {name}"))).collect();
        let row = |(name, counts): (String, &Vec<u64>)| {
            let counts = counts.iter().map(|&count| Cell::number(count as f64, 0));
            [Cell::text(name)].into_iter().chain(counts).collect()
        };
        let rows = names().zip(&confusion.counts).map(row).collect();
        Some(
            Section::new(
                &format!("{name}-confusion"),
                &format!("Which class was taken for which ({name})"),
                Body::Table(Table { columns, rows }),
            )
            .with_note("A row a true class, a column a predicted one; records."),
        )
    }

    /// A part with a curve an output.
    fn plot(
        &self,
        id: String,
        title: String,
        axes: [&str; 2],
        diagonal: Option<&str>,
        points: impl Fn(&super::Curves) -> Vec<(f64, f64)>,
    ) -> Option<Section> {
        let drawn = self.outputs.iter().filter_map(|output| Some((output, points(output.curves.as_ref()?))));
        let mut drawn: Vec<(&Output, Vec<(f64, f64)>)> = drawn.filter(|(_, points)| !points.is_empty()).collect();
        if drawn.is_empty() {
            return None;
        }
        let all = drawn.len();
        drawn.sort_by_key(|(output, _)| std::cmp::Reverse(output.records));
        drawn.truncate(DRAWN);
        let mut series: Vec<Series> =
            drawn.iter().map(|(output, points)| Series { name: output.name.clone(), points: points.clone() }).collect();
        if let Some(name) = diagonal {
            let ends = || series.iter().flat_map(|one| &one.points).flat_map(|&(x, y)| [x, y]);
            let (low, high) = if self.task == Task::Regression {
                (ends().fold(f64::INFINITY, f64::min), ends().fold(f64::NEG_INFINITY, f64::max))
            } else {
                (0.0, 1.0)
            };
            series.push(Series { name: name.into(), points: vec![(low, low), (high, high)] });
        }
        let [x_label, y_label] = axes.map(String::from);
        let section = Section::new(&id, &title, Body::Curves(Curves { x_label, y_label, series, ..Curves::default() }));
        Some(if all > DRAWN { section.with_note(&format!("The {DRAWN} most frequent of {all}.")) } else { section })
    }

    fn curves(&self, name: &str) -> Vec<Section> {
        let bins = |curves: &super::Curves| curves.calibration.iter().map(|bin| (bin.predicted, bin.share)).collect();
        [
            self.plot(
                format!("{name}-roc"),
                format!("ROC ({name})"),
                ["false positive rate", "true positive rate"],
                Some("chance"),
                |curves| curves.roc.clone(),
            ),
            self.plot(
                format!("{name}-precision-recall"),
                format!("Precision and recall ({name})"),
                ["recall", "precision"],
                None,
                |curves| curves.precision_recall.clone(),
            ),
            self.plot(
                format!("{name}-calibration"),
                format!("Calibration ({name})"),
                ["mean probability", "share that is true"],
                Some("calibrated"),
                bins,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn means(&self, name: &str) -> Option<Section> {
        self.plot(
            format!("{name}-means"),
            format!("Predicted and measured ({name})"),
            ["mean prediction of a tenth", "mean truth"],
            Some("equal"),
            |curves| curves.means.clone(),
        )
    }
}

/// A value with its interval, in one cell.
fn shown(metrics: &Metrics, metric: Metric) -> Cell {
    match metrics.get(&metric) {
        Some(Estimate { value, interval: Some(of) }) => {
            Cell::text(format!("{value:.3} ({:.3} to {:.3})", of.low, of.high))
        }
        Some(Estimate { value, interval: None }) => Cell::number(*value, 3),
        None => Cell::Missing,
    }
}
