//! A comparison as tables, curves and a page.

use std::fmt::Write as _;

use tatabox_core::baseline::BaselineScores;
use tatabox_core::report::{Body, Cell, Curves, Fact, Level, Repeat, Report, Section, Series, Table};
use tatabox_core::score::Score;
use tatabox_core::stats::{Interval, Summary};

use super::analysis::{ALL, ArmResult, Comparison, Difference, FLIPS};
use super::design::shown;

/// What is the same for all runs, for the top of the page.
pub(super) type Facts = Vec<Fact>;

/// The report without its curves: the tables of `table.txt` and `table.md`.
pub(super) fn tables(comparison: &Comparison, facts: &Facts) -> Report {
    report(comparison, facts, false)
}

/// The whole report.
pub(super) fn page(comparison: &Comparison, facts: &Facts) -> Report {
    report(comparison, facts, true)
}

fn report(comparison: &Comparison, facts: &Facts, with_curves: bool) -> Report {
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let seeds: Vec<String> = comparison.seeds.iter().map(u64::to_string).collect();
    let mut subtitle = format!("seeds {}", seeds.join(", "));
    if !comparison.seeds_left.is_empty() {
        let left: Vec<String> = comparison.seeds_left.iter().map(u64::to_string).collect();
        let _ = write!(subtitle, "; not finished yet: {}", left.join(", "));
    }
    let mut sections = vec![overall(comparison)];
    if !comparison.differences.is_empty() {
        sections.push(against(comparison));
    }
    if with_curves {
        sections.push(curve(comparison));
    }
    sections.push(by_mask(
        comparison,
        "nats",
        "Nats a masked token by frozen mask",
        4,
        |score| Some(score.nats_per_token),
        |arm| arm.scores.iter().map(|score| Some(score.nats_per_token)).collect(),
    ));
    sections.push(by_mask(
        comparison,
        "perplexity",
        "Perplexity by frozen mask",
        3,
        |score| Some(score.perplexity),
        |arm| arm.scores.iter().map(|score| Some(score.perplexity)).collect(),
    ));
    sections.push(by_mask(
        comparison,
        "bits",
        "Bits a hidden base by frozen mask",
        4,
        |score| score.bits_per_hidden_base,
        |arm| arm.scores.iter().map(|score| score.bits_per_hidden_base).collect(),
    ));
    if !comparison.differences.is_empty() {
        sections.push(differences_by_mask(comparison));
    }
    if with_curves {
        sections.extend(curves_by_mask(comparison));
    }
    if comparison.arms.iter().any(|arm| !arm.keys.is_empty()) {
        sections.push(keys(comparison));
    }
    sections.push(Section::new("facts", "The same for all", Body::Facts { facts: facts.clone() }));
    Report {
        title: format!(
            "Comparison of {} over {}",
            count(comparison.arms.len(), "arm"),
            count(comparison.seeds.len(), "seed")
        ),
        subtitle,
        sections,
    }
}

fn deviation(summary: &Summary, decimals: usize) -> Cell {
    summary.sd.map_or(Cell::Missing, |sd| Cell::number(sd, decimals))
}

fn overall(comparison: &Comparison) -> Section {
    let columns = ["", "nats a token", "sd", "perplexity", "sd", "bits a hidden base", "sd", "masked %"];
    let mut rows: Vec<Vec<Cell>> = comparison
        .arms
        .iter()
        .map(|arm| {
            let score = &arm.scores[0];
            let bits = score.bits_per_hidden_base.as_ref();
            vec![
                Cell::text(&arm.arm),
                Cell::number(score.nats_per_token.mean, 4),
                deviation(&score.nats_per_token, 4),
                Cell::number(score.perplexity.mean, 3),
                deviation(&score.perplexity, 3),
                bits.map_or(Cell::Missing, |bits| Cell::number(bits.mean, 4)),
                bits.map_or(Cell::Missing, |bits| deviation(bits, 4)),
                Cell::number(100.0 * arm.mask_rate.mean, 2),
            ]
        })
        .collect();
    for baseline in comparison.baselines.iter().rev() {
        let score = &baseline.scores.overall;
        let number = |value: Option<f64>, decimals| value.map_or(Cell::Missing, |value| Cell::number(value, decimals));
        rows.push(vec![
            Cell::text(&baseline.name),
            Cell::number(score.nats_per_token, 4),
            Cell::Missing,
            Cell::number(score.perplexity, 3),
            Cell::Missing,
            number(score.bits_per_hidden_base, 4),
            Cell::Missing,
            Cell::Missing,
        ]);
    }
    let note = "Mean and standard deviation over seeds; lower is better, and 2 bits is knowing only what can be copied from the neighbours. `masked %`: \
                the tokens that an arm's own masks hid in training, as measured; an arm that hides more learns from more answers a step.";
    Section::new(
        "all",
        "Held-out loss over all frozen masks",
        Body::Table(Table { columns: columns.map(String::from).to_vec(), rows }),
    )
    .with_note(&format!("{note}{}", untrained(comparison)))
}

