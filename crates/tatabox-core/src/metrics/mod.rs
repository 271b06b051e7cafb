//! Metrics of predictions, with the definitions of scikit-learn and SciPy, and how sure they are.
//!
//! | predictions | metrics |
//! |---|---|
//! | classes | accuracy; precision, recall and F1 by class and macro; Matthews' correlation |
//! | scores of two classes | area under the ROC curve, average precision |
//! | probabilities | Brier's score, calibration by tenths and its expected error |
//! | numbers | Pearson's and Spearman's correlation, mean squared error |
//!
//! A metric that is not defined (a class that nobody predicts has no precision) is `None`, unlike scikit-learn's 0; macro means count it as 0, as scikit-learn does.

mod bootstrap;
mod calibration;
mod classes;
mod correlation;
mod order;
mod ranking;

pub use bootstrap::bootstrap;
pub use calibration::{BINS, Bin, Reliability, squared_distances};
pub use classes::{ClassMetrics, Confusion, argmax};
pub use correlation::{Paired, mean, mean_squared_error, pearson, spearman};
pub use ranking::{Ranking, auroc, average_precision};

#[cfg(test)]
mod tests;
