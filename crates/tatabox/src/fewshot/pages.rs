//! A few-shot evaluation as tables, curves and a page.

use tatabox_core::assess::Metric;
use tatabox_core::labelled::Task;
use tatabox_core::report::{Body, Cell, Curves, Fact, Repeat, Report, Section, Series, Table};
use tatabox_core::stats::Interval;

use super::analysis::{Difference, FLIPS, FewShot, LearnerResult, ShotsResult};
use crate::experiment::quoted;
use crate::trial::{Spread, metrics_of};

/// Decimals of a metric.
const DECIMALS: usize = 3;

/// The report without its curves: the tables of `table.txt`, `table.md` and `table.tex`.
pub(super) fn tables(result: &FewShot, facts: &[Fact]) -> Report {
    report(result, facts, false)
}

/// The whole report.
pub(super) fn page(result: &FewShot, facts: &[Fact]) -> Report {
    report(result, facts, true)
}

fn report(result: &FewShot, facts: &[Fact], with_curves: bool) -> Report {
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let mut subtitle = format!("{}, {} test examples", count(result.seeds.len(), "draw"), result.test);
    if !result.seeds_left.is_empty() {
        subtitle += &format!("; {} not finished yet", count(result.seeds_left.len(), "draw"));
    }
    let mut sections = vec![metric(result, result.metric).with_note(
        "Mean ± standard deviation over the draws; each draw takes other examples to learn from, the same for everybody. In brackets: runs that give one answer to \
         everything; they count with what they answered.",
    )];
    if with_curves {
        sections.push(curves(result, result.metric));
    }
    if !result.differences.is_empty() {
        sections.push(against(result));
    }
    sections.push(intervals(result));
    let measured = |metric: Metric| {
        result.learners.iter().flat_map(|one| &one.by_shots).any(|of| of.metrics.contains_key(&metric))
    };
    for &other in metrics_of(result.task).iter().filter(|&&metric| metric != result.metric && measured(metric)) {
        sections.push(metric(result, other));
        if with_curves {
            sections.push(curves(result, other));
        }
    }
    if matches!(result.task, Task::Regression | Task::MultiLabel) && result.outputs.len() > 1 {
        sections.extend((0..result.outputs.len()).map(|output| by_output(result, output)));
    }
    sections.push(Section::new("facts", "How it was done", Body::Facts { facts: facts.to_vec() }));
    Report {
        title: format!("Few-shot evaluation: {} by examples {}", result.metric.title(), each(result.task)),
        subtitle,
        sections,
    }
}

fn each(task: Task) -> &'static str {
    if matches!(task, Task::Binary | Task::MultiClass) { "of each class" } else { "in all" }
}

/// A table with a column for each number of shots.
fn by_shots(result: &FewShot, cell: impl Fn(&ShotsResult) -> Cell) -> Table {
    let columns = result.shots.iter().map(|shots| format!("{shots} shots"));
    let row =
        |one: &LearnerResult| std::iter::once(Cell::text(&one.learner)).chain(one.by_shots.iter().map(&cell)).collect();
    Table {
        columns: std::iter::once(String::new()).chain(columns).collect(),
        rows: result.learners.iter().map(row).collect(),
    }
}

fn cell(spread: Option<&Spread>, collapsed: usize) -> Cell {
    let Some(spread) = spread else { return Cell::Missing };
    let text = Cell::mean_sd(&spread.summary, DECIMALS).shown();
    Cell::text(if collapsed > 0 { format!("{text} ({collapsed})") } else { text })
}

fn metric(result: &FewShot, metric: Metric) -> Section {
    let table = by_shots(result, |one| cell(one.metrics.get(&metric), one.collapsed));
    Section::new(metric_id(metric).as_str(), metric.title(), Body::Table(table))
}

fn metric_id(metric: Metric) -> String {
    metric.to_string().replace('_', "-")
}