/// A warning of arms that are behind what needs no model; empty where none is. What such arms differ in is how soon they learn to copy, and with more
/// steps their order may turn (docs/results/masks.md).
fn untrained(comparison: &Comparison) -> String {
    let nats = |baseline: &BaselineScores| baseline.scores.overall.nats_per_token;
    let weakest = comparison.baselines.iter().max_by(|one, other| nats(one).total_cmp(&nats(other)));
    let Some(weakest) = weakest else { return String::new() };
    let behind = comparison.arms.iter().filter(|arm| arm.scores[0].nats_per_token.mean > nats(weakest));
    let behind: Vec<&str> = behind.map(|arm| arm.arm.as_str()).collect();
    if behind.is_empty() {
        return String::new();
    }
    format!(
        " Trained too briefly: {} of {} arms are above `{}` ({:.4}), which needs no model ({}). Their loss says how far they are with learning to copy, not what \
         they know, and more steps may turn their order.",
        behind.len(),
        comparison.arms.len(),
        weakest.name,
        nats(weakest),
        behind.join(", ")
    )
}

fn ends(interval: Option<Interval>) -> [Cell; 2] {
    interval.map_or([Cell::Missing, Cell::Missing], |interval| {
        [Cell::signed(interval.low, 4), Cell::signed(interval.high, 4)]
    })
}

fn against(comparison: &Comparison) -> Section {
    let columns =
        ["", "difference", "seeds: from", "to", "t test p", "flips p", "windows: from", "to", "flips p", "Holm p"];
    let rows = comparison.differences.iter().filter(|one| one.mask == ALL).map(|one| {
        let mut row = vec![Cell::text(&one.arm), Cell::signed(one.nats_per_token, 4)];
        row.extend(ends(one.seeds.interval));
        row.push(one.seeds.student_p.map_or(Cell::Missing, |p| Cell::number(p, 4)));
        row.push(Cell::number(one.seeds.sign_flip_p, 4));
        row.extend(ends(one.windows.interval));
        row.extend([Cell::number(one.windows.p, 4), Cell::number(one.windows.p_holm, 4)]);
        row
    });
    let rows = rows.collect();
    let least = 2f64.powi(1 - comparison.seeds.len() as i32).min(1.0);
    let note = format!(
        "Nats a token less those of {}, over all frozen masks: below 0 is better. Intervals hold 95 %. Seeds: would other trainings differ in the same \
         direction on the same masks? Student's paired interval and test, and the sign flip test, which {} cannot bring below {least}. Windows: would \
         these trained models differ in the same direction on other DNA of this genome? A bootstrap, and {FLIPS} sign flips, over {} groups of \
         held-out windows ({} windows; those that share bases are one group), the loss of each averaged over seeds; Holm's correction over the arms. A difference that holds over windows and \
         not over seeds may be chance of the training.",
        comparison.against,
        if comparison.seeds.len() == 1 { "one seed".to_string() } else { format!("{} seeds", comparison.seeds.len()) },
        comparison.groups,
        comparison.windows,
    );
    let table = Table { columns: columns.map(String::from).to_vec(), rows };
    Section::new("against", &format!("Against {}", comparison.against), Body::Table(table)).with_note(&note)
}

