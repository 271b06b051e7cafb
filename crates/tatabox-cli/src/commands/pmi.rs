//! `tatabox pmi`: scores of k-mers, the ranks of motifs among them, and how much two tables agree.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use tatabox_core::count::{self, KmerCounts, LONGEST, Strands, kmer};
use tatabox_core::genome::Contig;
use tatabox_core::io::input;
use tatabox_core::pmi::{self, PmiTable, Rule, Scorer, Threshold};

use super::count::{kmers, strands};
use crate::failure::Refusal;
use crate::settings::{Settings, check_one_on_stdout, check_output, names};
use crate::ui;

/// Rows that are printed of a table.
const SHOWN: usize = 10;
/// Rows that are printed of a motif.
const SHOWN_OF_MOTIF: usize = 20;

/// Score k-mers by pointwise mutual information, rank motifs among them, or compare two tables of scores
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// FASTA files (plain, gzip, bgzip; `-` is stdin), one .2bit file, or one table of counts (of `tatabox count` or Jellyfish)
    #[arg(value_name = "GENOME|COUNTS", required = true)]
    pub source: Vec<PathBuf>,
    #[command(flatten)]
    pub scoring: Scoring,
    /// The table to write: kmer, count, pmi, npmi, rank
    #[arg(short, long, value_name = "FILE", required = true)]
    pub output: Option<PathBuf>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What can be asked of scores.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    Rank(RankArgs),
    Compare(CompareArgs),
}

/// How k-mers are scored.
#[derive(Debug, clap::Args)]
pub struct Scoring {
    /// The length of the k-mers, 2 to 10 [default: 6]
    #[arg(short, value_name = "K", value_parser = length)]
    pub k: Option<usize>,
    /// How they are scored: eq1 (the paper's equation), genemask-release (its program), ai21 [default: eq1]
    #[arg(long, value_name = "SCORER", value_parser = scorer)]
    pub scorer: Option<Scorer>,
    /// k-mers seen fewer times have no rank: a count, or `quartile` for the first quartile of the counts [default: 101, or the quartile if that is less]
    #[arg(long, value_name = "C", value_parser = threshold)]
    pub min_count: Option<Threshold>,
    /// Which strands of a genome are counted: forward or both [default: forward]
    #[arg(long, value_name = "STRANDS", value_parser = strands)]
    pub strands: Option<Strands>,
}

/// Ranks of motifs, given as IUPAC consensus, weakly conserved letters in lower case
#[derive(Debug, clap::Args)]
pub struct RankArgs {
    /// A consensus: TATAAA, nGAGGAGGv
    #[arg(value_name = "MOTIF", required = true)]
    pub motifs: Vec<String>,
    /// A table of scores (of `tatabox pmi`), or of counts, or a genome
    #[arg(long, value_name = "FILE", required = true)]
    pub scores: Vec<PathBuf>,
    #[command(flatten)]
    pub scoring: Scoring,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// How much the ranks of two tables agree: their correlation, and how many of the best are the same
#[derive(Debug, clap::Args)]
pub struct CompareArgs {
    /// A table of scores
    #[arg(value_name = "SCORES")]
    pub first: PathBuf,
    /// Another
    #[arg(value_name = "SCORES")]
    pub second: PathBuf,
    /// How many of the best
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [20, 100, 1024], value_parser = clap::value_parser!(u32).range(1..))]
    pub best: Vec<u32>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Runs one of them.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<()> {
    match (&args.verb, &args.output) {
        (Some(Verb::Rank(args)), _) => rank(args, settings),
        (Some(Verb::Compare(args)), _) => compare(args),
        (None, Some(output)) => score(args, output, settings),
        (None, None) => Err(Refusal::new("no table to write", "give one: `-o pmi.tsv`").into()),
    }
}

fn score(args: &Args, output: &Path, settings: &Settings) -> anyhow::Result<()> {
    let Scoring { k, scorer, min_count, .. } = &args.scoring;
    let (k, scorer) = (k.unwrap_or(6), scorer.unwrap_or_default());
    check_output("-o", output, &args.source)?;
    check_one_on_stdout(output, args.json)?;
    let counts = counted(&args.source, k, &args.scoring, settings)?;
    let threshold = min_count.unwrap_or_default();
    let table = PmiTable::score(&counts, k, scorer, threshold).with_context(|| not_scored(k, &args.source))?;
    table.write(output).context("could not save the scores")?;
    let least = threshold.least(table.counts());
    let best = table.rows().iter().take(SHOWN);
    if args.json {
        let best: Vec<_> = best
            .map(|row| json!({"kmer": kmer::spell(row.kmer, k), "count": row.count, "pmi": row.pmi, "npmi": row.npmi, "rank": row.rank}))
            .collect();
        return ui::print_json(&json!({
            "output": output, "k": k, "scorer": scorer, "min_count": least,
            "ranked": table.rows().len(), "kmers": table.counts().len(), "best": best,
        }));
    }
    let rows: Vec<Vec<String>> = best
        .map(|row| {
            let word = kmer::spell(row.kmer, k);
            vec![
                word,
                ui::count(row.count),
                format!("{:.4}", row.pmi),
                format!("{:.4}", row.npmi),
                row.rank.to_string(),
            ]
        })
        .collect();
    let text = format!(
        "{}: {} of {} {k}-mers have a rank ({})\n\n{}",
        output.display(),
        ui::count(table.rows().len() as u64),
        ui::count(table.counts().len() as u64),
        rule(scorer, least),
        ui::table(&["best", "count", "pmi", "npmi", "rank"], &rows),
    );
    ui::print_about(output, text)
}

