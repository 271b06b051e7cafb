//! The runs of a comparison: their plan, and one after the other, each once.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use tatabox_core::corpus::Part;
use tatabox_core::genome::Genome;
use tatabox_core::io::whole;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_engine::{Executor, Mode, Precision};

use super::design::{Design, ResolvedArm};
use crate::checkpoint::{Checkpoints, State};
use crate::data::sampler;
use crate::error::{Error, Result};
use crate::evaluate::sequence_nats;
use crate::memory::free_space;
use crate::models::bert;
use crate::observer::Observer;
use crate::plan::{self, capacity, measure, precision};
use crate::pretrain::{self, start_on};
use crate::run::CONFIG;

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
    /// Tokens of all runs after it.
    pub tokens_after: f64,
}

/// Hears of a comparison and of each of its runs.
pub trait Watcher: Observer {
    /// Before the first run.
    fn compared(&mut self, plan: &Plan) {
        let _ = plan;
    }
    /// Before a run, or before the rest of it.
    fn begun(&mut self, place: &Place) {
        let _ = place;
    }
    /// After a run, with its held-out loss over all masks in nats a masked token.
    fn ended(&mut self, place: &Place, loss: f64) {
        let _ = (place, loss);
    }
}

impl Watcher for () {}

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
        // One arm is measured; the others take as long as their operations.
        let mut rate = None;
        let mut tokens = Vec::new();
        let (mut tokens_left, mut checkpoint_bytes, mut operations) = (0.0, 0, 0.0);
        let (mut steps, mut parameters) = (Vec::new(), Vec::new());
        for (arm, &left) in design.arms.iter().zip(&left) {
            let config = &arm.config;
            let bert_config = config.bert()?;
            let graph = bert::masked_lm(&bert_config)?;
            let room = capacity(config, config.train.micro_batch_tokens as usize)?;
            let training = sampler(config, genome, Part::Train)?;
            let speed = match rate {
                None if left > 0 => {
                    let mut executor = Executor::new(graph.clone(), room, precision(config), Mode::Train)?;
                    executor.initialize(config.seed);
                    measure(config, bert_config.vocab_size, &mut executor, &room)?
                }
                _ => 1.0,
            };
            let plan = plan::plan(config, &bert_config, &graph, &room, &training, speed, 0)?;
            if left > 0 && rate.is_none() {
                rate = Some(speed * plan.flops_per_token);
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
        Ok(Plan {
            arms: design.arms.len(),
            seeds: design.seeds.len(),
            finished: design.arms.len() * design.seeds.len() - left.iter().sum::<usize>(),
            steps,
            parameters,
            tokens,
            tokens_left,
            checkpoint_bytes,
            windows: self.frozen.sequences.iter().map(|one| one.window).max().map_or(0, |last| last as usize + 1),
            sequences: self.frozen.sequences.len(),
            seconds: rate.map_or(0.0, |rate| operations / rate),
        })
    }

    /// Trains a run to its end, or goes on with it, and asks it; none where it was stopped.
    pub fn finish(
        &self,
        arm: &ResolvedArm,
        seed: u64,
        genome: &Genome,
        cache: &Path,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Answers>> {
        let dir = self.dir.join(name(&arm.name, seed));
        // A run that was killed after its last checkpoint goes on as well: what its directory shows and its report may not be written yet.
        let outcome = if dir.join(CONFIG).is_file() {
            pretrain::resume(&dir, cache, observer, stop)?
        } else {
            let request =
                pretrain::Request { settings: arm.settings(seed)?, genome: genome.clone(), output: &dir, init: None };
            start_on(request, Some(self.frozen), observer, stop)?
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