fn by_output(result: &FewShot, output: usize) -> Section {
    let of = |one: &ShotsResult| one.by_output.get(output).and_then(|metrics| metrics.get(&result.metric)).copied();
    let table = by_shots(result, |one| cell(of(one).as_ref(), one.collapsed));
    let title = format!("{}: {}", result.metric.title(), result.outputs[output]);
    Section::new(&format!("output-{output}"), &title, Body::Table(table))
}

fn intervals(result: &FewShot) -> Section {
    let shown = |interval: Interval| {
        let [low, high] = [interval.low, interval.high].map(|end| format!("{end:.DECIMALS$}").replace('-', "−"));
        Cell::text(format!("{low} to {high}"))
    };
    let table = by_shots(result, |one| {
        one.metrics.get(&result.metric).and_then(|spread| spread.interval).map_or(Cell::Missing, shown)
    });
    let title = format!("{}: 95 % interval of the mean", result.metric.title());
    Section::new("intervals", &title, Body::Table(table)).with_note(
        "Student's, over the draws. It says how sure the mean over draws from this pool and answers to these test examples is; other test examples would move all rows.",
    )
}

fn against(result: &FewShot) -> Section {
    let columns = ["", "shots", "difference", "from", "to", "t test p", "flips p", "Holm p"];
    let ends = |interval: Option<Interval>| {
        interval.map_or([Cell::Missing, Cell::Missing], |interval| {
            [Cell::signed(interval.low, DECIMALS), Cell::signed(interval.high, DECIMALS)]
        })
    };
    let row = |one: &Difference| {
        let shots = one.shots.map_or("all".to_string(), |shots| shots.to_string());
        let mut row = vec![Cell::text(&one.learner), Cell::text(shots), Cell::signed(one.difference, DECIMALS)];
        row.extend(ends(one.interval));
        row.push(one.student_p.map_or(Cell::Missing, |p| Cell::number(p, 4)));
        row.extend([Cell::number(one.p, 4), Cell::number(one.p_holm, 4)]);
        row
    };
    let table =
        Table { columns: columns.map(String::from).to_vec(), rows: result.differences.iter().map(row).collect() };
    let draws = result.seeds.len();
    let least = if draws <= 60 { 2f64.powi(1 - draws as i32).min(1.0) } else { 0.0 };
    let least = least.max(if draws > 13 { 1.0 / (FLIPS + 1) as f64 } else { 0.0 });
    let tests = result.differences.iter().filter(|one| one.shots.is_some()).count();
    let note = format!(
        "{} less that of {}, draw by draw: above 0 is better. `all`: the mean over all numbers of shots, the main test. Student's paired 95 % interval and test, and the \
         paired permutation test (sign flips), which {} cannot bring below {}; Holm's correction over the learners for `all`, over the {tests} tests below it for the others.",
        result.metric.title(),
        result.against,
        if draws == 1 { "one draw".to_string() } else { format!("{draws} draws") },
        short(least),
    );
    Section::new("against", &format!("{} against {}", result.metric.title(), result.against), Body::Table(table))
        .with_note(&note)
}

