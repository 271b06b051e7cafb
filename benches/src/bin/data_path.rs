//! The data path on one core: windows of a genome sampled, tokenised, masked and corrupted, in tokens a second, against the way that DNABERT's scripts do it
//! (k-mer text, dictionary look-up, Python sets over spans: `benches/peers/data_path.py`, standard library only).
//!
//! `cargo run --release -p tatabox-benches --bin data_path -- --help` lists the options.
//!
//! Writes a random genome as FASTA into a temporary folder; both sides read that file, outside the clock. Rounds alternate, so that both sides see the same
//! machine. One thread each; half of the windows have 510 tokens, the other half 5 to 510; `kmer-span` with DNABERT's rate; special tokens are not counted.
//! `--json` prints one object: `tokens_per_second` and `peer_tokens_per_second` (medians of the rounds), `ratio` and `rounds` (its values round by round,
//! smallest first in `ratio_min`), `parts_ns_per_token` (what each of our stages adds) and `peer_parts_ns_per_token`.
//!
//! Then every kind of masks by itself: nanoseconds a token to select and to corrupt, on tokens that are there already, and that as a share of a training step of
//! `--step-rate` tokens a second (3,500 is what bert-mini does on one core here), in `masks`: a list of `name`, `ns_per_token` and
//! `share_of_step`.

use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};
use tatabox_benches::positive;
use tatabox_core::corpus::{Holdout, Part, Sampler, SamplerConfig, Sampling};
use tatabox_core::count::{LONGEST, Strands, count};
use tatabox_core::genome::Genome;
use tatabox_core::mask::{
    Corruption, CorruptionUnit, Learned, MaskConfig, MaskScores, MaskStrategy, Masked, Selection, Strategy, corrupt,
};
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig, Tokens};

const FULL_TOKENS: u64 = 510;
const MIN_TOKENS: u64 = 5;

/// The data path on one core against DNABERT's scripts.
#[derive(clap::Parser)]
struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Bases of the random genome
    #[arg(long, default_value_t = 8_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    bases: u64,
    /// Seconds a measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often the two sides take turns
    #[arg(long, default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// Bases in a token
    #[arg(long, default_value_t = 6)]
    k: usize,
    /// The peer's interpreter
    #[arg(long, default_value = "python3")]
    python: String,
    /// Tokens a second of a training step, which the masks are held against
    #[arg(long, default_value_t = 3_500.0)]
    step_rate: f64,
}

/// How far down the path a pass goes.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    Sample,
    Tokenise,
    Select,
    Corrupt,
}

/// What the path needs; buffers are kept, as a run keeps them.
struct DataPath {
    sampler: Sampler,
    tokenizer: Tokenizer,
    strategy: Box<dyn MaskStrategy>,
    corruption: Corruption,
}

impl DataPath {
    fn new(genome: &Genome, k: usize) -> Result<Self> {
        let tokenizer = Tokenizer::new(TokenizerConfig { k, ..TokenizerConfig::default() })?;
        let config = SamplerConfig {
            full_tokens: FULL_TOKENS,
            min_tokens: MIN_TOKENS,
            k: k as u64,
            stride: 1,
            sampling: Sampling::Random,
            both_strands: true,
            repeat_weight: 1.0,
            holdout: Holdout::None,
        };
        let sampler = Sampler::new(genome, config, Part::Train)?;
        let strategy = MaskConfig::default().build(&tokenizer, 1_000, 0, None)?;
        let corruption = Corruption::new(&tokenizer, CorruptionUnit::Token, false);
        Ok(Self { sampler, tokenizer, strategy, corruption })
    }

    /// Runs for about so many seconds; the tokens made and the seconds taken.
    fn run(&self, stage: Stage, seconds: f64) -> (u64, f64) {
        let (mut codes, mut tokens) = (Vec::new(), Tokens::default());
        let (mut selection, mut masked) = (Selection::default(), Masked::default());
        let (mut made, mut step) = (0u64, 0);
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < seconds {
            step += 1;
            for index in 0..512 {
                let window = self.sampler.window(1, step, index);
                self.sampler.read(&window, &mut codes);
                made += self.tokenizer.tokens_of(codes.len()) as u64;
                black_box(&codes);
                if stage >= Stage::Tokenise {
                    self.tokenizer.encode(&codes, &mut tokens);
                    black_box(&tokens);
                }
                if stage >= Stage::Select {
                    let mut rng = SeededRng::new(1, Purpose::Select, step, index);
                    self.strategy.select_into(&tokens, step, &mut rng, &mut selection);
                    black_box(&selection);
                }
                if stage >= Stage::Corrupt {
                    let mut rng = SeededRng::new(1, Purpose::Corrupt, step, index);
                    corrupt(&tokens, &selection, &self.corruption, &mut rng, &mut masked);
                    black_box(&masked);
                }
            }
        }
        (made, start.elapsed().as_secs_f64())
    }

