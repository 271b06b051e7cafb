//! Statistics for comparisons: what several runs, or several windows, say about a difference, and how sure it is.
//!
//! | question | answer |
//! |---|---|
//! | where do a few values lie, and how far apart are they | [`Summary`]: mean, standard deviation, Student's interval |
//! | how far are the means of two samples apart | [`welch_t`] |
//! | could paired differences be as large if their signs were chance | [`sign_flip`], exact where there are few pairs |
//! | how far does a ratio of sums move with the units it is summed over | [`bootstrap_ratio`] |
//! | several tests at once | [`holm`] |
//!
//! Everything drawn comes from a [`SeededRng`](crate::rng::SeededRng): the same seed gives the same p-value.

mod bootstrap;
mod holm;
mod sign_flip;
mod student;
mod summary;

pub use bootstrap::bootstrap_ratio;
pub use holm::holm;
pub use sign_flip::sign_flip;
pub use student::{student_cdf, student_quantile};
pub use summary::{Interval, Summary, welch_t};
