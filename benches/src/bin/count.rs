//! How fast all k-mers of a FASTA file are counted, as whole commands, against the dedicated counters Jellyfish and KMC.
//!
//! `cargo build --release --bin tatabox`, then `cargo run --release -p tatabox-benches --bin count -- --help` lists the options.
//!
//! The genomes (without any, simulated ones) are written into one plain FASTA file, again and again under other names until it has so many bases. Then, in turn for so many rounds:
//! `tatabox count -k K` with an empty cache (reads the FASTA and converts it), again from the cache, and the peers as `benches/peers/count.sh` calls them, each
//! with all threads, k = 6 and 10; `tatabox count -k 1..10` beside them. Counts must be the same, k-mer by k-mer, on one strand and canonical; else exit code 1.
//! `--json` prints one object: `bases`, `fasta_bytes`, `threads`, `rounds`, and `commands`, a list of `tool`, `k`, `seconds` (median), `least`, `most`, `seconds_of_rounds`,
//! and `ratio` (its median over that of `tatabox` with an empty cache, same k).

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};
use tatabox_benches::positive;
use tatabox_core::count::KmerCounts;
use tatabox_core::io::fasta::{Fasta, Piece};
use tatabox_core::io::input::Input;
use tatabox_core::simulate::{self, SimulateConfig};

/// Lengths at which the peers count.
const LENGTHS: [usize; 2] = [6, 10];
const PEERS: [&str; 2] = ["jellyfish", "kmc"];

/// All k-mers of a FASTA file, counted against Jellyfish and KMC.
#[derive(clap::Parser)]
struct Options {
    /// FASTA files; without one, 20 million bases are simulated
    genomes: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How large the counted file is at least, in millions of bases
    #[arg(long, default_value_t = 60, value_parser = positive)]
    megabases: usize,
    /// How often the programs take turns
    #[arg(long, default_value_t = 5, value_parser = positive)]
    rounds: usize,
    /// Threads of each program [default: one a core]
    #[arg(long, value_parser = positive)]
    threads: Option<usize>,
    /// The program that is measured [default: the one beside this]
    #[arg(long, value_name = "PROGRAM")]
    tatabox: Option<PathBuf>,
}

/// Writes the genomes one after the other, whole, until there are so many bases; gives how many.
#[expect(clippy::disallowed_methods, reason = "a temporary folder of this program alone")]
fn write_fasta(genomes: &[PathBuf], wanted: u64, path: &Path) -> Result<u64> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    let (mut bases, mut records) = (0, 0);
    while bases < wanted {
        for genome in genomes {
            let mut fasta = Fasta::new(Input::open(genome)?);
            while let Some(piece) = fasta.next_piece()? {
                match piece {
                    Piece::Header { name, .. } => {
                        records += 1;
                        writeln!(out, ">{name}.{records}")?;
                    }
                    Piece::Bases { text, .. } => {
                        bases += text.len() as u64;
                        out.write_all(text)?;
                        out.write_all(b"\n")?;
                    }
                }
            }
            if bases >= wanted {
                break;
            }
        }
    }
    out.flush()?;
    Ok(bases)
}

/// Runs a command to its end and gives the seconds.
fn timed(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("cannot start {command:?}"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(seconds)
}

/// What is measured: the commands over one file, in one folder.
struct Bench<'a> {
    options: &'a Options,
    threads: usize,
    tatabox: PathBuf,
    folder: &'a Path,
    fasta: PathBuf,
}

impl Bench<'_> {
    fn tatabox(&self, lengths: &str, strands: &str) -> Result<f64> {
        let mut command = Command::new(&self.tatabox);
        command.arg("count").arg(&self.fasta).args(["-k", lengths, "--strands", strands, "-o"]).arg(self.table());
        command.arg("--cache").arg(self.cache()).args(["--threads", &self.threads.to_string()]);
        timed(&mut command)
    }

    fn table(&self) -> PathBuf {
        self.folder.join("counts.tsv")
    }

    fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    fn forget(&self) -> Result<()> {
        if self.cache().exists() {
            std::fs::remove_dir_all(self.cache())?;
        }
        Ok(())
    }

    fn script(&self, tool: &str) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/count.sh"));
        command.arg(tool);
        command
    }

    fn peer(&self, tool: &str, k: usize, strands: &str) -> Result<f64> {
        let mut command = self.script(tool);
        command.args([k.to_string(), self.threads.to_string()]).arg(&self.fasta).arg(self.folder).arg(strands);
        timed(&mut command)
    }

    /// The counts that a peer wrote last.
    #[expect(clippy::disallowed_methods, reason = "a temporary folder of this program alone")]
    fn dumped(&self, tool: &str) -> Result<KmerCounts> {
        let path = self.folder.join("dump");
        let mut command = self.script(tool);
        let status = command.arg("dump").arg(self.folder).stdout(std::fs::File::create(&path)?).status()?;
        if !status.success() {
            bail!("{command:?} ended with {status}");
        }
        Ok(KmerCounts::read(&path)?)
    }

    /// Refuses counts that differ from a peer's.
    fn compare(&self) -> Result<()> {
        for (ours, theirs) in [("forward", "forward"), ("both", "canonical")] {
            for k in LENGTHS {
                self.tatabox(&k.to_string(), ours)?;
                let counts = KmerCounts::read(&self.table())?;
                for tool in PEERS {
                    self.peer(tool, k, theirs)?;
                    if self.dumped(tool)? != counts {
                        bail!("{tool} has other counts for k = {k}, {theirs}");
                    }
                }
            }
        }
        Ok(())
    }
}

