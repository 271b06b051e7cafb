//! Batches: windows of the genome, tokenised, masked, and laid end to end.
//!
//! Everything about sample `index` of a step is drawn from (seed, step, index). So steps can be prepared ahead, on another thread, and a resumed
//! run sees the samples that an uninterrupted one sees.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use tatabox_core::corpus::{Part, Sampler, SamplerConfig, Sampling};
use tatabox_core::genome::Genome;
use tatabox_core::mask::frozen::{Freezer, FrozenMasks, Origin};
use tatabox_core::mask::{Corruption, MaskStrategy, Masked, Selection, corrupt};
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::tokenizer::{Tokenizer, Tokens};
use tatabox_engine::{Batch, Capacity};

use crate::checkpoint::Sums;
use crate::error::{Error, Result};
use crate::recipe::{RunConfig, StepSize};

/// Special tokens of a sample: `[CLS]` and `[SEP]`.
const SPECIALS: u64 = 2;

/// What one optimizer step learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct StepData {
    /// The step, from 1.
    pub step: u64,
    /// Its micro-batches, each within the capacity.
    pub batches: Vec<Batch>,
    /// Tokens and masked tokens of all of them; the nats are yet to come.
    pub sums: Sums,
}

impl StepData {
    /// What losses are multiplied with: the mean over all masked tokens of the step, however it is cut, as transformers computes it with
    /// `num_items_in_batch`.
    pub fn loss_scale(&self) -> f32 {
        1.0 / self.sums.masked.max(1) as f32
    }
}

/// Makes the data of any step of a run.
pub struct Batches {
    sampler: Sampler,
    tokenizer: Tokenizer,
    strategy: Box<dyn MaskStrategy>,
    corruption: Corruption,
    size: StepSize,
    seed: u64,
    capacity: Capacity,
}

/// The sampler of one part of a genome, as a run's configuration says.
///
/// # Errors
/// The genome cannot serve it: a contig that is not there, a part shorter than a window.
pub fn sampler(config: &RunConfig, genome: &Genome, part: Part) -> Result<Sampler> {
    let sampling = match (config.data.sampling.as_str(), config.step_size(), part) {
        ("tiling", StepSize::Sequences(windows_per_step), Part::Train) => Sampling::Tiling { windows_per_step },
        _ => Sampling::Random, // A recipe that asks for tiles has sequences a step.
    };
    let config = SamplerConfig {
        full_tokens: config.data.max_length as u64 - SPECIALS,
        min_tokens: config.data.min_tokens as u64,
        k: config.tokenizer.k as u64,
        stride: config.tokenizer.stride as u64,
        sampling,
        both_strands: config.data.strands == "both",
        repeat_weight: config.data.repeat_weight,
        holdout: config.data.holdout(),
    };
    Ok(Sampler::new(genome, config, part)?)
}

impl Batches {
    /// Prepares to make batches.
    ///
    /// # Errors
    /// As [`sampler`], or the tokenizer's settings do not fit each other.
    pub fn new(
        config: &RunConfig,
        genome: &Genome,
        strategy: Box<dyn MaskStrategy>,
        capacity: Capacity,
    ) -> Result<Self> {
        let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
        let corruption = Corruption::new(&tokenizer, config.mask.corruption_unit, config.mask.dnabert_compat);
        Ok(Self {
            sampler: sampler(config, genome, Part::Train)?,
            strategy,
            tokenizer,
            corruption,
            size: config.step_size(),
            seed: config.seed,
            capacity,
        })
    }

    /// The data of a step (from 1): the same for every capacity, except for where it is cut into micro-batches.
    pub fn step(&self, step: u64) -> StepData {
        let mut data = StepData { step, batches: Vec::new(), sums: Sums { steps: 1, ..Sums::default() } };
        let (mut codes, mut tokens) = (Vec::new(), Tokens::default());
        let (mut selection, mut masked) = (Selection::default(), Masked::default());
        for index in 0.. {
            let window = self.sampler.window(self.seed, step - 1, index);
            self.sampler.read(&window, &mut codes);
            self.tokenizer.encode(&codes, &mut tokens);
            let length = tokens.ids.len() as u64;
            let full = match self.size {
                StepSize::Sequences(sequences) => index == sequences,
                StepSize::Tokens(most) => index > 0 && data.sums.tokens + length > most,
            };
            if full {
                break;
            }
            let mut rng = SeededRng::new(self.seed, Purpose::Select, step, index);
            self.strategy.select_into(&tokens, step, &mut rng, &mut selection);
            let mut rng = SeededRng::new(self.seed, Purpose::Corrupt, step, index);
            corrupt(&tokens, &selection, &self.corruption, &mut rng, &mut masked);
            data.sums.tokens += length;
            data.sums.content += length - SPECIALS;
            data.sums.masked += masked.targets.len() as u64;
            push(&mut data.batches, &masked, &self.capacity);
        }
        data
    }

