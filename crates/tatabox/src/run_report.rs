//! The report of a run, `report.html` and `report.json`: written anew at every measurement of held-out loss.

use tatabox_core::report::{
    Body, Cell, Curves, Event, Fact, Html, Json, Level, Renderer, Report, Section, Series, Table,
};
use tatabox_core::score::{Score, Scores};
use tatabox_core::tokenizer::Tokenizer;
use tatabox_core::words::count;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::metrics::{self, Line};
use crate::plan::Plan;
use crate::recipe::RunConfig;
use crate::run::{DATASET, METRICS, Run};

/// Points of a curve that are kept: more cannot be told apart on a page.
const POINTS: usize = 1000;

/// Writes the report of a run as far as it has come.
///
/// # Errors
/// The run's files cannot be read or written.
pub fn write(run: &Run, config: &RunConfig, plan: &Plan) -> Result<()> {
    let lines = metrics::read(&run.path(METRICS))?;
    let dataset = Dataset::read(&run.path(DATASET))?;
    let report = report(run, config, plan, &dataset, &lines)?;
    run.write("report.json", &Json.render(&report))?;
    run.write("report.html", &Html.render(&report))
}

fn report(run: &Run, config: &RunConfig, plan: &Plan, dataset: &Dataset, lines: &[Line]) -> Result<Report> {
    let step = lines.iter().map(|line| match line {
        Line::Train { step, .. } | Line::Evaluation { step, .. } => *step,
    });
    let evaluations: Vec<(u64, &Scores)> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Evaluation { step, scores, .. } => Some((*step, scores)),
            Line::Train { .. } => None,
        })
        .collect();
    let mut sections = vec![facts(config, plan, dataset)];
    if let Some((step, scores)) = evaluations.last() {
        sections.push(held_out_table(*step, scores, dataset));
    }
    sections.extend(curves(config, dataset, lines, &evaluations)?);
    Ok(Report {
        title: format!(
            "Run {}",
            run.dir().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        ),
        subtitle: format!("step {} of {}", step.max().unwrap_or(0), config.train.steps),
        sections,
    })
}

fn facts(config: &RunConfig, plan: &Plan, dataset: &Dataset) -> Section {
    let model = &config.model;
    let files: Vec<&str> = dataset.genome.files.iter().map(|file| file.path.as_str()).collect();
    let mut facts = vec![
        Fact::new(
            "Genome",
            format!(
                "{} ({} bases, {:.2} % N)",
                files.join(", "),
                count(dataset.genome.bases()),
                100.0 * dataset.n_share
            ),
        ),
        Fact::new(
            "Held out",
            if dataset.held_out.is_empty() { "nothing".to_string() } else { dataset.held_out.join(", ") },
        ),
        Fact::new(
            "Tokens",
            format!("{} of {} bases, stride {}", config.tokenizer.kind, config.tokenizer.k, config.tokenizer.stride),
        ),
        Fact::new("Masks", format!("{}, {:.1} % asked for", config.mask.described(), 100.0 * config.mask.mask_rate)),
        Fact::new(
            "Model",
            format!(
                "{}: {} layers x {}, {:.1} M weights",
                model.preset,
                model.num_hidden_layers,
                model.hidden_size,
                plan.parameters as f64 / 1e6
            ),
        ),
        Fact::new("Steps", format!("{} of {:.0} tokens on average", config.train.steps, plan.tokens_per_step)),
        Fact::new("Passes over the genome", format!("{:.1}", plan.passes)),
        Fact::new("Precision", format!("{} ({})", plan.precision, plan.kernels)),
        Fact::new("Seed", config.seed.to_string()),
    ];
    if let Some(init) = &dataset.init {
        facts.push(Fact::new("Began with", init.to_string()));
    }
    Section::new("run", "The run", Body::Facts { facts })
}