fn by_mask(
    comparison: &Comparison,
    id: &str,
    title: &str,
    decimals: usize,
    of_score: fn(&Score) -> Option<f64>,
    of_arm: fn(&ArmResult) -> Vec<Option<Summary>>,
) -> Section {
    let columns = std::iter::once(String::new()).chain(comparison.masks.iter().cloned()).collect();
    let cell = |summary: Option<Summary>| summary.map_or(Cell::Missing, |summary| Cell::mean_sd(&summary, decimals));
    let mut rows: Vec<Vec<Cell>> = comparison
        .arms
        .iter()
        .map(|arm| std::iter::once(Cell::text(&arm.arm)).chain(of_arm(arm).into_iter().map(cell)).collect())
        .collect();
    for baseline in comparison.baselines.iter().rev() {
        let number = |score: Option<&Score>| match score.and_then(of_score) {
            Some(value) => Cell::text(format!("{value:.decimals$}")),
            None => Cell::Missing,
        };
        let scores = comparison.masks.iter().map(|mask| number(baseline_score(baseline, mask)));
        rows.push(std::iter::once(Cell::text(&baseline.name)).chain(scores).collect());
    }
    Section::new(id, title, Body::Table(Table { columns, rows })).with_note("Mean ± standard deviation over seeds.")
}

fn baseline_score<'a>(baseline: &'a BaselineScores, mask: &str) -> Option<&'a Score> {
    if mask == ALL {
        return Some(&baseline.scores.overall);
    }
    baseline.scores.by_mask.iter().find(|one| one.mask == mask).map(|one| &one.score)
}

fn differences_by_mask(comparison: &Comparison) -> Section {
    let masks = &comparison.masks[1..];
    let columns = std::iter::once(String::new()).chain(masks.iter().cloned()).collect();
    let find = |arm: &str, mask: &str| comparison.differences.iter().find(|one| one.arm == arm && one.mask == mask);
    let cell = |one: Option<&Difference>| {
        one.map_or(Cell::Missing, |one| {
            let difference = Cell::signed(one.nats_per_token, 4);
            Cell::text(format!("{} (p {:.4})", difference.shown(), one.windows.p_holm))
        })
    };
    let rows = comparison.arms.iter().filter(|arm| arm.arm != comparison.against).map(|arm| {
        std::iter::once(Cell::text(&arm.arm)).chain(masks.iter().map(|mask| cell(find(&arm.arm, mask)))).collect()
    });
    let table = Table { columns, rows: rows.collect() };
    Section::new("against-by-mask", &format!("Against {} by frozen mask", comparison.against), Body::Table(table)).with_note(
        "Nats a token, below 0 is better; p of the sign flip test over windows after Holm's correction over all arms and masks of this table.",
    )
}

fn keys(comparison: &Comparison) -> Section {
    let names: Vec<&String> = comparison.arms[0].keys.keys().collect();
    let columns = std::iter::once(String::new()).chain(names.iter().map(|name| (*name).clone())).collect();
    let rows = comparison.arms.iter().map(|arm| {
        let values = names.iter().map(|name| Cell::text(arm.keys.get(*name).map_or("–".to_string(), shown)));
        std::iter::once(Cell::text(&arm.arm)).chain(values).collect()
    });
    let table = Table { columns, rows: rows.collect() };
    Section::new("arms", "In what the arms differ", Body::Table(table))
        .with_note("All other keys of the recipe are the same.")
}

/// Mean points over runs, at the steps that all of them measured.
fn mean_curve(arm: &ArmResult, value: impl Fn(&super::analysis::Point) -> f64) -> Vec<(f64, f64)> {
    let Some(first) = arm.runs.first() else { return Vec::new() };
    let at = |step: u64| -> Option<f64> {
        let values = arm.runs.iter().map(|run| run.curve.iter().find(|point| point.step == step).map(&value));
        let values: Vec<f64> = values.collect::<Option<_>>()?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    };
    first.curve.iter().filter_map(|point| Some((point.step as f64, at(point.step)?))).collect()
}

/// What is had without a model under this frozen mask.
fn levels(comparison: &Comparison, mask: &str) -> Vec<Level> {
    let scored = comparison.baselines.iter().filter_map(|baseline| Some((baseline, baseline_score(baseline, mask)?)));
    scored.map(|(baseline, score)| Level { name: baseline.name.clone(), y: score.nats_per_token }).collect()
}