    /// Makes the data of `steps` on a thread of `scope`, a few steps ahead of who takes them. The thread ends when the receiver is dropped.
    pub fn ahead<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        steps: std::ops::RangeInclusive<u64>,
    ) -> Receiver<StepData> {
        let (sender, receiver) = sync_channel(2);
        scope.spawn(move || {
            for step in steps {
                if sender.send(self.step(step)).is_err() {
                    break;
                }
            }
        });
        receiver
    }
}

/// Adds a sequence to the last batch, or to a new one where it would not fit.
fn push(batches: &mut Vec<Batch>, masked: &Masked, capacity: &Capacity) {
    let fits = batches.last().is_some_and(|batch| {
        batch.input_ids.len() + masked.input_ids.len() <= capacity.tokens
            && batch.masked_rows.len() + masked.targets.len() <= capacity.masked
    });
    if !fits {
        batches.push(Batch::default());
    }
    let batch = batches.last_mut().expect("there is one now");
    let targets = masked.targets.iter().map(|(position, id)| (position.0, id.0));
    batch.push(masked.input_ids.iter().map(|id| id.0), targets);
}

/// Frozen sequences as batches within a capacity, in their order.
///
/// # Errors
/// A sequence is longer than the capacity.
pub fn frozen_batches(frozen: &FrozenMasks, capacity: &Capacity) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    for (line, sequence) in (1..).zip(&frozen.sequences) {
        let tokens = sequence.masked.input_ids.len();
        if tokens > capacity.tokens {
            return Err(Error::Core(tatabox_core::Error::Data {
                what: format!("frozen sequence {line} has {tokens} tokens, but the model takes {}", capacity.tokens),
                hint: "freeze masks of the model's length with `tatabox mask freeze --set data.max_length=…`"
                    .to_string(),
            }));
        }
        push(&mut batches, &sequence.masked, capacity);
    }
    Ok(batches)
}

