use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// Written by scikit-learn and SciPy: benches/peers/metrics.py.
fn golden(section: &str) -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("../../tests/golden/metrics.json")).unwrap();
    golden[section].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn classes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as usize).collect()
}

#[track_caller]
fn close(got: f64, expected: &Value) {
    assert!((got - expected.as_f64().unwrap()).abs() < 1e-12, "{got} {expected}");
}

#[test]
fn metrics_of_classes_equal_scikit_learns() {
    for case in golden("classes") {
        let count = case["classes"].as_u64().unwrap() as usize;
        let confusion = Confusion::of(&classes(&case["truth"]), &classes(&case["predicted"]), count);
        close(confusion.accuracy().unwrap(), &case["accuracy"]);
        close(confusion.mcc().unwrap(), &case["mcc"]);
        let means = confusion.macro_mean().unwrap();
        (0..3).for_each(|at| close(means[at], &case["macro"][at]));
        for class in 0..count {
            let of = confusion.class(class);
            close(of.precision.unwrap_or(0.0), &case["precision"][class]);
            close(of.recall.unwrap_or(0.0), &case["recall"][class]);
            close(of.f1.unwrap_or(0.0), &case["f1"][class]);
        }
    }
}

#[test]
fn metrics_of_scores_equal_scikit_learns() {
    for case in golden("scores") {
        let truth: Vec<bool> = case["truth"].as_array().unwrap().iter().map(|of| of.as_bool().unwrap()).collect();
        let scores = numbers(&case["scores"]);
        close(auroc(&truth, &scores).unwrap(), &case["auroc"]);
        close(average_precision(&truth, &scores).unwrap(), &case["average_precision"]);
        // The area under the curve that is drawn is the same number.
        let curve = Ranking::of(&truth, &scores).roc_curve().unwrap();
        let area: f64 = curve.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum();
        close(area, &case["auroc"]);
        assert_eq!(Ranking::of(&truth, &scores).pr_curve().unwrap().last().unwrap().0, 1.0);
    }
}

#[test]
fn metrics_of_numbers_equal_scipys() {
    for case in golden("numbers") {
        let (truth, predicted) = (numbers(&case["truth"]), numbers(&case["predicted"]));
        close(pearson(&truth, &predicted).unwrap(), &case["pearson"]);
        close(spearman(&truth, &predicted).unwrap(), &case["spearman"]);
        close(mean_squared_error(&truth, &predicted).unwrap(), &case["mse"]);
    }
}

#[test]
fn what_is_not_defined_is_none() {
    assert_eq!(auroc(&[true, true], &[0.1, 0.2]), None);
    assert_eq!(average_precision(&[false], &[0.1]), None);
    let nothing = Ranking::of(&[], &[]);
    assert_eq!((nothing.auroc(&[]), nothing.average_precision(&[])), (None, None));
    assert_eq!((nothing.roc_curve(), nothing.pr_curve()), (None, None));
    assert_eq!(pearson(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]), None);
    assert_eq!((mean_squared_error(&[], &[]), pearson(&[], &[])), (None, None));
    let nobody = Confusion::of(&[0, 0], &[0, 0], 2);
    assert_eq!((nobody.class(1).precision, nobody.class(1).f1, nobody.mcc()), (None, None, Some(0.0)));
    assert_eq!((Confusion::of(&[], &[], 2).accuracy(), Confusion::of(&[], &[], 2).mcc()), (None, None));
    assert_eq!(Confusion::of(&[], &[], 2).macro_mean(), None);
}

#[test]
fn the_interval_of_a_share_is_as_wide_as_the_normal_one() {
    let right: Vec<f64> = (0..400).map(|at| f64::from(u8::from(at % 4 != 0))).collect();
    let share = |times: &[u32]| vec![mean(&right, times), None];
    let found = bootstrap(400, 4_000, 0.95, 0, share);
    let interval = found[0].unwrap();
    let expected = 3.92 * (0.75 * 0.25 / 400.0f64).sqrt();
    assert!(((interval.high - interval.low) / expected - 1.0).abs() < 0.1, "{interval:?}");
    assert_eq!(found[1], None);
    assert_eq!(bootstrap(1, 10, 0.95, 0, |times| vec![mean(&[0.5], times)]), [None]);
}

/// A small draw of scores or numbers with ties, and how often each example was drawn.
fn drawn() -> impl Strategy<Value = Vec<(bool, f64, f64, u32)>> {
    let numbers = (any::<bool>(), 0..8i32, 0..8i32, 0..4u32);
    prop::collection::vec(numbers.prop_map(|(is, one, other, times)| (is, one.into(), other.into(), times)), 1..40)
}

proptest! {
    #[test]
    fn counting_an_example_twice_is_having_it_twice(examples in drawn()) {
        let each = |repeated: bool| {
            let of = |one: &(bool, f64, f64, u32)| vec![*one; if repeated { one.3 as usize } else { 1 }];
            let all: Vec<_> = examples.iter().flat_map(of).collect();
            let times: Vec<u32> = all.iter().map(|one| if repeated { 1 } else { one.3 }).collect();
            let is: Vec<bool> = all.iter().map(|one| one.0).collect();
            let (one, other): (Vec<f64>, Vec<f64>) = all.iter().map(|one| (one.1, one.2)).unzip();
            let (ranking, paired) = (Ranking::of(&is, &one), Paired::of(&one, &other));
            let tenths: Vec<f64> = one.iter().map(|value| value / 8.0).collect();
            let classes: Vec<usize> = is.iter().map(|&is| usize::from(is)).collect();
            let predicted: Vec<usize> = one.iter().map(|&value| usize::from(value > 3.0)).collect();
            [
                ranking.auroc(&times),
                ranking.average_precision(&times),
                paired.pearson(&times),
                paired.spearman(&times),
                paired.mean_squared_error(&times),
                Reliability::of(&is, &tenths).error(&times),
                Confusion::drawn(&classes, &predicted, 2, &times).mcc(),
            ]
        };
        for (weighted, repeated) in each(false).into_iter().zip(each(true)) {
            prop_assert_eq!(weighted.is_some(), repeated.is_some());
            prop_assert!((weighted.unwrap_or(0.0) - repeated.unwrap_or(0.0)).abs() < 1e-9, "{:?} {:?}", weighted, repeated);
        }
    }

    #[test]
    fn an_area_does_not_change_with_the_scale_and_turns_with_the_sign(
        examples in prop::collection::vec((any::<bool>(), 0..20i32), 2..60)
    ) {
        let truth: Vec<bool> = examples.iter().map(|one| one.0).collect();
        let scores = |scale: f64| examples.iter().map(|one| scale * f64::from(one.1)).collect::<Vec<f64>>();
        let area = auroc(&truth, &scores(1.0));
        prop_assert_eq!(area, auroc(&truth, &scores(3.5)));
        if let Some(area) = area {
            prop_assert!((area + auroc(&truth, &scores(-1.0)).unwrap() - 1.0).abs() < 1e-12);
        }
    }
}
