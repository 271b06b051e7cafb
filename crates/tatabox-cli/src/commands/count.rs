//! `tatabox count`: how often every k-mer of a genome occurs.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use tatabox_core::count::{self, KmerCounts, LONGEST, Strands};
use tatabox_core::genome::Genome;
use tatabox_core::pmi;

use crate::failure::Refusal;
use crate::settings::{Settings, check_one_on_stdout, check_output, names};
use crate::ui;

/// Count all k-mers of a genome, never across N or the end of a contig
#[derive(Debug, clap::Args)]
pub struct Args {
    /// FASTA files (plain, gzip, bgzip; `-` is stdin), or one .2bit file
    #[arg(value_name = "GENOME", required = true)]
    pub genome: Vec<PathBuf>,
    /// The length of the k-mers, or the shortest and the longest: 6, 1..10
    #[arg(short, value_name = "K", default_value = "1..10", value_parser = lengths)]
    pub k: RangeInclusive<usize>,
    /// Which strands are counted; `both` gives a k-mer and its reverse complement the sum of their counts
    #[arg(long, value_name = "STRANDS", default_value_t = Strands::default(), value_parser = strands)]
    pub strands: Strands,
    /// The table to write: `kmer<TAB>count`, every k-mer of every length (`-` is stdout)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Counts, writes and says so.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<()> {
    check_output("-o", &args.output, &args.genome)?;
    check_one_on_stdout(&args.output, args.json)?;
    args.genome.iter().try_for_each(|path| check_not_counted(path))?;
    let genome = settings.genome(&args.genome)?;
    let counts = kmers(&genome, args.k.clone(), args.strands)?;
    counts.write(&args.output).context("could not save the counts")?;
    let total = |k: usize| counts.of(k).unwrap_or_default().iter().sum::<u64>();
    let seen = |k: usize| counts.of(k).unwrap_or_default().iter().filter(|&&count| count > 0).count() as u64;
    if let Some(k) = counts.lengths().find(|&k| seen(k) == 0) {
        ui::say(format!("note: no {k}-mer occurs in {}: all its counts are 0", names(&args.genome)));
    }
    if args.json {
        let lengths: Vec<_> =
            counts.lengths().map(|k| json!({"k": k, "kmers": seen(k), "counted": total(k)})).collect();
        return ui::print_json(&json!({
            "output": args.output, "bases": genome.card().known(), "strands": args.strands, "lengths": lengths,
        }));
    }
    let rows: Vec<Vec<String>> = (counts.lengths())
        .map(|k| vec![k.to_string(), ui::count(seen(k)), ui::count(1 << (2 * k)), ui::count(total(k))])
        .collect();
    let strands = if args.strands == Strands::Both { "both strands" } else { "the forward strand" };
    let text = format!(
        "{}: {} bases, {strands}\n\n{}",
        args.output.display(),
        ui::count(genome.card().known()),
        ui::table(&["k", "k-mers seen", "of", "counted"], &rows),
    );
    ui::print_about(&args.output, text)
}

/// Refuses tables, which a reader of genomes would only call binary data. What cannot be read is the genome's matter.
fn check_not_counted(path: &Path) -> Result<(), Refusal> {
    let shown = path.display();
    if pmi::is_table(path).unwrap_or(false) {
        let what = format!("`{shown}` is a table of scores, and a genome is counted");
        let hint = format!("give a genome, or look motifs up: `tatabox pmi rank TATAAA --scores {shown}`");
        return Err(Refusal::new(what, hint));
    }
    if count::is_table(path).unwrap_or(false) && KmerCounts::read(path).is_ok() {
        let what = format!("`{shown}` is a table of counts already");
        return Err(Refusal::new(what, format!("give a genome, or score it: `tatabox pmi {shown} -o pmi.tsv`")));
    }
    Ok(())
}

/// Counts with a bar.
pub fn kmers(genome: &Genome, lengths: RangeInclusive<usize>, strands: Strands) -> anyhow::Result<KmerCounts> {
    let bar = ui::bar(genome.card().known(), "counting");
    let counts = count::count(genome, &[], lengths, strands, &|bases| bar.inc(bases));
    bar.finish_and_clear();
    Ok(counts?)
}

/// Reads `6` or `1..10`, both ends included.
fn lengths(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str| text.trim_start_matches('=').parse::<usize>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if 1 <= first && first <= last && last <= LONGEST => Ok(first..=last),
        _ => Err(format!("expected a length of 1 to {LONGEST}, or two of them as in 1..{LONGEST}, the shorter first")),
    }
}

/// Reads `forward` or `both`.
pub fn strands(text: &str) -> Result<Strands, String> {
    text.parse().map_err(|_| format!("expected {}", Strands::NAMES.join(" or ")))
}
