//! A benchmark as tables and a page: a table a group, in the shape of RandomMask's Table 3.

use std::collections::BTreeSet;

use tatabox_core::labelled::Task;
use tatabox_core::report::{Bar, Bars, Body, Cell, Fact, Report, Section, Table};
use tatabox_core::stats::Summary;

use super::analysis::{Benchmark, DatasetResult, LearnerScore};
use crate::experiment::quoted;
use crate::trial::Spread;

/// Decimals of percent, as in the papers.
const DECIMALS: usize = 2;

/// The whole report: a table and its averages as bars for each group.
pub(super) fn page(result: &Benchmark, facts: &[Fact]) -> Report {
    let mut groups: Vec<&str> = Vec::new();
    for one in &result.datasets {
        if !groups.contains(&one.group.as_str()) {
            groups.push(&one.group);
        }
    }
    let mut sections: Vec<Section> = groups.iter().flat_map(|group| of_group(result, group)).collect();
    sections.push(how(result));
    sections.push(Section::new("facts", "The same for all", Body::Facts { facts: facts.to_vec() }));
    let seeds: Vec<String> = result.seeds.iter().map(u64::to_string).collect();
    let sets = if result.datasets.len() == 1 { "data set" } else { "data sets" };
    let mut subtitle = format!("{} {sets}, seeds {}", result.datasets.len(), seeds.join(", "));
    if !result.datasets_left.is_empty() {
        subtitle += &format!("; not finished yet: {}", result.datasets_left.join(", "));
    }
    Report { title: format!("Benchmark {}", result.suite), subtitle, sections }
}

/// A column of a table: a data set, or one of its outputs.
struct Column<'a> {
    dataset: &'a DatasetResult,
    output: Option<usize>,
}

impl Column<'_> {
    fn title(&self) -> String {
        let own = match self.output {
            Some(output) => self.dataset.outputs[output].as_str(),
            None => {
                let id = self.dataset.dataset.as_str();
                id.strip_prefix(&format!("{}-", self.dataset.group)).unwrap_or(id)
            }
        };
        if self.dataset.partial.is_some() { format!("{own} †") } else { own.to_string() }
    }

    fn spread(&self, learner: &LearnerScore) -> Option<Spread> {
        match self.output {
            None => learner.metrics.get(&self.dataset.metric).copied(),
            Some(output) => learner.by_output.get(output).copied().flatten(),
        }
    }

    /// A paper's figure, and whether it is doubted.
    fn published(&self, model: &str) -> Option<(f64, bool)> {
        let name = self.output.map(|output| self.dataset.outputs[output].as_str());
        let here = self.dataset.published.iter().find(|one| one.model == model && one.output.as_deref() == name);
        here.map(|one| (one.percent, one.doubt.is_some()))
    }
}

/// The group's table, and bars: of its one data set, or of the averages.
fn of_group(result: &Benchmark, group: &str) -> [Section; 2] {
    let datasets: Vec<&DatasetResult> = result.datasets.iter().filter(|one| one.group == group).collect();
    let mut columns: Vec<Column<'_>> = Vec::new();
    for &dataset in &datasets {
        columns.push(Column { dataset, output: None });
        if dataset.task == Task::Regression && dataset.outputs.len() > 1 {
            columns.extend((0..dataset.outputs.len()).map(|output| Column { dataset, output: Some(output) }));
        }
    }
    let average = datasets.len() > 1;
    let mut models: Vec<&str> = Vec::new();
    for one in datasets.iter().flat_map(|one| &one.published) {
        if !models.contains(&one.model.as_str()) {
            models.push(&one.model);
        }
    }
    let (mut rows, mut bars): (Vec<Vec<Cell>>, Vec<Bar>) = Default::default();
    let mut bar = |name: String, over: Option<Summary>| {
        bars.extend(over.map(|over| Bar { name, value: over.mean, spread: over.sd }));
    };
    for model in &models {
        let name = format!("{model} (printed)");
        let mut row = vec![Cell::text(&name)];
        row.extend(columns.iter().map(|column| match column.published(model) {
            Some((figure, true)) => Cell::text(format!("{figure:.DECIMALS$} ?")),
            Some((figure, false)) => Cell::text(format!("{figure:.DECIMALS$}")),
            None => Cell::Missing,
        }));
        let figures: Option<Vec<f64>> =
            wholes(&columns).map(|column| column.published(model).map(|one| one.0)).collect();
        let mean = figures.and_then(|figures| alone(&figures));
        if average {
            row.push(mean.map_or(Cell::Missing, |mean| Cell::mean_sd(&mean, DECIMALS)));
        }
        bar(name, mean);
        rows.push(row);
    }
    for (at, first) in datasets[0].learners.iter().enumerate() {
        let mut row = vec![Cell::text(&first.learner)];
        row.extend(columns.iter().map(|column| {
            let learner = &column.dataset.learners[at];
            let Some(spread) = column.spread(learner) else { return Cell::Missing };
            let text = Cell::mean_sd(&percent(spread.summary), DECIMALS).shown();
            Cell::text(if learner.collapsed > 0 { format!("{text} ({})", learner.collapsed) } else { text })
        }));
        let spreads: Option<Vec<Summary>> = wholes(&columns)
            .map(|column| column.spread(&column.dataset.learners[at]).map(|spread| percent(spread.summary)))
            .collect();
        let mean = spreads.and_then(|spreads| match &spreads[..] {
            [one] => Some(*one),
            several => alone(&several.iter().map(|one| one.mean).collect::<Vec<_>>()),
        });
        if average {
            row.push(mean.map_or(Cell::Missing, |mean| Cell::mean_sd(&mean, DECIMALS)));
        }
        bar(first.learner.clone(), mean);
        rows.push(row);
    }
    let mut titles: Vec<String> = std::iter::once(String::new()).chain(columns.iter().map(Column::title)).collect();
    if average {
        titles.push("avg.".to_string());
    }
    let metrics: BTreeSet<&str> = datasets.iter().map(|one| one.metric.title()).collect();
    let metrics: Vec<&str> = metrics.into_iter().collect();
    let name = if group.is_empty() { &result.suite } else { group };
    let title = format!("{name}: {}, percent", metrics.join(" or "));
    let section = Section::new(&format!("group-{name}"), &title, Body::Table(Table { columns: titles, rows }));
    let label =
        if average { "the average over the group's data sets, percent" } else { "percent, ± standard deviation" };
    let bars = Bars { label: format!("{}, {label}", metrics.join(" or ")), bars, decimals: DECIMALS };
    [
        section.with_note(&note(&datasets, result.seeds.len(), models.is_empty())),
        Section::new(&format!("bars-{name}"), &format!("{name} at a glance"), Body::Bars(bars)),
    ]
}