fn curve(comparison: &Comparison) -> Section {
    let series = comparison
        .arms
        .iter()
        .map(|arm| Series { name: arm.arm.clone(), points: mean_curve(arm, |point| point.nats_per_token) });
    let runs = comparison.arms.iter().enumerate().flat_map(|(index, arm)| arm.runs.iter().map(move |run| (index, run)));
    let repeats = runs.map(|(series, run)| Repeat {
        series,
        points: run.curve.iter().map(|point| (point.step as f64, point.nats_per_token)).collect(),
    });
    let curves = Curves {
        x_label: "step".to_string(),
        y_label: "held-out nats a masked token, all frozen masks".to_string(),
        series: series.collect(),
        repeats: if comparison.seeds.len() > 1 { repeats.collect() } else { Vec::new() },
        levels: levels(comparison, ALL),
        ..Curves::default()
    };
    Section::new("curves", "Held-out loss by step", Body::Curves(curves))
        .with_note("Thick: the mean over seeds; thin: the runs of single seeds; dotted: what can be guessed without a model. All on the same frozen masks.")
}

fn curves_by_mask(comparison: &Comparison) -> Vec<Section> {
    let section = |(index, mask): (usize, &String)| {
        let series = comparison.arms.iter().map(|arm| Series {
            name: arm.arm.clone(),
            points: mean_curve(arm, |point| point.by_mask.get(index).copied().unwrap_or(f64::NAN)),
        });
        let curves = Curves {
            x_label: "step".to_string(),
            y_label: "held-out nats a masked token, mean over seeds".to_string(),
            series: series.collect(),
            levels: levels(comparison, mask),
            ..Curves::default()
        };
        Section::new(&format!("curves-{mask}"), &format!("Held-out loss by step: {mask}"), Body::Curves(curves))
    };
    comparison.masks[1..].iter().enumerate().map(section).collect()
}

