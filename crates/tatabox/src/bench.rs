//! How fast a training step is on this machine, and where its time goes.

use serde::Serialize;
use std::time::Instant;
use tatabox_engine::{AdamW, Batch, Capacity, Device, Executor, Graph, Mode, Objective, OpTime, Precision, StepKey};

use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::models::bert::{self, WindowPooling};

/// The share of tokens that is guessed.
const MASK_RATE: f64 = 0.15;
/// `[CLS]`, `[SEP]`.
const SPECIALS: usize = 2;
/// The shortest sequence of the mix, in content tokens.
const SHORTEST: usize = 5;

/// How long the sequences of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lengths {
    /// All of `seq` tokens.
    Full,
    /// Half of `seq` tokens, half of 5 content tokens up to full: DNABERT's samples.
    Mix,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Guess masked tokens: forward, backward, AdamW.
    Pretrain,
    /// Tell two classes of sequences apart: forward, backward, AdamW.
    Finetune,
    /// The class of each sequence: forward.
    Predict,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct StepBench {
    /// What a step does.
    pub work: Work,
    /// The name of the model, for the report.
    pub model: String,
    /// The model.
    pub config: BertConfig,
    /// Tokens of a full sequence, specials included.
    pub seq: usize,
    /// Sequences of a step.
    pub batch: usize,
    /// Their lengths.
    pub lengths: Lengths,
    /// Number format.
    pub precision: Precision,
    /// Steps that count.
    pub steps: usize,
    /// Steps before these.
    pub warmup: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// What a step did.
    pub work: Work,
    /// The model.
    pub model: String,
    /// `f32` or `bf16`.
    pub precision: Precision,
    /// The kernels: `amx`, `avx512`, `avx2`, `neon`, `portable`, `cuda`.
    pub kernels: &'static str,
    /// Threads.
    pub threads: usize,
    /// Tokens of a full sequence.
    pub seq: usize,
    /// Sequences of a step.
    pub batch: usize,
    /// Their lengths.
    pub lengths: Lengths,
    /// Weights of the model.
    pub parameters: u64,
    /// Steps that counted.
    pub steps: usize,
    /// Tokens of the median step, specials included; there is no padding.
    pub tokens_per_step: usize,
    /// Seconds of the median step.
    pub step_seconds_median: f64,
    /// Seconds of the fastest step.
    pub step_seconds_min: f64,
    /// Seconds of the slowest step.
    pub step_seconds_max: f64,
    /// Tokens of a step over its time: the median over the steps.
    pub tokens_per_second: f64,
    /// Matrix operations that the model needs (forward and twice that backward), in 10^9 a second.
    pub gflops: f64,
    /// What the same kernels reach on one large product, in 10^9 a second.
    pub matrix_gflops: f64,
    /// `gflops / matrix_gflops`.
    pub share_of_matrix_rate: f64,
    /// Bytes that the engine plans.
    pub memory_bytes: usize,
    /// Loss of the last step, nats a masked token: ids are random, so it falls towards ln(vocabulary) and no further.
    pub loss: f64,
    /// Where the time goes, the longest first.
    pub profile: Vec<OpShare>,
}

