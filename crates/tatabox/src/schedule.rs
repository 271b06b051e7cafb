//! The learning rate of each step: a linear warmup, then linear decay, cosine decay, or no decay.
//!
//! As `get_linear_schedule_with_warmup` and its siblings in transformers (`optimization.py`): the first step of a warmup has rate 0.

/// What follows the warmup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Falls on a line to 0 at the last step.
    Linear,
    /// Stays.
    Constant,
    /// Falls to 0 along half a cosine.
    Cosine,
}

impl Decay {
    /// The words of `train.schedule`.
    pub const WORDS: [&str; 3] = ["linear", "constant", "cosine"];

    /// The word of `train.schedule`.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The schedule of a word; `None` for any other word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Decay::Linear, Decay::Constant, Decay::Cosine].into_iter().find(|decay| decay.word() == word)
    }
}

/// The learning rate as a function of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// Steps of warmup.
    pub warmup: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// What follows the warmup.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of a step; the first step is 1, as everywhere in a run. transformers counts from 0.
    ///
    /// # Examples
    /// ```
    /// use tatabox::schedule::{Decay, Schedule};
    /// let schedule = Schedule { peak: 4e-4, warmup: 10, steps: 30, decay: Decay::Linear };
    /// assert_eq!(schedule.rate(1), 0.0);
    /// assert_eq!(schedule.rate(11), 4e-4);
    /// assert_eq!(schedule.rate(21), 2e-4);
    /// ```
    pub fn rate(&self, step: u64) -> f64 {
        let done = step.saturating_sub(1);
        if done < self.warmup {
            return self.peak * done as f64 / self.warmup as f64;
        }
        let progress = (done - self.warmup) as f64 / (self.steps.saturating_sub(self.warmup)).max(1) as f64;
        let share = match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => (1.0 - progress).max(0.0),
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()),
        };
        self.peak * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `_get_linear_schedule_with_warmup_lr_lambda` of transformers: done / warmup, then (steps - done) / (steps - warmup), done from 0.
    #[test]
    fn equals_the_linear_schedule_of_transformers() {
        let schedule = Schedule { peak: 1.0, warmup: 4, steps: 10, decay: Decay::Linear };
        let expected = [0.0, 0.25, 0.5, 0.75, 1.0, 5.0 / 6.0, 4.0 / 6.0, 3.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0];
        for (step, expected) in (1..).zip(expected) {
            assert!((schedule.rate(step) - expected).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn cosine_is_half_way_down_in_the_middle() {
        let schedule = Schedule { peak: 2.0, warmup: 0, steps: 100, decay: Decay::Cosine };
        assert_eq!(schedule.rate(1), 2.0);
        assert!((schedule.rate(51) - 1.0).abs() < 1e-12);
        assert!(schedule.rate(100) < 0.01);
    }

    #[test]
    fn constant_stays_after_its_warmup() {
        let schedule = Schedule { peak: 3.0, warmup: 2, steps: 5, decay: Decay::Constant };
        assert_eq!((1..=5).map(|step| schedule.rate(step)).collect::<Vec<_>>(), [0.0, 1.5, 3.0, 3.0, 3.0]);
    }

    #[test]
    fn words_come_back() {
        for word in Decay::WORDS {
            assert_eq!(Decay::from_word(word).unwrap().word(), word);
        }
    }
}