/// One line an arm (or baseline) and frozen mask, with everything that the tables say. No name holds a comma or a quote.
pub(super) fn csv(comparison: &Comparison) -> String {
    let mut text = String::from(
        "arm,mask,seeds,nats_per_token,nats_per_token_sd,perplexity,perplexity_sd,bits_per_hidden_base,bits_per_hidden_base_sd,mask_rate,\
         difference,seeds_low,seeds_high,seeds_student_p,seeds_flip_p,windows_low,windows_high,windows_p,windows_p_holm,against\n",
    );
    let number =
        |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(String::new(), |value| value.to_string());
    let pair =
        |summary: Option<&Summary>| [number(summary.map(|one| one.mean)), number(summary.and_then(|one| one.sd))];
    let low = |interval: Option<Interval>| [number(interval.map(|one| one.low)), number(interval.map(|one| one.high))];
    let mut line = |cells: Vec<String>| {
        text.push_str(&cells.join(","));
        text.push('\n');
    };
    for arm in &comparison.arms {
        for score in &arm.scores {
            let mut cells = vec![arm.arm.clone(), score.mask.clone(), score.nats_per_token.n.to_string()];
            cells.extend(pair(Some(&score.nats_per_token)));
            cells.extend(pair(Some(&score.perplexity)));
            cells.extend(pair(score.bits_per_hidden_base.as_ref()));
            cells.push(number(Some(arm.mask_rate.mean)));
            match comparison.differences.iter().find(|one| one.arm == arm.arm && one.mask == score.mask) {
                Some(one) => {
                    cells.push(number(Some(one.nats_per_token)));
                    cells.extend(low(one.seeds.interval));
                    cells.extend([number(one.seeds.student_p), number(Some(one.seeds.sign_flip_p))]);
                    cells.extend(low(one.windows.interval));
                    cells.extend([number(Some(one.windows.p)), number(Some(one.windows.p_holm))]);
                    cells.push(comparison.against.clone());
                }
                None => cells.extend(vec![String::new(); 10]),
            }
            line(cells);
        }
    }
    for baseline in &comparison.baselines {
        for mask in &comparison.masks {
            let Some(score) = baseline_score(baseline, mask) else { continue };
            let mut cells = vec![baseline.name.clone(), mask.clone(), String::new()];
            for value in [Some(score.nats_per_token), Some(score.perplexity), score.bits_per_hidden_base] {
                cells.extend([number(value), String::new()]);
            }
            cells.extend(vec![String::new(); 11]);
            line(cells);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::analysis::analyse;
    use super::super::analysis::tests::{answered, frozen};
    use super::*;
    use tatabox_core::report::{Html, Markdown, Renderer, Text};

    fn comparison(seeds: &[u64]) -> Comparison {
        let frozen = frozen(30);
        let arms = answered(&frozen, &[("kmer-span", 3.0), ("token", 2.9)], seeds);
        let baseline = analyse(&frozen, answered(&frozen, &[("x", 3.5)], &[1]), &[1], &[], "x", Vec::new());
        let scores = baseline.arms[0].runs[0].scores.clone();
        let baselines = vec![BaselineScores { name: "uniform".to_string(), scores }];
        analyse(&frozen, arms, seeds, &[9], "kmer-span", baselines)
    }

    #[test]
    fn every_table_has_every_arm_and_every_baseline() {
        let facts = vec![Fact::new("Genome", "x.fa")];
        let comparison = comparison(&[1, 2, 3]);
        let text = Text.render(&tables(&comparison, &facts));
        assert!(text.starts_with("Comparison of 2 arms over 3 seeds\nseeds 1, 2, 3; not finished yet: 9\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("token ")).count(), 7, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("uniform ")).count(), 4, "{text}");
        assert!(text.contains("Against kmer-span") && text.contains("cannot bring below 0.25"), "{text}");
        assert!(!text.contains("Trained too briefly"), "both are below the baseline: {text}");
        let markdown = Markdown.render(&tables(&comparison, &facts));
        assert_eq!(markdown.lines().filter(|line| line.starts_with("| token |")).count(), 7, "{markdown}");
        let page = Html.render(&page(&comparison, &facts));
        // Six plots in two sizes; in the first, two runs of thin lines an arm.
        assert_eq!(page.matches("<svg role=\"img\"").count(), 12);
        assert_eq!(page.matches("opacity=\"0.45\"").count(), 2 * 6);
    }

    #[test]
    fn arms_that_are_behind_a_baseline_are_named() {
        let mut comparison = comparison(&[1, 2]);
        let loss = comparison.baselines[0].scores.overall.nats_per_token;
        comparison.arms[1].scores[0].nats_per_token.mean = loss + 0.5;
        let text = Text.render(&tables(&comparison, &Vec::new()));
        let warning =
            format!("Trained too briefly: 1 of 2 arms are above `uniform` ({loss:.4}), which needs no model (token).");
        assert!(text.contains(&warning), "{text}");
    }

    #[test]
    fn one_seed_has_no_spread_and_no_thin_lines() {
        let comparison = comparison(&[4]);
        let text = Text.render(&tables(&comparison, &Vec::new()));
        assert!(text.contains("over 1 seed\n") && text.contains("one seed cannot bring below 1"), "{text}");
        assert!(!text.contains('±') || text.contains("Mean ±"), "{text}");
        assert!(!Html.render(&page(&comparison, &Vec::new())).contains("opacity=\"0.45\""));
    }

    #[test]
    fn every_line_of_the_csv_has_every_column() {
        let text = csv(&comparison(&[1, 2]));
        let columns = text.lines().next().unwrap().split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == columns), "{text}");
        // Two arms and a baseline under six masks, and the header.
        assert_eq!(text.lines().count(), 3 * 6 + 1);
        let cell =
            |line: usize, column: usize| text.lines().nth(line).unwrap().split(',').nth(column).unwrap().to_string();
        assert_eq!(
            (cell(1, 0), cell(1, 1), cell(1, 2), cell(1, 10)),
            ("kmer-span".into(), "all".into(), "2".into(), String::new())
        );
        assert_eq!([cell(1, 19), cell(7, 19), cell(13, 19)], ["", "kmer-span", ""], "{text}");
        let difference: f64 = cell(7, 10).parse().unwrap();
        let nats = |line: usize| cell(line, 3).parse::<f64>().unwrap();
        assert!((difference - (nats(7) - nats(1))).abs() < 1e-12);
    }
}