/// One kind of op in an average step.
#[derive(Clone, Debug, Serialize)]
pub struct OpShare {
    /// The op.
    pub op: String,
    /// Milliseconds forward.
    pub forward_ms: f64,
    /// Milliseconds backward.
    pub backward_ms: f64,
    /// Share of the step.
    pub share: f64,
    /// 10^9 matrix operations a second in it; 0 for ops without.
    pub gflops: f64,
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same lengths as `benches/peers/train_step.py` draws.
fn split_mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl StepBench {
    /// The batch of a step: random k-mers, 15 % of them to be guessed.
    fn batch(&self, step: usize) -> Batch {
        let kmers = (self.config.vocab_size - 5) as u64;
        let mut batch = Batch::default();
        for index in 0..self.batch {
            let at = (step * self.batch + index) as u64;
            let full = self.seq - SPECIALS;
            let content = match self.lengths {
                Lengths::Mix if index % 2 == 1 => SHORTEST + (split_mix(at) % (full - SHORTEST + 1) as u64) as usize,
                _ => full,
            };
            let draw = |position: usize| split_mix((at << 20) ^ (position as u64) ^ (1 << 63));
            let id = |position: usize| 5 + (draw(position) % kmers) as u32;
            let ids = std::iter::once(2).chain((1..=content).map(id)).chain([3]);
            let chosen = |position: &usize| draw(*position) >> 11 < (MASK_RATE * (1u64 << 53) as f64) as u64;
            let guessed = if self.work == Work::Pretrain { content } else { 0 };
            batch.push(ids, (1..=guessed).filter(chosen).map(|position| (position as u32, id(position))));
            if self.work != Work::Pretrain {
                batch.labels.push((draw(0) % 2) as u32);
            }
        }
        batch
    }

    /// Measures.
    ///
    /// # Errors
    /// Sequences longer than the model's positions or too short, an empty batch, sizes that do not fit each other.
    pub fn run(&self) -> Result<StepReport> {
        self.check()?;
        let device = Device::selected()?;
        let matrix_rate = device.matrix_rate(self.precision)?;
        let (graph, mode) = self.graph()?;
        let tokens = self.seq * self.batch;
        let capacity = Capacity { tokens, masked: (tokens / 4).max(16), sequences: self.batch };
        let memory = device.memory(&graph, &capacity, self.precision, mode)?;
        let mut executor = Executor::new(graph, capacity, self.precision, mode)?;
        executor.initialize(0);
        let batches = (0..self.warmup + self.steps).map(|step| self.batch(step)).collect();
        let mut steps = Steps { executor, mode, batches };
        let on_gpu = matches!(device, Device::Cuda(_));
        // A GPU measures products and records launches the first two times that a size comes: what a run does in its first minute.
        for _ in 0..if on_gpu { 2 } else { 0 } {
            steps.run(0)?;
        }
        let timed = steps.time(self.warmup)?;
        let mut profile = steps.executor.profile();
        let flops: f64 = profile.iter().map(|op| op.matrix_flops as f64).sum();
        let mut profiled = timed.total();
        if on_gpu {
            // Clocks between the ops keep a GPU's launches from running ahead, so that they get steps of their own.
            steps.executor.set_profiling(true);
            steps.executor.reset_profile();
            steps.run(self.warmup)?;
            profile = steps.executor.profile();
            profiled = profile.iter().map(|op| op.forward_s + op.backward_s).sum();
        }
        let [min, median, max] = timed.seconds();
        let (tokens_per_second, tokens_per_step) = timed.median_speed();
        let (gflops, matrix_gflops) = (flops / timed.total() / 1e9, matrix_rate / 1e9);
        Ok(StepReport {
            work: self.work,
            model: self.model.clone(),
            precision: self.precision,
            kernels: device.name(),
            threads: rayon::current_num_threads(),
            seq: self.seq,
            batch: self.batch,
            lengths: self.lengths,
            parameters: self.config.parameters(),
            steps: self.steps,
            tokens_per_step,
            step_seconds_median: median,
            step_seconds_min: min,
            step_seconds_max: max,
            tokens_per_second,
            gflops,
            matrix_gflops,
            share_of_matrix_rate: gflops / matrix_gflops,
            memory_bytes: memory.total(),
            loss: timed.loss,
            profile: profile.into_iter().map(|op| OpShare::of(op, self.steps, profiled)).collect(),
        })
    }

    /// Refuses sizes that cannot be measured.
    fn check(&self) -> Result<()> {
        let usage = |key: &str, got: usize, expected: String| {
            let (key, got, hint) = (key.into(), got.to_string(), String::new());
            Err(Error::Core(tatabox_core::Error::Value { key, got, expected, hint }))
        };
        let (shortest, positions) = (SHORTEST + SPECIALS, self.config.max_position_embeddings);
        if !(shortest..=positions).contains(&self.seq) {
            return usage("--seq", self.seq, format!("it must be {shortest} to the model's {positions} positions"));
        }
        if self.batch == 0 || self.steps == 0 {
            return usage("--batch or --steps", 0, "it must be 1 or more".into());
        }
        Ok(())
    }

    /// The model, and whether it learns.
    fn graph(&self) -> Result<(Graph, Mode)> {
        let classifier = || bert::sequence_classifier(&self.config, 2, WindowPooling::Mean, Objective::PLAIN);
        Ok(match self.work {
            Work::Pretrain => (bert::masked_lm(&self.config)?, Mode::Train),
            Work::Finetune => (classifier()?, Mode::Train),
            Work::Predict => (classifier()?, Mode::Evaluate),
        })
    }
}

/// The steps that are measured.
struct Steps {
    executor: Executor,
    mode: Mode,
    batches: Vec<Batch>,
}

impl Steps {
    /// One of them; the loss.
    fn step(&mut self, step: usize) -> Result<f64> {
        let Self { executor, mode, batches } = self;
        if *mode == Mode::Evaluate {
            let losses = executor.evaluate(&batches[step])?;
            return Ok(losses.iter().map(|nats| f64::from(*nats)).sum::<f64>() / losses.len() as f64);
        }
        executor.zero_gradients();
        let masked = |step: usize| batches[step].labels.len().max(1) as f64;
        let key = |step: usize| StepKey { seed: 0, step: step as u64, micro_step: 0 };
        let scale = |step: usize| (1.0 / masked(step)) as f32;
        let loss = executor.forward_backward(&batches[step], key(step), scale(step))? / masked(step);
        if let Some(next) = batches.get(step + 1) {
            executor.prepare(next, key(step + 1), scale(step + 1))?;
        }
        executor.optimizer_step(&AdamW {
            lr: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: Some(1.0),
            step: step as u64 + 1,
        });
        executor.finish()?;
        Ok(loss)
    }