    /// Nanoseconds a token that masks of this kind take, once they are built.
    fn masking(&self, genome: &Genome, strategy: Strategy, seconds: f64) -> Result<f64> {
        let config = MaskConfig { strategy, ..MaskConfig::default() };
        let scores = match MaskScores::lengths(strategy, LONGEST) {
            Some(lengths) => {
                let counts = count(genome, &[], lengths, Strands::Both, &|_| ())?;
                Some(MaskScores::of_counts(&config, &counts, self.tokenizer.k(), 0)?)
            }
            None => None,
        };
        let learned = scores.as_ref().map(|scores| Learned { scores, sample: &[] });
        let strategy = config.build(&self.tokenizer, 1_000, 0, learned)?;
        let mut codes = Vec::new();
        let windows: Vec<Tokens> = (0..512)
            .map(|index| {
                let mut tokens = Tokens::default();
                self.sampler.read(&self.sampler.window(1, 0, index), &mut codes);
                self.tokenizer.encode(&codes, &mut tokens);
                tokens
            })
            .collect();
        let tokens: usize = windows.iter().map(|tokens| tokens.ids.len() - 2).sum();
        let (mut selection, mut masked) = (Selection::default(), Masked::default());
        let (mut step, start) = (0, Instant::now());
        while start.elapsed().as_secs_f64() < seconds {
            step += 1;
            for (index, tokens) in (0..).zip(&windows) {
                let mut rng = SeededRng::new(1, Purpose::Select, step, index);
                strategy.select_into(tokens, 1_000, &mut rng, &mut selection);
                let mut rng = SeededRng::new(1, Purpose::Corrupt, step, index);
                corrupt(tokens, &selection, &self.corruption, &mut rng, &mut masked);
                black_box(&masked);
            }
        }
        Ok(1e9 * start.elapsed().as_secs_f64() / (step as f64 * tokens as f64))
    }
}

/// A contig of random bases, 60 a line.
#[expect(clippy::disallowed_methods, reason = "a temporary folder of this program alone")]
fn write_fasta(path: &Path, bases: u64) -> Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    writeln!(out, ">random")?;
    let mut rng = SeededRng::new(1, Purpose::Simulate, 0, 0);
    for start in (0..bases).step_by(60) {
        let line: Vec<u8> = (start..bases.min(start + 60)).map(|_| b"ACGT"[rng.below(4) as usize]).collect();
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

fn peer(options: &Options, script: &Path, fasta: &Path) -> Result<Value> {
    let output = Command::new(&options.python)
        .arg(script)
        .arg(fasta)
        .args(["--k", &options.k.to_string(), "--seconds", &options.seconds.to_string()])
        .args(["--full", &FULL_TOKENS.to_string(), "--shortest", &MIN_TOKENS.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", options.python))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", script.display(), output.status);
    }
    serde_json::from_slice(&output.stdout).context("the peer's answer is not JSON")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let fasta = folder.path().join("random.fa");
    write_fasta(&fasta, options.bases)?;
    let genome = Genome::open(std::slice::from_ref(&fasta), &folder.path().join("cache"))?;
    let path = DataPath::new(&genome, options.k)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/data_path.py");

    let rate = |(tokens, seconds): (u64, f64)| tokens as f64 / seconds;
    path.run(Stage::Corrupt, 0.2); // warm
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut last_peer = Value::Null;
    for _ in 0..options.rounds {
        let our_rate = rate(path.run(Stage::Corrupt, options.seconds));
        last_peer = peer(&options, &script, &fasta)?;
        let peer_rate = last_peer["tokens_per_second"].as_f64().context("the peer gave no `tokens_per_second`")?;
        ours.push(our_rate);
        theirs.push(peer_rate);
        ratios.push(our_rate / peer_rate);
    }
    let stages = [
        ("sample", Stage::Sample),
        ("tokenise", Stage::Tokenise),
        ("select", Stage::Select),
        ("corrupt", Stage::Corrupt),
    ];
    let mut parts = serde_json::Map::new();
    let mut before = 0.0;
    for (name, stage) in stages {
        let nanoseconds = 1e9 / rate(path.run(stage, options.seconds / 4.0));
        parts.insert(name.into(), json!(nanoseconds - before));
        before = nanoseconds;
    }
    let mut masks = Vec::new();
    for name in Strategy::NAMES {
        let nanoseconds = path.masking(&genome, name.parse()?, options.seconds / 4.0)?;
        let share = nanoseconds * 1e-9 * options.step_rate;
        masks.push(json!({"name": name, "ns_per_token": nanoseconds, "share_of_step": share}));
    }
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let report = json!({
        "k": options.k,
        "bases": options.bases,
        "tokens_per_second": median(ours),
        "peer_tokens_per_second": median(theirs),
        "ratio": median(ratios.clone()),
        "ratio_min": least,
        "rounds": ratios,
        "parts_ns_per_token": parts,
        "peer_parts_ns_per_token": last_peer["parts_ns_per_token"],
        "peer": last_peer["peer"],
        "masks": masks,
    });
    if options.json {
        println!("{report}");
        return Ok(());
    }
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    println!(
        "one core, {} bases, k = {}, windows of {MIN_TOKENS} to {FULL_TOKENS} tokens, kmer-span",
        options.bases, options.k
    );
    println!(
        "tatabox   {:>8.1} million tokens/s   {}",
        number("tokens_per_second") / 1e6,
        shares(&report["parts_ns_per_token"])
    );
    println!(
        "peer      {:>8.2} million tokens/s   {}",
        number("peer_tokens_per_second") / 1e6,
        shares(&report["peer_parts_ns_per_token"])
    );
    println!("ratio     {:>8.1} x (least of {} rounds {:.1} x)", number("ratio"), options.rounds, number("ratio_min"));
    println!("peer is   {}", report["peer"].as_str().unwrap_or("unknown"));
    for mask in &masks {
        println!(
            "{:<12} {:>6.1} ns a token to select and corrupt: {:.4} % of a step of {} tokens/s",
            mask["name"].as_str().unwrap_or_default(),
            mask["ns_per_token"].as_f64().unwrap_or(f64::NAN),
            100.0 * mask["share_of_step"].as_f64().unwrap_or(f64::NAN),
            options.step_rate
        );
    }
    Ok(())
}

/// `sample 3.1 ns, tokenise 1.2 ns` a token.
fn shares(parts: &Value) -> String {
    let parts = parts.as_object().into_iter().flatten();
    let words: Vec<String> =
        parts.map(|(name, ns)| format!("{name} {:.1} ns", ns.as_f64().unwrap_or(f64::NAN))).collect();
    words.join(", ")
}
