//! A run in words: what will happen, a bar while it happens, and a line for each measurement.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use tatabox::observer::{Observer, Progress};
use tatabox::plan::Plan;
use tatabox_core::score::Scores;
use tatabox_engine::{Device, Precision};

use crate::ui;

/// Tells a run on stderr. The bar is there on a terminal only; the lines are always.
pub struct Words {
    bar: ProgressBar,
    last: Option<Progress>,
    /// Floating point operations a second of one large product on this machine.
    peak: Option<f64>,
}

impl Words {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden(), last: None, peak: None }
    }

    fn line(&self, words: String) {
        self.bar.suspend(|| ui::say(words));
    }
}

impl Observer for Words {
    fn planned(&mut self, plan: &Plan) {
        let precision = if plan.precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
        self.peak = Device::selected().and_then(|device| device.matrix_rate(precision)).ok();
        if let Some(why) = Device::passed_over() {
            self.line(format!("computing on the processor: {why}"));
        }
        self.line(described(plan, self.peak).trim_end().to_string());
        let style = "{bar:30.cyan} {percent:>3} %  {msg}";
        let style = ProgressStyle::with_template(style).expect("the template is a constant");
        self.bar = ProgressBar::new(plan.steps).with_style(style.progress_chars("━╸─"));
    }

    fn step(&mut self, progress: &Progress) {
        // What was measured on a machine that others used at that moment is too low: no step is faster than its peak.
        self.peak = self.peak.map(|peak| peak.max(progress.flops_per_second));
        self.bar.set_position(progress.step);
        self.bar.set_message(running(progress, self.peak));
        self.last = Some(*progress);
        if progress.step == progress.steps {
            self.bar.finish_and_clear();
        }
    }

    fn evaluated(&mut self, step: u64, scores: &Scores) {
        let mut words = format!("step {:>8}  held-out {:.4}", ui::count(step), scores.overall.nats_per_token);
        if let Some(last) = &self.last {
            words.push_str("  ");
            words.push_str(&running(last, self.peak));
        }
        self.line(words);
    }

    fn saved(&mut self, _step: u64, _path: &Path) {}

    fn message(&mut self, text: &str) {
        self.line(format!("note: {text}"));
    }
}

/// What will happen, before it does.
fn described(plan: &Plan, peak: Option<f64>) -> String {
    let of = plan.available_bytes.map_or(String::new(), |free| format!(" of {} free", ui::bytes(free)));
    ui::pairs(&[
        ("model", format!("{} parameters", ui::short(plan.parameters as f64))),
        (
            "training",
            format!(
                "{} steps of {} tokens: {} tokens, {:.1} passes over {} bases",
                ui::count(plan.steps),
                ui::count(plan.tokens_per_step.round() as u64),
                ui::short(plan.tokens),
                plan.passes,
                ui::short(plan.training_bases as f64),
            ),
        ),
        (
            "memory",
            format!("{}{of}; a checkpoint takes {}", ui::bytes(plan.memory_bytes), ui::bytes(plan.checkpoint_bytes)),
        ),
        (
            "speed",
            format!(
                "{} tokens/s, {} ({}, {})",
                ui::short(plan.tokens_per_second),
                rate(plan.tokens_per_second * plan.flops_per_token, peak),
                plan.precision,
                plan.kernels
            ),
        ),
        ("time", format!("about {}", ui::duration(plan.seconds))),
    ])
}

/// Loss, speed and time left.
fn running(progress: &Progress, peak: Option<f64>) -> String {
    let loss = if progress.loss.is_finite() { format!("{:.4}", progress.loss) } else { "–".to_string() };
    format!(
        "loss {loss}  {} tokens/s  {}  {} left",
        ui::short(progress.tokens_per_second),
        rate(progress.flops_per_second, peak),
        ui::duration(progress.seconds_left)
    )
}

/// Operations a second, as a share of this machine's matrix rate where that is known.
fn rate(flops_per_second: f64, peak: Option<f64>) -> String {
    match peak {
        Some(peak) => format!("{:.0} % of peak", 100.0 * flops_per_second / peak),
        None => format!("{}FLOP/s", ui::short(flops_per_second)),
    }
}