/// The measurements of one command.
struct Row {
    tool: String,
    k: String,
    seconds: Vec<f64>,
}

impl Row {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn median(&self) -> f64 {
        self.sorted()[self.seconds.len() / 2]
    }
}

fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |tool: &str, k: &str, seconds: f64| match rows.iter_mut().find(|row| row.tool == tool && row.k == k) {
        Some(row) => row.seconds.push(seconds),
        None => rows.push(Row { tool: tool.into(), k: k.into(), seconds: vec![seconds] }),
    };
    for _ in 0..bench.options.rounds {
        for k in ["6", "10", "1..10"] {
            bench.forget()?;
            add("tatabox", k, bench.tatabox(k, "forward")?);
            add("tatabox, cached", k, bench.tatabox(k, "forward")?);
        }
        for k in LENGTHS {
            for tool in PEERS {
                add(tool, &k.to_string(), bench.peer(tool, k, "forward")?);
            }
        }
    }
    Ok(rows)
}

fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    let threads = options.threads.unwrap_or(std::thread::available_parallelism()?.get());
    let tatabox = options.tatabox.clone().unwrap_or(std::env::current_exe()?.with_file_name("tatabox"));
    if !tatabox.is_file() {
        bail!("`{}` is not there: cargo build --release --bin tatabox", tatabox.display());
    }
    let folder = tempfile::tempdir()?;
    if options.genomes.is_empty() {
        let simulated =
            simulate::simulate(&SimulateConfig { bases: 20_000_000, seed: 1, ..SimulateConfig::default() })?;
        simulate::write(&simulated, &folder.path().join("simulated"))?;
        options.genomes = vec![folder.path().join("simulated/genome.fa")];
    }
    let fasta = folder.path().join("all.fa");
    let bases = write_fasta(&options.genomes, options.megabases as u64 * 1_000_000, &fasta)?;
    let fasta_bytes = std::fs::metadata(&fasta)?.len();
    let bench = Bench { options: &options, threads, tatabox, folder: folder.path(), fasta };
    // Also warms the page cache.
    bench.compare()?;
    let rows = measure(&bench)?;

    let ours = |k: &str| rows.iter().find(|row| row.tool == "tatabox" && row.k == k).map_or(f64::NAN, Row::median);
    if options.json {
        let commands: Vec<Value> = rows
            .iter()
            .map(|row| {
                let sorted = row.sorted();
                json!({
                    "tool": row.tool, "k": row.k, "seconds": row.median(), "least": sorted[0], "most": sorted[sorted.len() - 1],
                    "seconds_of_rounds": row.seconds, "ratio": row.median() / ours(&row.k),
                })
            })
            .collect();
        println!(
            "{}",
            json!({"bases": bases, "fasta_bytes": fasta_bytes, "threads": threads, "rounds": options.rounds, "commands": commands})
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{bases} bases, {fasta_bytes} bytes of FASTA, {} threads, {} rounds; the counts are the same",
        threads, options.rounds
    );
    println!("{:<18} {:>6} {:>10} {:>10} {:>10} {:>8}", "", "k", "median s", "least s", "most s", "ratio");
    for row in &rows {
        let sorted = row.sorted();
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        println!(
            "{:<18} {:>6} {:>10.3} {least:>10.3} {most:>10.3} {:>7.2}x",
            row.tool,
            row.k,
            row.median(),
            row.median() / ours(&row.k)
        );
    }
    Ok(ExitCode::SUCCESS)
}
