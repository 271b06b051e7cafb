//! Metrics of scores: how well they put one class above the other. Equal scores are never taken apart.

/// The area under the ROC curve: the probability that a positive has a higher score than a negative, ties counted half. None without both.
///
/// # Examples
/// ```
/// use tatabox_core::metrics::auroc;
/// assert_eq!(auroc(&[false, true, true], &[0.1, 0.4, 0.4]), Some(1.0));
/// assert_eq!(auroc(&[false, true], &[0.3, 0.3]), Some(0.5));
/// ```
pub fn auroc(truth: &[bool], scores: &[f64]) -> Option<f64> {
    let steps = steps(truth, scores);
    let (_, positives, negatives) = *steps.last()?;
    // Twice the number of pairs in order, in whole numbers: nothing is lost by rounding.
    let (mut twice, mut above) = (0u128, 0u64);
    let mut before = 0;
    for &(_, hits, misses) in &steps {
        twice += u128::from(misses - before) * u128::from(above + hits);
        (above, before) = (hits, misses);
    }
    let pairs = u128::from(positives) * u128::from(negatives);
    (pairs > 0).then(|| twice as f64 / (2 * pairs) as f64)
}

/// The mean over the classes of the area under each one's ROC curve against all others; `scores` is `[classes][examples]`. None where a class has no examples
/// or is the only one.
pub fn auroc_one_vs_rest(truth: &[usize], scores: &[Vec<f64>]) -> Option<f64> {
    let area = |class: usize| {
        let is: Vec<bool> = truth.iter().map(|&of| of == class).collect();
        auroc(&is, &scores[class])
    };
    let areas: Vec<f64> = (0..scores.len()).map(area).collect::<Option<_>>()?;
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// Average precision: the sum over thresholds of precision times the recall gained, without interpolation (scikit-learn's `average_precision_score`). None
/// without positives.
pub fn average_precision(truth: &[bool], scores: &[f64]) -> Option<f64> {
    let steps = steps(truth, scores);
    let positives = steps.last()?.1;
    let mut sum = 0.0;
    let mut before = 0;
    for &(_, hits, misses) in &steps {
        sum += (hits - before) as f64 / positives as f64 * (hits as f64 / (hits + misses) as f64);
        before = hits;
    }
    (positives > 0).then_some(sum)
}

/// The ROC curve from (0, 0) to (1, 1): false positive rate and true positive rate a threshold, the highest first. None without both classes.
pub fn roc_curve(truth: &[bool], scores: &[f64]) -> Option<Vec<(f64, f64)>> {
    let steps = steps(truth, scores);
    let (_, positives, negatives) = *steps.last()?;
    let point =
        |&(_, hits, misses): &(f64, u64, u64)| (misses as f64 / negatives as f64, hits as f64 / positives as f64);
    (positives > 0 && negatives > 0).then(|| [(0.0, 0.0)].into_iter().chain(steps.iter().map(point)).collect())
}

/// The precision-recall curve: recall and precision a threshold, the highest first. None without positives.
pub fn pr_curve(truth: &[bool], scores: &[f64]) -> Option<Vec<(f64, f64)>> {
    let steps = steps(truth, scores);
    let positives = steps.last()?.1;
    let point =
        |&(_, hits, misses): &(f64, u64, u64)| (hits as f64 / positives as f64, hits as f64 / (hits + misses) as f64);
    (positives > 0).then(|| steps.iter().map(point).collect())
}

/// For each distinct score, from the highest: the score, and how many positives and negatives have it or a higher one.
fn steps(truth: &[bool], scores: &[f64]) -> Vec<(f64, u64, u64)> {
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]));
    let mut steps: Vec<(f64, u64, u64)> = Vec::new();
    let (mut hits, mut misses) = (0, 0);
    for at in order {
        hits += u64::from(truth[at]);
        misses += u64::from(!truth[at]);
        match steps.last_mut() {
            Some(last) if last.0 == scores[at] => *last = (scores[at], hits, misses),
            _ => steps.push((scores[at], hits, misses)),
        }
    }
    steps
}