fn short(p: f64) -> String {
    let text = format!("{p:.5}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn curves(result: &FewShot, metric: Metric) -> Section {
    let series = result.learners.iter().map(|one| Series {
        name: one.learner.clone(),
        points: one
            .by_shots
            .iter()
            .map(|of| (f64::from(of.shots), of.metrics.get(&metric).map_or(f64::NAN, |spread| spread.summary.mean)))
            .collect(),
    });
    let repeats = result.learners.iter().enumerate().flat_map(|(series, one)| {
        let run = move |draw: usize| Repeat {
            series,
            points: one
                .by_shots
                .iter()
                .map(|of| (f64::from(of.shots), of.runs[draw].metrics.get(&metric).copied().unwrap_or(f64::NAN)))
                .collect(),
        };
        (0..result.seeds.len()).map(run)
    });
    let curves = Curves {
        x_label: format!("examples {}", each(result.task)),
        x_log: true,
        y_label: format!("{} on the test examples", metric.title()),
        series: series.collect(),
        repeats: if result.seeds.len() > 1 { repeats.collect() } else { Vec::new() },
        ..Curves::default()
    };
    let title = format!("{} by number of examples", metric.title());
    Section::new(&format!("curve-{}", metric_id(metric)), &title, Body::Curves(curves))
        .with_note("Thick: the mean over the draws; thin: single draws.")
}

/// One line a learner, number of shots, metric and output (empty for all together), with everything that the tables say. Differences stand where the metric is that of the tables.
pub(super) fn csv(result: &FewShot) -> String {
    let mut text = String::from(
        "learner,baseline,shots,metric,output,draws,mean,sd,low,high,collapsed,difference,difference_low,difference_high,student_p,flip_p,holm_p\n",
    );
    let number =
        |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(String::new(), |value| value.to_string());
    let ends = |interval: Option<Interval>| [number(interval.map(|one| one.low)), number(interval.map(|one| one.high))];
    for learner in &result.learners {
        for of in &learner.by_shots {
            let whole = of.metrics.iter().map(|(metric, spread)| (*metric, String::new(), *spread));
            let parts = of.by_output.iter().zip(&result.outputs).flat_map(|(metrics, name)| {
                metrics.iter().map(move |(metric, spread)| (*metric, quoted(name), *spread))
            });
            for (metric, output, spread) in whole.chain(parts) {
                let mut cells = vec![
                    learner.learner.clone(),
                    learner.baseline.to_string(),
                    of.shots.to_string(),
                    metric.to_string(),
                    output.clone(),
                    spread.summary.n.to_string(),
                    number(Some(spread.summary.mean)),
                    number(spread.summary.sd),
                ];
                cells.extend(ends(spread.interval));
                cells.push(of.collapsed.to_string());
                let here = |one: &&Difference| one.learner == learner.learner && one.shots == Some(of.shots);
                match result.differences.iter().find(here).filter(|_| metric == result.metric && output.is_empty()) {
                    Some(one) => {
                        cells.push(number(Some(one.difference)));
                        cells.extend(ends(one.interval));
                        cells.extend([number(one.student_p), number(Some(one.p)), number(Some(one.p_holm))]);
                    }
                    None => cells.extend(vec![String::new(); 6]),
                }
                text += &(cells.join(",") + "\n");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::analysis::tests::example;
    use super::*;
    use tatabox_core::report::{Html, Latex, Markdown, Renderer, Text};

    #[test]
    fn every_table_has_every_learner() {
        let result = example(10);
        let facts = [Fact::new("Data", "x")];
        let text = Text.render(&tables(&result, &facts));
        assert!(text.starts_with("Few-shot evaluation: accuracy by examples of each class\n10 draws, 100 test examples; 1 draw not finished yet\n"), "{text}");
        // Accuracy, intervals, MCC; three rows against `a`.
        assert_eq!(text.lines().filter(|line| line.starts_with("b ")).count(), 3 + 3, "{text}");
        assert!(text.contains("cannot bring below 0.00195") && text.contains("over the 4 tests below it"), "{text}");
        assert!(
            text.lines().any(|line| line.starts_with("c ") && line.ends_with("(1)")),
            "a collapsed run is counted: {text}"
        );
        assert!(Markdown.render(&tables(&result, &facts)).contains("| b | all | +0."));
        assert!(Latex.render(&tables(&result, &facts)).contains("$\\pm$"));
        let page = Html.render(&page(&result, &facts));
        // Curves of two metrics in two sizes, with ten thin lines of each of three learners.
        assert_eq!(page.matches("<svg role=\"img\"").count(), 2 * 2);
        assert_eq!(page.matches("opacity=\"0.45\"").count(), 2 * 2 * 3 * 10);
    }

    #[test]
    fn every_line_of_the_csv_has_every_column() {
        let text = csv(&example(10));
        let columns = text.lines().next().unwrap().split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == columns), "{text}");
        assert_eq!(text.lines().count(), 1 + 3 * 2 * 2);
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