/// Which k-mers have a rank: `eq1; seen at least 12 times`.
fn rule(scorer: Scorer, least: u64) -> String {
    format!("{scorer}; seen at least {}", if least == 1 { "once".into() } else { ui::counted(least, "time") })
}

fn rank(args: &RankArgs, settings: &Settings) -> anyhow::Result<()> {
    let (table, scored) = scored(&args.scores, &args.scoring, settings)?;
    let found = args.motifs.iter().map(|motif| table.motif(motif)).collect::<tatabox_core::Result<Vec<_>>>()?;
    for motif in &found {
        for other in &motif.ties {
            ui::say(format!("note: `{}`: `{other}` is as long as `{}`; rank it by itself", motif.motif, motif.core));
        }
        if 2 * motif.core.len() < table.k() {
            let bases = ui::counted(motif.core.len() as u64, "base");
            let words =
                format!("{bases} in {}-mers: the best that contain so little say more of the genome", table.k());
            ui::say(format!("note: `{}` is looked up as {words}", motif.motif));
        }
    }
    if args.json {
        return ui::print_json(&json!({
            "k": table.k(), "scorer": scored.map(|(scorer, _)| scorer), "min_count": scored.map(|(_, least)| least),
            "ranked": table.rows().len(), "motifs": found,
        }));
    }
    let (mut rows, mut left) = (Vec::new(), String::new());
    for motif in &found {
        let rule = match motif.rule {
            Rule::Windows => "window",
            Rule::Contained => "contains the core",
        };
        if motif.kmers.is_empty() {
            let missing = || "–".to_string();
            rows.push(vec![
                motif.motif.clone(),
                motif.core.clone(),
                missing(),
                missing(),
                missing(),
                missing(),
                rule.into(),
            ]);
        }
        if let more @ 1.. = motif.kmers.len().saturating_sub(SHOWN_OF_MOTIF) {
            left += &format!("… and {more} more of {} (--json has all)\n", motif.motif);
        }
        for (at, of) in motif.kmers.iter().take(SHOWN_OF_MOTIF).enumerate() {
            let first = |text: &str| if at == 0 { text.to_string() } else { String::new() };
            let rank = of.rank.map_or("–".to_string(), |rank| ui::count(u64::from(rank)));
            rows.push(vec![
                first(&motif.motif),
                first(&motif.core),
                of.kmer.clone(),
                rank,
                ui::count(of.count),
                of.npmi.map_or("–".to_string(), |npmi| format!("{npmi:.4}")),
                rule.into(),
            ]);
        }
    }
    ui::print(format!(
        "ranks among {} {}-mers{}, 1 is the best\n\n{}{left}",
        ui::count(table.rows().len() as u64),
        table.k(),
        scored.map_or(String::new(), |(scorer, least)| format!(" ({})", self::rule(scorer, least))),
        ui::table(&["motif", "core", "k-mer", "rank", "count", "npmi", "rule"], &rows)
    ))
}

fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let read =
        |path: &Path| PmiTable::read(path).with_context(|| format!("could not read the scores `{}`", path.display()));
    let best: Vec<usize> = args.best.iter().map(|&best| best as usize).collect();
    let found = read(&args.first)?
        .compare(&read(&args.second)?, &best)
        .with_context(|| format!("could not compare `{}` with `{}`", args.first.display(), args.second.display()))?;
    if args.json {
        return ui::print_json(&found);
    }
    let mut pairs = vec![
        ("k-mers ranked in both", ui::count(found.kmers as u64)),
        ("in the first only", ui::count(found.only[0] as u64)),
        ("in the second only", ui::count(found.only[1] as u64)),
        ("rank correlation", format!("{:.4} (Spearman)", found.spearman)),
        ("largest difference of pmi", format!("{:.5}", found.largest_pmi_difference)),
    ];
    let labels: Vec<String> = found.best.iter().map(|of| format!("of the best {}", ui::count(of.of as u64))).collect();
    for (label, of) in labels.iter().zip(&found.best) {
        pairs.push((
            label,
            format!("{} are the same ({:.0} %)", ui::count(of.shared as u64), 100.0 * of.shared as f64 / of.of as f64),
        ));
    }
    ui::print(ui::pairs(&pairs))
}

