//! Predicted classes and their probabilities.

use super::{Curves, Measure, Measured, Metric, curve};
use crate::labelled::Target;
use crate::metrics::{Confusion, Ranking, Reliability, argmax, mean, squared_distances};

/// Classes, their probabilities, and what is prepared of them.
pub(super) struct Classes {
    classes: usize,
    truth: Vec<usize>,
    predicted: Vec<usize>,
    /// One class against the others: of two classes the second, else every one.
    rankings: Vec<Ranking>,
    /// Of two classes the probability of the second; else, for the page, of every one.
    reliabilities: Vec<Reliability>,
    /// Of two classes the probability of the second; else of the class predicted.
    confidence: Reliability,
    squares: Vec<f64>,
}

impl Classes {
    pub fn of(classes: usize, targets: &[&Target], scores: &[Vec<f64>]) -> Classes {
        let truth: Vec<usize> = targets.iter().map(|target| target.class().expect("a class")).collect();
        let predicted: Vec<usize> = scores.iter().map(|row| argmax(row)).collect();
        let against = |class: usize| -> (Vec<bool>, Vec<f64>) {
            (truth.iter().map(|&of| of == class).collect(), scores.iter().map(|row| row[class]).collect())
        };
        let drawn = if classes == 2 { 1..2 } else { 0..classes };
        let sides: Vec<_> = drawn.map(against).collect();
        let rankings = sides.iter().map(|(is, of)| Ranking::of(is, of)).collect();
        let reliabilities: Vec<Reliability> = sides.iter().map(|(is, of)| Reliability::of(is, of)).collect();
        let confidence = if classes == 2 {
            reliabilities[0].clone()
        } else {
            let right: Vec<bool> = truth.iter().zip(&predicted).map(|(truth, predicted)| truth == predicted).collect();
            let given: Vec<f64> = scores.iter().zip(&predicted).map(|(row, &class)| row[class]).collect();
            Reliability::of(&right, &given)
        };
        let squares = squared_distances(&truth, scores);
        Classes { classes, truth, predicted, rankings, reliabilities, confidence, squares }
    }

    /// Where the rankings and reliabilities of a class are.
    fn side(&self, class: usize) -> Option<usize> {
        if self.classes != 2 { Some(class) } else { (class == 1).then_some(0) }
    }
}

impl Measure for Classes {
    fn measure(&self, times: &[u32]) -> Vec<Measured> {
        use Metric::*;
        let confusion = Confusion::drawn(&self.truth, &self.predicted, self.classes, times);
        let ranked: Vec<[Option<f64>; 2]> =
            self.rankings.iter().map(|one| [one.auroc(times), one.average_precision(times)]).collect();
        // A class without examples leaves the mean over the classes undefined, as in scikit-learn.
        let mean_of = |at: usize| -> Option<f64> {
            let all: Vec<f64> = ranked.iter().map(|one| one[at]).collect::<Option<_>>()?;
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        let mut measured = vec![
            (None, Accuracy, confusion.accuracy()),
            (None, Mcc, confusion.mcc()),
            (None, MacroF1, confusion.macro_mean().map(|means| means[2])),
            (None, Auroc, mean_of(0)),
            (None, AveragePrecision, mean_of(1)),
            (None, Brier, mean(&self.squares, times)),
            (None, CalibrationError, self.confidence.error(times)),
        ];
        for class in 0..self.classes {
            let of = confusion.class(class);
            measured.extend([
                (Some(class), Precision, of.precision),
                (Some(class), Recall, of.recall),
                (Some(class), F1, of.f1),
            ]);
            if self.classes == 2 && class == 1 {
                measured.push((None, F1, of.f1));
            } else if self.classes != 2 {
                let [auroc, precision] = ranked[class];
                measured.extend([(Some(class), Auroc, auroc), (Some(class), AveragePrecision, precision)]);
            }
        }
        measured
    }

    fn output(&self, class: usize) -> (u64, Option<Curves>) {
        let records = self.truth.iter().filter(|&&of| of == class).count() as u64;
        let curves =
            self.side(class).map(|side| curve::of(&self.rankings[side], &self.reliabilities[side], &self.truth));
        (records, curves)
    }

    fn confusion(&self) -> Option<Confusion> {
        Some(Confusion::of(&self.truth, &self.predicted, self.classes))
    }
}
