//! The runs of a comparison: their plan, what is told of them, and each on its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use tatabox_core::corpus::Part;
use tatabox_core::genome::Genome;
use tatabox_core::io::whole;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_core::score::Scores;
use tatabox_engine::{Device, Executor, Mode, Precision};

use super::design::{Design, ResolvedArm};
use crate::checkpoint::{Checkpoints, State};
use crate::data::sampler;
use crate::error::{Error, Result};
use crate::evaluate::sequence_nats;
use crate::memory::free_space;
use crate::models::bert;
use crate::observer::{Observer, Progress};
use crate::plan::{self, capacity, measure, precision};
use crate::pretrain::{self, start_on};
use crate::run::CONFIG;
use crate::workers::{self, Tell};

/// What will happen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Arms.
    pub arms: usize,
    /// Seeds of each arm.
    pub seeds: usize,
    /// Runs that are finished already.
    pub finished: usize,
    /// Optimizer steps of a run of each arm, in the order of the arms.
    pub steps: Vec<u64>,
    /// Weights of each arm's model.
    pub parameters: Vec<u64>,
    /// Tokens of a run of each arm.
    pub tokens: Vec<f64>,
    /// Tokens of all runs that are not finished.
    pub tokens_left: f64,
    /// How many runs train side by side, each on its share of the threads.
    pub at_once: usize,
    /// Threads of each of them.
    pub threads: usize,
    /// Bytes of checkpoints that these will hold.
    pub checkpoint_bytes: u64,
    /// Windows of the frozen masks, and masked sequences.
    pub windows: usize,
    /// Masked sequences of the frozen masks.
    pub sequences: usize,
    /// Estimated duration of what is left; measurements of held-out loss are not in it.
    pub seconds: f64,
}

/// A run among the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Which run it is, from 1, those that were finished before included.
    pub number: usize,
    /// How many there are.
    pub runs: usize,
    /// Its arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// Tokens of the whole run.
    pub tokens: f64,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, seed {}", self.arm, self.seed)
    }
}

/// Hears of a comparison and of each of its runs, several of which are at work at once.
pub trait Watcher {
    /// Before the first run.
    fn compared(&mut self, plan: &Plan) {
        let _ = plan;
    }
    /// Before a run, or before the rest of it.
    fn begun(&mut self, place: &Place) {
        let _ = place;
    }
    /// After each step of a run.
    fn step(&mut self, place: &Place, progress: &Progress) {
        let _ = (place, progress);
    }
    /// After a measurement of a run: held-out loss over all masks in nats a masked token.
    fn evaluated(&mut self, place: &Place, step: u64, loss: f64) {
        let _ = (place, step, loss);
    }
    /// After a run, with its held-out loss over all masks in nats a masked token.
    fn ended(&mut self, place: &Place, loss: f64) {
        let _ = (place, loss);
    }
    /// After a run that failed: the error comes back when the others are saved.
    fn failed(&mut self, place: &Place) {
        let _ = place;
    }
    /// Something that the user should know.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
}

impl Watcher for () {}

/// What a run tells while the others are at work.
pub(super) enum Told {
    Begun,
    Step(Progress),
    Evaluated(u64, f64),
    Message(String),
}

/// Tells of a run.
struct Teller<'a>(Tell<'a, Told>);

impl Observer for Teller<'_> {
    fn step(&mut self, progress: &Progress) {
        (self.0)(Told::Step(*progress));
    }

    fn evaluated(&mut self, step: u64, scores: &Scores) {
        (self.0)(Told::Evaluated(step, scores.overall.nats_per_token));
    }

    fn message(&mut self, text: &str) {
        (self.0)(Told::Message(text.to_string()));
    }
}

/// What a finished run answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Its last step.
    pub step: u64,
    /// The share of tokens that its masks hid, as measured.
    pub mask_rate: f64,
    /// Tokens that it read, specials included.
    pub tokens: u64,
    /// Tokens that it had to guess.
    pub masked_tokens: u64,
    /// SHA-256 of the frozen masks.
    pub frozen_sha256: String,
    /// Nats of each frozen sequence, summed over its masked tokens, `[sequences]`.
    pub nats: Vec<f64>,
}

/// The runs of a comparison and where they lie.
pub(super) struct Runs<'a> {
    pub dir: &'a Path,
    pub design: &'a Design,
    pub frozen: &'a FrozenMasks,
    pub frozen_sha256: &'a str,
}

/// A run's directory within the comparison.
pub(super) fn name(arm: &str, seed: u64) -> String {
    format!("runs/{arm}/seed-{seed}")
}

