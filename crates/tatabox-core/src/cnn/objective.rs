//! What the answers should be: the loss of each task and its slopes.

use crate::labelled::{Target, Task};

/// The loss of a task, per example.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Objective {
    /// -ln p(class), p by softmax.
    Classes,
    /// The mean over labels of -ln p, p by the logistic function.
    Labels,
    /// Half the mean squared error of targets at mean 0 and variance 1.
    Values {
        /// The mean of each target, `[outputs]`.
        center: Vec<f64>,
        /// Its standard deviation; 1 where it does not vary.
        spread: Vec<f64>,
    },
}

impl Objective {
    /// The objective of a task, scaled to the targets that are learnt from.
    pub fn new(task: Task, targets: &[&Target], outputs: usize) -> Objective {
        match task {
            Task::Binary | Task::MultiClass => Objective::Classes,
            Task::MultiLabel => Objective::Labels,
            Task::Regression => {
                let count = targets.len().max(1) as f64;
                let moments = |at: usize| {
                    let mean = targets.iter().map(|target| value(target, at)).sum::<f64>() / count;
                    let variance = targets.iter().map(|target| (value(target, at) - mean).powi(2)).sum::<f64>() / count;
                    (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
                };
                let (center, spread) = (0..outputs).map(moments).unzip();
                Objective::Values { center, spread }
            }
        }
    }

    /// The loss of an example, and its slopes by the logits, written over them.
    pub fn loss(&self, logits: &mut [f64], target: &Target) -> f64 {
        let outputs = logits.len() as f64;
        match self {
            Objective::Classes => {
                let class = target.class().unwrap_or(0);
                let answer = softmax(logits);
                for (at, (slope, p)) in logits.iter_mut().zip(&answer).enumerate() {
                    *slope = p - f64::from(u8::from(at == class));
                }
                -answer[class].max(f64::MIN_POSITIVE).ln()
            }
            Objective::Labels => {
                let mut loss = 0.0;
                for (at, slope) in logits.iter_mut().enumerate() {
                    let holds = matches!(target, Target::Labels(labels) if labels.get(at) == Some(&true));
                    // ln(1 + e^x) without an overflow.
                    let signed = if holds { -*slope } else { *slope };
                    loss += signed.max(0.0) + (-signed.abs()).exp().ln_1p();
                    *slope = (logistic(*slope) - f64::from(u8::from(holds))) / outputs;
                }
                loss / outputs
            }
            Objective::Values { center, spread } => {
                let mut loss = 0.0;
                for (at, slope) in logits.iter_mut().enumerate() {
                    let error = *slope - (value(target, at) - center[at]) / spread[at];
                    loss += 0.5 * error * error / outputs;
                    *slope = error / outputs;
                }
                loss
            }
        }
    }

    /// Probabilities or numbers of logits, `[outputs]`.
    pub fn answer(&self, logits: &[f64]) -> Vec<f64> {
        match self {
            Objective::Classes => softmax(logits),
            Objective::Labels => logits.iter().map(|&logit| logistic(logit)).collect(),
            Objective::Values { center, spread } => {
                logits.iter().zip(center).zip(spread).map(|((logit, center), spread)| center + spread * logit).collect()
            }
        }
    }
}

fn value(target: &Target, at: usize) -> f64 {
    match target {
        Target::Values(values) => values[at],
        _ => 0.0,
    }
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut answer: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f64 = answer.iter().sum();
    answer.iter_mut().for_each(|p| *p /= sum);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_every_loss_are_finite_differences() {
        let values = [Target::Values(vec![1.0, -3.0, 5.0]), Target::Values(vec![2.0, 0.0, 5.0])];
        for (task, target) in [
            (Task::MultiClass, Target::Class(2)),
            (Task::MultiLabel, Target::Labels(vec![true, false, true])),
            (Task::Regression, values[0].clone()),
        ] {
            let objective = Objective::new(task, &values.each_ref(), 3);
            let at = [0.7, -1.3, 40.0];
            let mut slopes = at;
            objective.loss(&mut slopes, &target);
            for index in 0..3 {
                let beside = |step: f64| {
                    let mut moved = at;
                    moved[index] += step;
                    objective.loss(&mut moved, &target)
                };
                let difference = (beside(1e-5) - beside(-1e-5)) / 2e-5;
                assert!((difference - slopes[index]).abs() < 1e-6, "{task} {index}: {difference} {}", slopes[index]);
            }
        }
    }

    #[test]
    fn numbers_come_back_in_their_own_unit() {
        let targets = [Target::Values(vec![10.0, 5.0]), Target::Values(vec![30.0, 5.0])];
        let objective = Objective::new(Task::Regression, &targets.each_ref(), 2);
        assert_eq!(objective.answer(&[1.0, 0.0]), [30.0, 5.0]);
        assert_eq!(objective.loss(&mut [1.0, 0.0], &targets[1]), 0.0);
    }
}