/// The columns of whole data sets.
fn wholes<'a>(columns: &'a [Column<'a>]) -> impl Iterator<Item = &'a Column<'a>> {
    columns.iter().filter(|column| column.output.is_none())
}

/// The mean of several figures, which are no repetitions: without a spread.
fn alone(figures: &[f64]) -> Option<Summary> {
    Summary::of(figures).map(|summary| Summary { sd: None, ..summary })
}

fn percent(summary: Summary) -> Summary {
    Summary { n: summary.n, mean: 100.0 * summary.mean, sd: summary.sd.map(|sd| 100.0 * sd) }
}

fn note(datasets: &[&DatasetResult], seeds: usize, ours_alone: bool) -> String {
    let mut words = vec![match seeds {
        1 => "One seed.".to_string(),
        seeds => format!("Mean ± standard deviation over {seeds} seeds."),
    }];
    if datasets.iter().flat_map(|one| &one.learners).any(|one| one.collapsed > 0) {
        words.push("In brackets: runs that give one answer to everything.".to_string());
    }
    if !ours_alone {
        let sources: BTreeSet<&str> =
            datasets.iter().flat_map(|one| &one.published).map(|one| one.source.as_str()).collect();
        words.push(format!(
            "Printed: {}; the number of runs is not said there; averages are taken over the columns shown.",
            sources.into_iter().collect::<Vec<_>>().join("; ")
        ));
    }
    for one in datasets {
        if let Some(partial) = &one.partial {
            words.push(format!("† {}: {partial}; the printed figures are not of this data.", one.dataset));
        }
        let doubts: BTreeSet<(&str, &str)> =
            one.published.iter().filter_map(|figure| Some((figure.model.as_str(), figure.doubt.as_deref()?))).collect();
        let mut said: Vec<&str> = Vec::new();
        for (model, doubt) in doubts {
            if !said.contains(&doubt) {
                said.push(doubt);
                words.push(format!("? {} {model}: {doubt}.", one.dataset));
            }
        }
    }
    words.join(" ")
}

/// How each data set was learnt.
fn how(result: &Benchmark) -> Section {
    let columns = ["data set", "metric", "preset", "epochs", "train", "dev", "test", "published", "notes"];
    let rows = result.datasets.iter().map(|one| {
        let epochs = |baseline: bool| -> BTreeSet<u32> {
            one.learners
                .iter()
                .filter(|of| of.baseline == baseline)
                .flat_map(|of| of.runs.iter().map(|run| run.epochs))
                .collect()
        };
        // Of the models; baselines have their own schedule.
        let of_models: Vec<String> = epochs(false).iter().map(u32::to_string).collect();
        let published = one
            .published_records
            .map_or("–".to_string(), |records| records.map(|count| count.to_string()).join(" / "));
        vec![
            Cell::text(&one.dataset),
            Cell::text(one.metric.title()),
            Cell::text(&one.preset),
            Cell::text(if of_models.is_empty() { "–".to_string() } else { of_models.join(", ") }),
            Cell::number(one.records[0] as f64, 0),
            Cell::number(one.records[1] as f64, 0),
            Cell::number(one.records[2] as f64, 0),
            Cell::text(published),
            Cell::text(one.notes.join("; ")),
        ]
    });
    let table = Table { columns: columns.map(String::from).to_vec(), rows: rows.collect() };
    Section::new("how", "How it was learnt", Body::Table(table)).with_note(
        "Epochs: of the models, as trained; the weights asked are those of the epoch with the least loss on dev, of the last where there is no dev part. The test part is asked once.",
    )
}