impl Runs<'_> {
    fn answers_path(&self, arm: &str, seed: u64) -> PathBuf {
        self.dir.join(name(arm, seed) + ".json")
    }

    /// The answers of a run; none where it is not finished.
    pub fn answers(&self, arm: &ResolvedArm, seed: u64) -> Result<Option<Answers>> {
        let path = self.answers_path(&arm.name, seed);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let hint = "remove this file: the run is then asked again";
        let wrong = |expected: &str, got: String| Error::format(&path, "", expected, got, hint);
        let answers: Answers =
            serde_json::from_str(&text).map_err(|error| wrong("the answers of a run", error.to_string()))?;
        if answers.frozen_sha256 != self.frozen_sha256 || answers.nats.len() != self.frozen.sequences.len() {
            return Err(wrong("answers to the frozen masks of this comparison", "others".to_string()));
        }
        if answers.step != arm.config.train.steps {
            return Err(wrong(&format!("a run of {} steps", arm.config.train.steps), format!("{}", answers.step)));
        }
        Ok(Some(answers))
    }

    /// The plan of what is left, measured on this machine, and refused where its checkpoints do not fit the device.
    pub fn plan(&self, genome: &Genome) -> Result<Plan> {
        let design = self.design;
        let mut left = vec![0usize; design.arms.len()];
        for (arm, left) in design.arms.iter().zip(&mut left) {
            for &seed in &design.seeds {
                *left += usize::from(self.answers(arm, seed)?.is_none());
            }
        }
        let mut tokens = Vec::new();
        let (mut tokens_left, mut checkpoint_bytes, mut operations, mut memory_bytes) = (0.0, 0, 0.0, 0);
        let (mut steps, mut parameters) = (Vec::new(), Vec::new());
        for (arm, &left) in design.arms.iter().zip(&left) {
            let config = &arm.config;
            let bert_config = config.bert()?;
            let graph = bert::masked_lm(&bert_config)?;
            let room = capacity(config, config.train.micro_batch_tokens as usize)?;
            let training = sampler(config, genome, Part::Train)?;
            let plan = plan::plan(config, &bert_config, &graph, &room, &training, 1.0, 0)?;
            if left > 0 {
                memory_bytes = memory_bytes.max(plan.memory_bytes);
            }
            let kept = (config.train.steps / config.checkpoint.every + 2).min(config.checkpoint.keep as u64 + 2);
            tokens_left += left as f64 * plan.tokens;
            operations += left as f64 * plan.tokens * plan.flops_per_token;
            checkpoint_bytes += left as u64 * kept * plan.checkpoint_bytes;
            tokens.push(plan.tokens);
            steps.push(plan.steps);
            parameters.push(plan.parameters);
        }
        if let Some(free) = free_space(self.dir).filter(|&free| free < checkpoint_bytes) {
            let gigabytes = |bytes: u64| format!("{:.2} GB", bytes as f64 / 1e9);
            return Err(Error::Space {
                path: self.dir.to_path_buf(),
                needed: gigabytes(checkpoint_bytes),
                available: gigabytes(free),
                hint: "free some space, choose another device with `-o`, or compare fewer arms".to_string(),
            });
        }
        let jobs = left.iter().sum();
        let at_once = match Device::selected()? {
            Device::Cpu(_) => workers::at_once(jobs, memory_bytes),
            // One run keeps a card busy.
            Device::Cuda(_) => 1,
        };
        // The last has the fewest threads. One arm is measured on as many; the others take as long as their operations.
        let threads = workers::share(at_once - 1, at_once);
        let seconds = match left.iter().position(|&left| left > 0) {
            Some(first) => operations / (at_once as f64 * workers::on(threads, || self.rate(&design.arms[first]))?),
            None => 0.0,
        };
        Ok(Plan {
            arms: design.arms.len(),
            seeds: design.seeds.len(),
            finished: design.arms.len() * design.seeds.len() - jobs,
            steps,
            parameters,
            tokens,
            tokens_left,
            at_once,
            threads,
            checkpoint_bytes,
            windows: self.frozen.sequences.iter().map(|one| one.window).max().map_or(0, |last| last as usize + 1),
            sequences: self.frozen.sequences.len(),
            seconds,
        })
    }

    /// Floating point operations a second of one run of an arm, on the threads of the caller.
    fn rate(&self, arm: &ResolvedArm) -> Result<f64> {
        let config = &arm.config;
        let bert_config = config.bert()?;
        let room = capacity(config, config.train.micro_batch_tokens as usize)?;
        let mut executor = Executor::new(bert::masked_lm(&bert_config)?, room, precision(config), Mode::Train)?;
        executor.initialize(config.seed);
        let speed = measure(config, bert_config.vocab_size, &mut executor, &room)?;
        Ok(speed * plan::flops_per_token(config, &bert_config)?)
    }

    /// Trains a run to its end, or goes on with it, and asks it; none where it was stopped.
    pub fn finish(
        &self,
        arm: &ResolvedArm,
        seed: u64,
        genome: &Genome,
        cache: &Path,
        tell: Tell<'_, Told>,
        stop: &AtomicBool,
    ) -> Result<Option<Answers>> {
        tell(Told::Begun);
        let mut teller = Teller(tell);
        let dir = self.dir.join(name(&arm.name, seed));
        // A run that was killed after its last checkpoint goes on as well: what its directory shows and its report may not be written yet.
        let outcome = if dir.join(CONFIG).is_file() {
            pretrain::resume(&dir, cache, &mut teller, stop)?
        } else {
            let request =
                pretrain::Request { settings: arm.settings(seed)?, genome: genome.clone(), output: &dir, init: None };
            start_on(request, Some(self.frozen), &mut teller, stop)?
        };
        if !outcome.finished {
            return Ok(None);
        }
        let (state, _): (State, _) = Checkpoints::new(dir.join("checkpoints")).newest()?;
        let answers = Answers {
            step: state.step,
            mask_rate: state.total.mask_rate(),
            tokens: state.total.tokens,
            masked_tokens: state.total.masked,
            frozen_sha256: self.frozen_sha256.to_string(),
            // The numbers of `tatabox evaluate`.
            nats: sequence_nats(&dir, &self.dir.join(crate::run::FROZEN), self.frozen, Precision::F32)?,
        };
        let text = serde_json::to_string(&answers).expect("a plain struct has a JSON form") + "\n";
        whole::write(&self.answers_path(&arm.name, seed), |out| out.write_all(text.as_bytes()))?;
        Ok(Some(answers))
    }
}
