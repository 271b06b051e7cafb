//! Metrics of predictions, with the definitions of scikit-learn and SciPy, and how sure they are.
//!
//! | predictions | metrics |
//! |---|---|
//! | classes | accuracy; precision, recall and F1 by class and macro; Matthews' correlation |
//! | scores of two classes | area under the ROC curve, average precision |
//! | numbers | Pearson's and Spearman's correlation, mean squared error |
//!
//! A metric that is not defined (a class that nobody predicts has no precision) is `None`, unlike scikit-learn's 0; macro means count it as 0, as scikit-learn does.

mod bootstrap;
mod classes;
mod correlation;
mod ranking;

pub use bootstrap::bootstrap;
pub use classes::{ClassMetrics, Confusion};
pub use correlation::{mean_squared_error, pearson, spearman};
pub use ranking::{auroc, auroc_one_vs_rest, average_precision, pr_curve, roc_curve};

#[cfg(test)]
mod tests;