/// One line a data set, output (empty for all together) and row, ours and printed; fractions, not percent.
pub(super) fn csv(result: &Benchmark) -> String {
    let mut text = String::from(
        "group,dataset,output,metric,model,kind,seeds,mean,sd,low,high,collapsed,train,dev,test,preset,partial,source\n",
    );
    let number =
        |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(String::new(), |value| value.to_string());
    for one in &result.datasets {
        let mut line = |output: &str,
                        model: &str,
                        kind: &str,
                        spread: Option<Spread>,
                        percent: Option<f64>,
                        collapsed: usize,
                        source: &str| {
            let summary = spread.map(|spread| spread.summary);
            let interval = spread.and_then(|spread| spread.interval);
            let mut cells: Vec<String> =
                [&one.group, &one.dataset, output, &one.metric.to_string(), model, kind].map(quoted).to_vec();
            cells.push(summary.map_or(String::new(), |summary| summary.n.to_string()));
            cells.push(number(summary.map(|summary| summary.mean).or(percent.map(|percent| percent / 100.0))));
            cells.push(number(summary.and_then(|summary| summary.sd)));
            cells.extend([number(interval.map(|one| one.low)), number(interval.map(|one| one.high))]);
            cells.push(if kind == "printed" { String::new() } else { collapsed.to_string() });
            cells.extend(one.records.map(|count| count.to_string()));
            cells.extend([quoted(&one.preset), quoted(one.partial.as_deref().unwrap_or("")), quoted(source)]);
            text += &(cells.join(",") + "\n");
        };
        for published in &one.published {
            let output = published.output.as_deref().unwrap_or("");
            line(output, &published.model, "printed", None, Some(published.percent), 0, &published.source);
        }
        for learner in &one.learners {
            let kind = if learner.baseline { "baseline" } else { "model" };
            let whole = learner.metrics.get(&one.metric).copied();
            line("", &learner.learner, kind, whole, None, learner.collapsed, "");
            if one.task == Task::Regression && one.outputs.len() > 1 {
                for (name, spread) in one.outputs.iter().zip(&learner.by_output) {
                    line(name, &learner.learner, kind, *spread, None, learner.collapsed, "");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::analysis::tests::{entries, example};
    use super::*;
    use tatabox_core::report::{Html, Latex, Markdown, Renderer, Text};

    #[test]
    fn a_group_is_a_table_of_the_papers_shape() {
        let result = example(&entries());
        let text = Text.render(&page(&result, &[Fact::new("Data", "x")]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[1]), ("Benchmark gue", "3 data sets, seeds 1, 2"));
        let row = |start: &str| {
            lines
                .iter()
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("{start}: {text}"))
                .split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>()
        };
        assert!(lines.contains(&"PD: MCC, percent"), "{text}");
        assert_eq!(row("NT (printed)"), ["NT (printed)", "78.07 ?", "87.71", "82.89"]);
        assert_eq!(row("DNABERT+RandomMask (printed)"), ["DNABERT+RandomMask (printed)", "93.40", "92.74", "93.07"]);
        assert_eq!(row("rm "), ["rm", "81.00 ± 1.41", "71.00 ± 1.41", "76.00"]);
        assert_eq!(row("cnn "), ["cnn", "1.00 ± 1.41 (1)", "1.00 ± 1.41 (1)", "1.00"]);
        for words in [
            "all †",
            "† PD-all: test has 18 records instead of 20",
            "? PD-notata NT: the columns",
            "over 2 seeds",
            "Dev_x",
            "randommask-pd",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        let page = page(&result, &[]);
        assert!(Markdown.render(&page).contains("93.40") && Latex.render(&page).contains("$\\dagger$"));
        let html = Html.render(&page);
        assert!(html.contains("<h2>PD: MCC, percent</h2>") && html.contains("<h2>PD at a glance</h2>"));
        let Some(Body::Bars(bars)) =
            page.sections.iter().find(|one| one.title == "PD at a glance").map(|one| &one.body)
        else {
            panic!("no bars of PD")
        };
        let drawn: Vec<(&str, f64)> = bars.bars.iter().map(|bar| (bar.name.as_str(), bar.value)).collect();
        assert!(drawn.contains(&("rm", 76.0)) && drawn.contains(&("DNABERT+RandomMask (printed)", 93.07)), "{drawn:?}");
    }

    #[test]
    fn every_line_of_the_csv_has_every_column() {
        let text = csv(&example(&entries()));
        let mut reader = text.lines().map(|line| {
            let (mut cells, mut inside) = (1, false);
            for letter in line.chars() {
                match letter {
                    '"' => inside = !inside,
                    ',' if !inside => cells += 1,
                    _ => {}
                }
            }
            cells
        });
        assert!(reader.all(|cells| cells == 18), "{text}");
        assert!(text.contains("PD,PD-all,,mcc,DNABERT+RandomMask,printed,,0.9274,"), "{text}");
        assert!(text.contains("EAP,EAP,Hk_x,pearson,rm,model,2,"), "{text}");
    }
}