fn held_out_table(step: u64, scores: &Scores, dataset: &Dataset) -> Section {
    let row = |who: &str, mask: &str, score: &Score| {
        let bits = score.bits_per_hidden_base.map_or(Cell::Missing, |bits| Cell::number(bits, 3));
        vec![
            Cell::text(who),
            Cell::text(mask),
            Cell::number(score.nats_per_token, 4),
            Cell::number(score.perplexity, 2),
            bits,
        ]
    };
    let rows_of = |who: &str, scores: &Scores| {
        let mut rows = vec![row(who, "all", &scores.overall)];
        rows.extend(scores.by_mask.iter().map(|mask| row(who, &mask.mask, &mask.score)));
        rows
    };
    let mut rows = rows_of("this run", scores);
    for baseline in &dataset.baselines {
        rows.extend(rows_of(&baseline.name, &baseline.scores));
    }
    let columns = ["", "masks", "nats a masked token", "perplexity", "bits a hidden base"].map(String::from).to_vec();
    Section::new("held-out", &format!("Held-out loss at step {step}"), Body::Table(Table { columns, rows })).with_note(
        "On frozen masks over regions that no training window touches; lower is better. Below the run: what can be guessed without a model.",
    )
}

fn curves(
    config: &RunConfig,
    dataset: &Dataset,
    lines: &[Line],
    evaluations: &[(u64, &Scores)],
) -> Result<Vec<Section>> {
    let train = |value: fn(&Line) -> Option<(u64, f64)>| -> Vec<(f64, f64)> {
        let all: Vec<(u64, f64)> = lines.iter().filter_map(value).collect();
        let (every, last) = (all.len().div_ceil(POINTS).max(1), all.len().saturating_sub(1));
        let kept = all.into_iter().enumerate().filter(|(at, _)| at % every == 0 || *at == last);
        kept.map(|(_, (step, value))| (step as f64, value)).collect()
    };
    let mut losses = vec![Series {
        name: "training".to_string(),
        points: train(|line| match line {
            Line::Train { step, loss, .. } => Some((*step, (*loss)?)),
            Line::Evaluation { .. } => None,
        }),
    }];
    let points = |score: &dyn Fn(&Scores) -> Option<f64>| -> Vec<(f64, f64)> {
        evaluations.iter().filter_map(|(step, scores)| Some((*step as f64, score(scores)?))).collect()
    };
    losses.push(Series { name: "held out".to_string(), points: points(&|scores| Some(scores.overall.nats_per_token)) });
    // Where the masks change, the paper saw the training loss jump.
    let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
    let events: Vec<Event> = config.mask.phases(&tokenizer, config.train.steps, config.seed)?[1..]
        .iter()
        .map(|phase| {
            let spans: Vec<String> = phase.spans.iter().map(u32::to_string).collect();
            Event { x: phase.first_step as f64, label: format!("spans {}", spans.join(" ")) }
        })
        .collect();
    let curves = |y_label: &str, series: Vec<Series>| Curves {
        x_label: "step".to_string(),
        y_label: y_label.to_string(),
        series,
        events: events.clone(),
        ..Curves::default()
    };
    let levels = dataset.baseline_losses().into_iter().map(|(name, y)| Level { name, y }).collect();
    let losses = Curves { levels, ..curves("nats a masked token", losses) };
    let mut sections = vec![Section::new("loss", "Loss", Body::Curves(losses)).with_note(
        "Training loss under the run's own masks; held-out loss under the frozen ones, and dotted what can be guessed there without a model.",
    )];
    if let Some((_, last)) = evaluations.last() {
        let series = last.by_mask.iter().map(|mask| Series {
            name: mask.mask.clone(),
            points: points(&|scores| {
                Some(scores.by_mask.iter().find(|one| one.mask == mask.mask)?.score.nats_per_token)
            }),
        });
        sections.push(Section::new(
            "held-out-curves",
            "Held-out loss by mask",
            Body::Curves(curves("nats a masked token", series.collect())),
        ));
    }
    let rate = train(|line| match line {
        Line::Train { step, mask_rate, .. } => Some((*step, 100.0 * (*mask_rate)?)),
        Line::Evaluation { .. } => None,
    });
    let rate = vec![Series { name: "measured".to_string(), points: rate }];
    sections.push(Section::new("mask-rate", "Masked tokens", Body::Curves(curves("% of the tokens", rate))));
    let speed = train(|line| match line {
        Line::Train { step, tokens_per_second, .. } => Some((*step, *tokens_per_second)),
        Line::Evaluation { .. } => None,
    });
    let speed = vec![Series { name: "training".to_string(), points: speed }];
    sections.push(Section::new("speed", "Speed", Body::Curves(curves("tokens a second", speed))));
    Ok(sections)
}
