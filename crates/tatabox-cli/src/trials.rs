//! Many fits in words: what will happen, a bar over all of them, a line for each.

use indicatif::{ProgressBar, ProgressStyle};
use tatabox::trial::{Plan, Watcher};

use crate::ui;

/// Tells an experiment of many fits on stderr. The bar is there on a terminal only; the lines are always.
pub struct Words {
    bar: ProgressBar,
    runs: usize,
}

impl Words {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden(), runs: 0 }
    }

    fn line(&self, words: &str) {
        self.bar.suspend(|| ui::say(words));
    }
}

impl Watcher for Words {
    fn planned(&mut self, plan: &Plan) {
        let mut rows: Vec<(&str, String)> =
            plan.facts.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        rows.push(("Learners", plan.learners.join(", ")));
        let finished = match plan.runs_finished {
            0 => String::new(),
            all if all == plan.runs => ", all finished".to_string(),
            some => format!(", {} finished", ui::count(some as u64)),
        };
        rows.push(("Runs", format!("{}{finished}", ui::count(plan.runs as u64))));
        ui::say(ui::pairs(&rows).trim_end());
        let style = ProgressStyle::with_template("{bar:30.cyan} {pos} of {len}  {msg}  {eta} left")
            .expect("the template is a constant");
        self.runs = plan.runs;
        self.bar = ProgressBar::new(plan.runs as u64).with_style(style.progress_chars("━╸─"));
        self.bar.set_position(plan.runs_finished as u64);
        // What was finished before took this process no time.
        self.bar.reset_eta();
    }

    fn began(&mut self, what: &str, at_once: usize) {
        let beside =
            if at_once > 1 { format!("{at_once} fits side by side") } else { "one fit after another".to_string() };
        self.line(&if what.is_empty() { beside } else { format!("{what}: {beside}") });
    }

    fn ended(&mut self, finished: usize, words: &str) {
        self.bar.set_position(finished as u64);
        self.line(&format!("{finished:>5} of {}  {words}", self.runs));
        if finished == self.runs {
            self.bar.finish_and_clear();
        }
    }

    fn message(&mut self, text: &str) {
        self.line(&format!("note: {text}"));
    }
}
