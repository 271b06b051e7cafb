//! The training loop: steps, the log, held-out loss, checkpoints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_engine::{Batch, Executor, StepKey};

use crate::checkpoint::{Best, Companions, State, Sums, Tensors};
use crate::data::{Batches, StepData};
use crate::dataset::Dataset;
use crate::error::Result;
use crate::evaluate::score;
use crate::metrics::Line;
use crate::observer::{Observer, Outcome, Progress};
use crate::plan::Plan;
use crate::recipe::RunConfig;
use crate::run::{DATASET, Run};
use crate::run_report;
use crate::tensorboard::EventWriter;
use crate::weights::Tensor;

/// How fast the speed that is shown forgets: the weight of the newest step.
const SPEED_MEMORY: f64 = 0.1;

/// What a step gave.
struct StepResult {
    sums: Sums,
    learning_rate: f64,
    gradient_norm: f32,
}

/// A run at work.
pub struct Trainer {
    run: Run,
    config: RunConfig,
    executor: Executor,
    state: State,
    frozen: Option<(FrozenMasks, Vec<Batch>)>,
    companions: Companions,
    events: EventWriter,
    plan: Plan,
    /// Tokens and seconds of this process's steps.
    worked: (u64, f64),
    speed: f64,
    last_loss: Option<f64>,
    training_loss: Option<f64>,
}