/// The scores of a table that is there, of a table of counts, or of a genome; of the two latter, with the scorer and the threshold.
fn scored(
    sources: &[PathBuf],
    scoring: &Scoring,
    settings: &Settings,
) -> anyhow::Result<(PmiTable, Option<(Scorer, u64)>)> {
    if let Some(path) = table_among(sources, pmi::is_table)? {
        let Scoring { k, scorer, min_count, strands } = scoring;
        let given = [
            ("-k", k.is_some()),
            ("--scorer", scorer.is_some()),
            ("--min-count", min_count.is_some()),
            ("--strands", strands.is_some()),
        ];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            let what = format!("`{option}` changes nothing: `{}` holds scores already", path.display());
            return Err(Refusal::new(what, "leave it away, or give a table of counts or a genome").into());
        }
        let table = PmiTable::read(path).with_context(|| format!("could not read the scores `{}`", path.display()))?;
        return Ok((table, None));
    }
    let (k, scorer) = (scoring.k.unwrap_or(6), scoring.scorer.unwrap_or_default());
    let threshold = scoring.min_count.unwrap_or_default();
    let counts = counted(sources, k, scoring, settings)?;
    let table = PmiTable::score(&counts, k, scorer, threshold).with_context(|| not_scored(k, sources))?;
    let least = threshold.least(table.counts());
    Ok((table, Some((scorer, least))))
}

/// What was tried, and as what the sources were read: a genome of tiny contigs may look like a dump of counts.
fn not_scored(k: usize, sources: &[PathBuf]) -> String {
    let counts = sources.iter().any(|path| count::is_table(path).unwrap_or(false));
    format!(
        "could not score the {k}-mers of {}{}",
        names(sources),
        if counts { ", read as a table of counts" } else { "" }
    )
}

/// The counts of a table, or of a genome for all lengths up to k.
fn counted(sources: &[PathBuf], k: usize, scoring: &Scoring, settings: &Settings) -> anyhow::Result<KmerCounts> {
    if let Some(path) = table_among(sources, pmi::is_table)? {
        let what = format!("`{}` holds scores already", path.display());
        return Err(Refusal::new(what, "give a table of counts or a genome").into());
    }
    if let Some(path) = table_among(sources, count::is_table)? {
        if scoring.strands.is_some() {
            let what = format!("`--strands` changes nothing: `{}` was counted already", path.display());
            return Err(
                Refusal::new(what, "count again: `tatabox count genome.fa --strands both -o counts.tsv`").into()
            );
        }
        let counts =
            KmerCounts::read(path).with_context(|| format!("could not read the counts `{}`", path.display()))?;
        if let Some(doubt) = counts.doubt() {
            ui::say(format!("note: `{}`: {doubt}", path.display()));
        }
        return Ok(counts);
    }
    let genome = settings.genome(sources)?;
    // A pipe is not looked into beforehand.
    let dumped =
        |contig: &Contig| contig.bases <= LONGEST as u64 && contig.name.bytes().all(|byte| byte.is_ascii_digit());
    if sources.iter().any(|path| input::is_pipe(path)) && genome.contigs().iter().all(dumped) {
        let what = format!("{} seems to be Jellyfish's dump: its records are numbers over a few bases", names(sources));
        return Err(Refusal::new(what, "give a table of counts as a file").into());
    }
    kmers(&genome, 1..=k, scoring.strands.unwrap_or_default())
}

/// The one source that is a table; a table among other files is refused.
fn table_among(
    sources: &[PathBuf],
    is_table: impl Fn(&Path) -> tatabox_core::Result<bool>,
) -> anyhow::Result<Option<&Path>> {
    for path in sources {
        if is_table(path).with_context(|| format!("could not read `{}`", path.display()))? {
            if sources.len() > 1 {
                let what = format!("`{}` is a table, and there are other files beside it", path.display());
                return Err(Refusal::new(what, "give one table, or the files of one genome").into());
            }
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn length(text: &str) -> Result<usize, String> {
    let lengths = pmi::LENGTHS;
    text.parse()
        .ok()
        .filter(|k| lengths.contains(k))
        .ok_or_else(|| format!("expected {} to {}", lengths.start(), lengths.end()))
}

fn scorer(text: &str) -> Result<Scorer, String> {
    text.parse().map_err(|_| format!("expected one of {}", Scorer::NAMES.join(", ")))
}

fn threshold(text: &str) -> Result<Threshold, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(Threshold::Count(count)),
        _ if text == "quartile" => Ok(Threshold::FirstQuartile),
        _ => Err("expected a count of 1 or more, or `quartile`".into()),
    }
}
