//! bf16 trains as f32 does: after the same samples the held-out loss is the same within what the seed alone changes.
//!
//! Small models on a small genome, in seconds. `cargo run --release -p tatabox-benches --bin precision` does the same on a real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tatabox::data::freeze;
use tatabox::evaluate::{Request, evaluate};
use tatabox::pretrain::{self, start};
use tatabox::recipe::RunConfig;
use tatabox::settings::Settings;
use tatabox_core::corpus::Holdout;
use tatabox_core::genome::Genome;
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_engine::Precision;

const RECIPE: &str = r#"
[model]
preset = "tiny"
num_hidden_layers = 1
hidden_size = 64
intermediate_size = 128
[tokenizer]
k = 3
[data]
max_length = 32
strands = "forward"
[train]
steps = 150
batch_size = 24
learning_rate = 4e-3
warmup_steps = 15
[checkpoint]
every = 1000
[evaluate]
sequences = 0
"#;

/// A genome in which nineteen of twenty bases follow from the two before them, and masks on its held-out end, the same for every model.
struct World {
    folder: tempfile::TempDir,
    genome: Genome,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = SeededRng::new(3, Purpose::Test, 0, 0);
        let mut codes: Vec<usize> = Vec::new();
        for at in 0..30_000 {
            let follows = at > 1 && rng.below(20) > 0;
            codes.push(if follows { (codes[at - 1] * 3 + codes[at - 2]) % 4 } else { rng.below(4) as usize });
        }
        let bases: String = codes.into_iter().map(|code| ['A', 'C', 'G', 'T'][code]).collect();
        let fasta = folder.path().join("genome.fa");
        fs::write(&fasta, format!(">chr1\n{bases}\n")).unwrap();
        let genome = Genome::open(&[fasta], &folder.path().join("cache")).unwrap();
        let world = Self { folder, genome };
        let config = RunConfig::resolve(Settings::parse(RECIPE, "test.toml").unwrap()).unwrap();
        freeze(&config, &world.genome, 60).unwrap().write(&world.masks()).unwrap();
        world
    }

    fn masks(&self) -> PathBuf {
        self.folder.path().join("frozen.jsonl")
    }

    /// The held-out loss of a model trained in a precision; it is measured in f32, as `tatabox evaluate` does.
    fn loss(&self, seed: u64, precision: &str, change: &str) -> f64 {
        let output = self.folder.path().join(format!("{precision}-{seed}-{change}"));
        let mut settings = Settings::parse(RECIPE, "test.toml").unwrap();
        for assignment in [format!("seed={seed}"), format!("train.precision={precision}"), change.to_string()] {
            settings.set(&assignment).unwrap();
        }
        let request = pretrain::Request { settings, genome: self.genome.clone(), output: &output, init: None };
        start(request, &mut (), &AtomicBool::new(false)).unwrap();
        self.measure(&output)
    }

    fn measure(&self, model: &Path) -> f64 {
        let (masks, cache) = (self.masks(), self.folder.path().join("cache"));
        let request = Request {
            model,
            masks: &masks,
            precision: Precision::F32,
            genome: None,
            holdout: Holdout::Auto,
            cache: &cache,
        };
        evaluate(request).unwrap().loss
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn bf16_ends_at_the_loss_of_f32_within_the_spread_of_the_seeds() {
    let world = World::new();
    let losses = |precision: &str, change: &str| -> Vec<f64> {
        (1..=3).map(|seed| world.loss(seed, precision, change)).collect()
    };
    let (f32, bf16) = (losses("f32", "log.every=50"), losses("bf16", "log.every=50"));
    let spread = f32.iter().copied().fold(f64::MIN, f64::max) - f32.iter().copied().fold(f64::MAX, f64::min);
    let apart = (mean(&bf16) - mean(&f32)).abs();
    // Half of it: the samples of a seed are the same in both precisions, which leaves less to chance than another seed does.
    let bound = spread / 2.0;
    println!("f32 {f32:?}, bf16 {bf16:?}: means {apart:.5} apart, seeds {spread:.5}");
    assert!(mean(&f32) < 64f64.ln() - 0.5, "nothing was learnt, so nothing is compared: {f32:?}");
    assert!(apart < bound, "f32 {f32:?}, bf16 {bf16:?}");
    assert!(f32.iter().zip(&bf16).all(|(f32, bf16)| f32 != bf16), "bf16 equals f32 to the last bit, so it is not bf16");
    // The measure is sharp enough to see a learning rate that is wrong.
    let slower = losses("f32", "train.learning_rate=1e-3");
    assert!((mean(&slower) - mean(&f32)).abs() > bound, "f32 {f32:?}, slower {slower:?}");
}