/// All tensors of a checkpoint.
///
/// # Errors
/// The GPU that holds them failed.
pub fn tensors(executor: &Executor) -> Result<Tensors<'_>> {
    let weights = executor.specs().iter().enumerate();
    let weights =
        weights.map(|(index, spec)| Tensor { name: &spec.name, shape: &spec.shape, values: executor.param(index) });
    let tensors = Tensors {
        weights: weights.collect(),
        moments: (0..executor.specs().len()).map(|index| executor.moments(index)).collect(),
    };
    executor.check()?;
    Ok(tensors)
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Trainer {
    /// A run that stands at `state`, with the weights and moments of that moment in `executor`.
    pub fn new(
        run: Run,
        config: RunConfig,
        executor: Executor,
        state: State,
        frozen: Option<(FrozenMasks, Vec<Batch>)>,
        companions: Companions,
        events: EventWriter,
        plan: Plan,
    ) -> Self {
        let speed = plan.tokens_per_second;
        Self {
            run,
            config,
            executor,
            state,
            frozen,
            companions,
            events,
            plan,
            worked: (0, 0.0),
            speed,
            last_loss: None,
            training_loss: None,
        }
    }

    /// Trains to the last step, or until `stop` is set: then the state is saved, without the step that was under way.
    ///
    /// # Errors
    /// A file cannot be written, or the loss is no number any more. The last checkpoint stays as it is.
    pub fn train(mut self, batches: &Batches, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
        let steps = self.config.train.steps;
        std::thread::scope(|scope| {
            let ahead = batches.ahead(scope, self.state.step + 1..=steps);
            let mut upcoming = None;
            while self.state.step < steps {
                if stop.load(Ordering::Relaxed) {
                    return self.save_stopped(observer);
                }
                let wait = || ahead.recv().expect("the thread sends every step up to the last");
                let data: StepData = upcoming.take().unwrap_or_else(wait);
                upcoming = ahead.try_recv().ok();
                let start = Instant::now();
                let Some(result) = self.step(&data, upcoming.as_ref(), stop)? else {
                    return self.save_stopped(observer);
                };
                self.account(&data, &result, start.elapsed().as_secs_f64(), observer)?;
                self.after_step(observer)?;
            }
            Ok(())
        })?;
        self.write_report()?;
        self.outcome()
    }

    /// One optimizer step; `None` if it was stopped on the way, and then weights and moments are as before. `upcoming` is the next one's data, if it is there yet.
    fn step(&mut self, data: &StepData, upcoming: Option<&StepData>, stop: &AtomicBool) -> Result<Option<StepResult>> {
        let key = |step: u64, micro_step: u64| StepKey { seed: self.config.seed, step, micro_step };
        let mut sums = data.sums;
        self.executor.zero_gradients();
        for (micro_step, batch) in (0..).zip(&data.batches) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            sums.nats += self.executor.forward_backward(batch, key(data.step, micro_step), data.loss_scale())?;
        }
        if let Some((data, first)) = upcoming.and_then(|data| Some((data, data.batches.first()?))) {
            self.executor.prepare(first, key(data.step, 0), data.loss_scale())?;
        }
        let hint = "lower `train.learning_rate`, or set `train.max_grad_norm = 1.0`; the last checkpoint is kept";
        let schedule = self.config.schedule();
        let (learning_rate, gradient_norm) =
            self.config.train.optimizer.step(&mut self.executor, &schedule, data.step, sums.nats, hint)?;
        Ok(Some(StepResult { sums, learning_rate, gradient_norm }))
    }

    /// Counts a step, writes its line where one is due, and tells the observer.
    fn account(
        &mut self,
        data: &StepData,
        result: &StepResult,
        seconds: f64,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let StepResult { sums, learning_rate, gradient_norm } = result;
        self.state.step = data.step;
        self.state.total.add(sums);
        self.state.since_log.add(sums);
        let speed = sums.tokens as f64 / seconds.max(1e-9);
        let memory = if self.worked.0 == 0 { 1.0 } else { SPEED_MEMORY };
        self.speed += memory * (speed - self.speed);
        self.worked = (self.worked.0 + sums.tokens, self.worked.1 + seconds);
        let steps = self.config.train.steps;
        observer.step(&Progress {
            step: data.step,
            steps,
            loss: sums.loss(),
            learning_rate: *learning_rate,
            gradient_norm: f64::from(*gradient_norm),
            mask_rate: sums.mask_rate(),
            tokens_per_second: self.speed,
            flops_per_second: self.speed * self.plan.flops_per_token,
            seconds_left: (steps - data.step) as f64 * self.plan.tokens_per_step / self.speed.max(1e-9),
        });
        if data.step.is_multiple_of(self.config.log.every) || data.step == steps {
            let since = std::mem::take(&mut self.state.since_log);
            let finite = |value: f64| value.is_finite().then_some(value);
            self.training_loss = finite(since.loss());
            self.run.append_metrics(&Line::Train {
                step: data.step,
                loss: finite(since.loss()),
                learning_rate: *learning_rate,
                gradient_norm: f64::from(*gradient_norm),
                mask_rate: finite(since.mask_rate()),
                tokens: self.state.total.tokens,
                tokens_per_second: self.speed,
            })?;
            let wall = now();
            for (tag, value) in [
                ("loss/train", since.loss()),
                ("train/learning_rate", *learning_rate),
                ("train/gradient_norm", f64::from(*gradient_norm)),
                ("train/mask_rate", since.mask_rate()),
                ("speed/tokens_per_second", self.speed),
            ] {
                self.events.scalar(tag, data.step, value as f32, wall)?;
            }
            self.events.flush()?;
        }
        Ok(())
    }

    /// Held-out loss and checkpoint, where they are due. A checkpoint that is due always has its held-out loss: so the best is one that is kept.
    fn after_step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let step = self.state.step;
        let save = step.is_multiple_of(self.config.checkpoint.every) || step == self.config.train.steps;
        if save || step.is_multiple_of(self.config.evaluate.every) {
            self.evaluate(save, observer)?;
        }
        if save {
            self.save(observer)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, saved: bool, observer: &mut dyn Observer) -> Result<()> {
        let Some((frozen, batches)) = &self.frozen else { return Ok(()) };
        let scores = score(&mut self.executor, frozen, batches)?;
        let (step, loss) = (self.state.step, scores.overall.nats_per_token);
        if saved && self.state.best.is_none_or(|best| loss < best.loss) {
            self.state.best = Some(Best { step, loss });
        }
        self.last_loss = Some(loss);
        observer.evaluated(step, &scores);
        let wall = now();
        self.events.scalar("loss/held_out", step, loss as f32, wall)?;
        for mask in &scores.by_mask {
            self.events.scalar(&format!("held_out/{}", mask.mask), step, mask.score.nats_per_token as f32, wall)?;
        }
        self.events.flush()?;
        self.run.append_metrics(&Line::Evaluation { step, loss, scores })?;
        self.write_report()
    }

    fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let (checkpoints, step) = (self.run.checkpoints(), self.state.step);
        let path = checkpoints.write(&self.state, &tensors(&self.executor)?, &self.companions)?;
        self.run.publish(step, &self.companions)?;
        checkpoints.prune(self.config.checkpoint.keep, self.state.best.map(|best| best.step))?;
        observer.saved(step, &path);
        Ok(())
    }

    /// Saves a run that is stopped, unless its newest checkpoint is of this very step.
    fn save_stopped(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.run.checkpoints().steps()?.first() == Some(&self.state.step) {
            return Ok(());
        }
        self.save(observer)
    }

    fn write_report(&self) -> Result<()> {
        run_report::write(&self.run, &self.config, &self.plan)
    }

    fn outcome(&self) -> Result<Outcome> {
        let finite = |value: f64| value.is_finite().then_some(value);
        Ok(Outcome {
            run: self.run.dir().to_path_buf(),
            step: self.state.step,
            steps: self.config.train.steps,
            finished: self.state.step == self.config.train.steps,
            training_loss: self.training_loss.or(finite(self.state.total.loss())),
            loss: self.last_loss,
            best: self.state.best,
            baselines: Dataset::read(&self.run.path(DATASET))?.baseline_losses(),
            tokens_per_second: if self.worked.1 > 0.0 { self.worked.0 as f64 / self.worked.1 } else { 0.0 },
            flops_per_token: self.plan.flops_per_token,
        })
    }
}