/// Freezes evaluation masks on windows of the held-out part.
///
/// # Errors
/// Nothing is held out, or it is shorter than a window.
pub fn freeze(config: &RunConfig, genome: &Genome, windows: usize) -> Result<FrozenMasks> {
    let sampler = sampler(config, genome, Part::HeldOut)?;
    let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
    let drawn = (0..windows as u64).map(|index| {
        let window = sampler.window(config.seed, 0, index);
        let mut codes = Vec::new();
        sampler.read(&window, &mut codes);
        let contig = genome.contigs()[window.contig].name.clone();
        Ok((codes, Origin { contig, start: window.start, bases: window.bases, reverse: window.reverse }))
    });
    Ok(Freezer::new(tokenizer, config.seed).freeze_all(drawn)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::settings::Settings;
    use std::io::Write;

    /// A genome of 40,000 random bases on two contigs, from one seed.
    pub(crate) fn genome(folder: &std::path::Path) -> (std::path::PathBuf, Genome) {
        let path = folder.join("genome.fa");
        let mut rng = SeededRng::new(9, Purpose::Test, 0, 0);
        let mut file = std::fs::File::create(&path).unwrap();
        for name in ["chrI", "chrII"] {
            let bases: String = (0..20_000).map(|_| ['A', 'C', 'G', 'T'][rng.below(4) as usize]).collect();
            writeln!(file, ">{name}\n{bases}").unwrap();
        }
        let genome = Genome::open(std::slice::from_ref(&path), &folder.join("cache")).unwrap();
        (path, genome)
    }

    pub(crate) fn config(extra: &[&str]) -> RunConfig {
        let mut settings = Settings::parse(
            "[model]\npreset = \"tiny\"\n[tokenizer]\nk = 3\n[data]\nmax_length = 64\n[train]\nsteps = 6\nbatch_size = 8\n",
            "test.toml",
        )
        .unwrap();
        extra.iter().for_each(|assignment| settings.set(assignment).unwrap());
        RunConfig::resolve(settings).unwrap()
    }

    fn batches(extra: &[&str], capacity: Capacity) -> Batches {
        let folder = tempfile::tempdir().unwrap();
        let config = config(extra);
        Batches::new(&config, &genome(folder.path()).1, masks(&config), capacity).unwrap()
    }

    fn masks(config: &RunConfig) -> Box<dyn MaskStrategy> {
        let tokenizer = Tokenizer::new(config.tokenizer.clone()).unwrap();
        config.mask.build(&tokenizer, config.train.steps, config.seed, None).unwrap()
    }

    const WIDE: Capacity = Capacity { tokens: 4096, masked: 4096, sequences: 0 };

    #[test]
    fn a_step_has_as_many_sequences_as_asked() {
        let data = batches(&[], WIDE).step(1);
        assert_eq!(data.batches.iter().map(Batch::sequences).sum::<usize>(), 8);
        let tokens = data.batches.iter().map(|batch| batch.input_ids.len() as u64).sum::<u64>();
        let masked = data.batches.iter().map(|batch| batch.labels.len() as u64).sum::<u64>();
        assert_eq!((data.sums.tokens, data.sums.masked, data.sums.content), (tokens, masked, tokens - 16));
    }

    #[test]
    fn a_step_of_tokens_is_filled_and_never_over_full() {
        let batches = batches(&["train.batch_tokens=500"], WIDE);
        for step in 1..20 {
            let tokens = batches.step(step).sums.tokens;
            assert!((436..=500).contains(&tokens), "{tokens}");
        }
    }

    #[test]
    fn the_capacity_changes_the_cuts_and_not_the_samples() {
        let whole = batches(&[], WIDE).step(3);
        let cut = batches(&[], Capacity { tokens: 100, masked: 30, sequences: 0 }).step(3);
        assert!(cut.batches.len() > whole.batches.len());
        assert!(cut.batches.iter().all(|batch| batch.input_ids.len() <= 100 && batch.labels.len() <= 30));
        let ids = |data: &StepData| data.batches.iter().flat_map(|batch| batch.input_ids.clone()).collect::<Vec<_>>();
        let labels = |data: &StepData| data.batches.iter().flat_map(|batch| batch.labels.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&whole), labels(&whole), whole.sums), (ids(&cut), labels(&cut), cut.sums));
    }

    #[test]
    fn steps_differ_and_each_is_the_same_whenever_it_is_made() {
        let batches = batches(&[], WIDE);
        let again = batches.step(2);
        assert_ne!(batches.step(1).batches, again.batches);
        assert_eq!(batches.step(2), again);
        std::thread::scope(|scope| {
            let steps: Vec<StepData> = batches.ahead(scope, 2..=4).iter().collect();
            assert_eq!(steps.len(), 3);
            assert_eq!(steps[0], again);
        });
    }

    #[test]
    fn the_thread_ends_when_nobody_takes_its_steps() {
        let batches = batches(&[], WIDE);
        std::thread::scope(|scope| drop(batches.ahead(scope, 1..=u64::MAX)));
    }

    #[test]
    fn frozen_sequences_keep_their_order_and_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let frozen = freeze(&config(&[]), &genome(folder.path()).1, 7).unwrap();
        let batches = frozen_batches(&frozen, &Capacity { tokens: 128, masked: 64, sequences: 0 }).unwrap();
        let labels: Vec<u32> = batches.iter().flat_map(|batch| batch.labels.clone()).collect();
        let expected: Vec<u32> =
            frozen.sequences.iter().flat_map(|one| one.masked.targets.iter().map(|(_, id)| id.0)).collect();
        assert_eq!(labels, expected);
        assert!(
            frozen_batches(&frozen, &Capacity { tokens: 20, masked: 20, sequences: 0 })
                .unwrap_err()
                .to_string()
                .contains("takes 20")
        );
    }
}
