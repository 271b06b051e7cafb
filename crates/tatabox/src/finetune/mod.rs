//! Fine-tuning: a pretrained encoder learns to answer a question about sequences.
//!
//! ```text
//! Pretrained + Labelled ─▶ Fit (epochs) ─▶ run directory ─▶ Classifier ─▶ answers
//! ```
//! [`Pretrained`] is read once; [`Fit`] trains in memory; [`start`] and [`resume`] keep it in a run directory; [`FineTuner`] is the same thing as a
//! [`Learner`](crate::learner::Learner), for few-shot evaluation and benchmarks; [`Classifier`] answers.

mod presets;

mod config;

mod source;

mod record;

mod pretrained;

mod classifier;

mod fit;

mod tuner;

mod page;

mod run;

pub use classifier::{Classifier, Query};
pub use config::FinetuneConfig;
pub use fit::{Epoch, Fit, FitObserver, FitPlan, FitProgress, FitState, Pause, order};
pub use presets::{PRESETS, Preset};
pub use pretrained::Pretrained;
pub use record::Record;
pub use run::{Outcome, Request, Standing, complete, resume, start};
pub use source::Source;
pub use tuner::FineTuner;