    /// From one on to the last.
    fn run(&mut self, first: usize) -> Result<()> {
        (first..self.batches.len()).try_for_each(|step| self.step(step).map(drop))
    }

    /// All of them; the first `warmup` are not counted.
    fn time(&mut self, warmup: usize) -> Result<Timed> {
        (0..warmup).try_for_each(|step| self.step(step).map(drop))?;
        self.executor.reset_profile();
        let mut timed = Timed { steps: Vec::new(), loss: 0.0 };
        for step in warmup..self.batches.len() {
            let start = Instant::now();
            timed.loss = self.step(step)?;
            timed.steps.push((start.elapsed().as_secs_f64(), self.batches[step].input_ids.len()));
        }
        Ok(timed)
    }
}

/// Seconds and tokens of each step, and the loss of the last.
struct Timed {
    steps: Vec<(f64, usize)>,
    loss: f64,
}

impl Timed {
    fn total(&self) -> f64 {
        self.steps.iter().map(|(seconds, _)| seconds).sum()
    }

    /// The least, the median and the most.
    fn seconds(&self) -> [f64; 3] {
        let mut seconds: Vec<f64> = self.steps.iter().map(|(seconds, _)| *seconds).collect();
        seconds.sort_by(f64::total_cmp);
        [seconds[0], seconds[seconds.len() / 2], seconds[seconds.len() - 1]]
    }

    /// Tokens a second, and tokens, of the step in the middle: steps of a mix have unlike many.
    fn median_speed(&self) -> (f64, usize) {
        let speed = |&(seconds, tokens): &(f64, usize)| (tokens as f64 / seconds, tokens);
        let mut speeds: Vec<(f64, usize)> = self.steps.iter().map(speed).collect();
        speeds.sort_by(|a, b| a.0.total_cmp(&b.0));
        speeds[speeds.len() / 2]
    }
}

impl OpShare {
    /// Of an op's time in all steps, a step's; `profiled`: seconds of all ops.
    fn of(op: OpTime, steps: usize, profiled: f64) -> Self {
        let (steps, seconds) = (steps as f64, op.forward_s + op.backward_s);
        Self {
            forward_ms: op.forward_s / steps * 1e3,
            backward_ms: op.backward_s / steps * 1e3,
            share: seconds / profiled,
            gflops: op.matrix_flops as f64 / seconds.max(1e-12) / 1e9,
            op: op.op,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    fn bench(lengths: Lengths, seq: usize) -> StepBench {
        let config = BertConfig::of_preset(Preset::named("tiny").unwrap(), 69, 0);
        StepBench {
            work: Work::Pretrain,
            model: "tiny".into(),
            config,
            seq,
            batch: 2,
            lengths,
            precision: Precision::F32,
            steps: 2,
            warmup: 1,
        }
    }

    #[test]
    fn shares_of_ops_add_up_to_nearly_the_whole_step() {
        let report = bench(Lengths::Full, 64).run().unwrap();
        assert_eq!(report.tokens_per_step, 128);
        let shares: f64 = report.profile.iter().map(|op| op.share).sum();
        assert!(shares > 0.5 && shares < 1.01, "{shares}");
        assert!(report.gflops > 0.0 && report.loss.is_finite());
    }

    #[test]
    fn the_mix_draws_the_lengths_of_the_peer() {
        // `content_tokens` of benches/peers/train_step.py with --seq 512 --batch 2, steps 0 and 1, second sequence.
        let lengths: Vec<u32> = (0..2)
            .map(|step| bench(Lengths::Mix, 512).batch(step).offsets)
            .map(|offsets| offsets[2] - offsets[1] - SPECIALS as u32)
            .collect();
        assert_eq!(lengths, PEER_LENGTHS);
    }

    const PEER_LENGTHS: [u32; 2] = [323, 41];

    #[test]
    fn refuses_more_tokens_than_positions() {
        let text = bench(Lengths::Full, 513).run().unwrap_err().to_string();
        assert!(text.contains("`--seq` is 513") && text.contains("512 positions"), "{text}");
    }
}
