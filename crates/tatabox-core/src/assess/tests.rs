use super::*;
use crate::report::{Html, Renderer, Report, Text};
use crate::rng::{Purpose, SeededRng};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("c{at}")).collect()
}

/// Written by scikit-learn: benches/peers/metrics.py.
fn golden(section: &str) -> Vec<serde_json::Value> {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/metrics.json")).unwrap();
    golden[section].as_array().unwrap().clone()
}

fn rows(value: &serde_json::Value) -> Vec<Vec<f64>> {
    let row = |row: &serde_json::Value| row.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// Every metric that the golden object names has its value.
#[track_caller]
fn equal(metrics: &Metrics, expected: &serde_json::Value) {
    for (name, value) in expected.as_object().unwrap() {
        let got = metrics[&name.parse::<Metric>().unwrap()].value;
        assert!((got - value.as_f64().unwrap()).abs() < 1e-12, "{name}: {got} {value}");
    }
}

fn of(task: Task, outputs: usize, targets: &[Target], scores: &[Vec<f64>]) -> Assessment {
    assess(task, &names(outputs), &targets.iter().collect::<Vec<_>>(), scores)
}

#[test]
fn probabilities_of_classes_are_measured_as_scikit_learn_does() {
    for case in golden("probabilities") {
        let scores = rows(&case["scores"]);
        let classes = scores[0].len();
        let targets: Vec<Target> =
            case["truth"].as_array().unwrap().iter().map(|of| Target::Class(of.as_u64().unwrap() as u32)).collect();
        let task = if classes == 2 { Task::Binary } else { Task::MultiClass };
        let found = of(task, classes, &targets, &scores);
        equal(&found.metrics, &case["metrics"]);
        for (at, expected) in case["calibration"].as_array().unwrap().iter().enumerate() {
            let output = if classes == 2 { 1 } else { at };
            let bins = &found.outputs[output].curves.as_ref().unwrap().calibration;
            let expected = rows(expected);
            assert_eq!(bins.len(), expected.len());
            for (bin, expected) in bins.iter().zip(expected) {
                assert!((bin.predicted - expected[0]).abs() < 1e-12 && (bin.share - expected[1]).abs() < 1e-12);
            }
        }
        assert!(classes > 2 || found.outputs[0].curves.is_none());
    }
}

#[test]
fn the_area_of_several_classes_is_the_mean_of_one_against_the_others() {
    for case in golden("one_vs_rest") {
        let by_class = rows(&case["scores"]);
        let scores: Vec<Vec<f64>> =
            (0..by_class[0].len()).map(|at| by_class.iter().map(|of| of[at]).collect()).collect();
        let truth = case["truth"].as_array().unwrap().iter();
        let targets: Vec<Target> = truth.map(|of| Target::Class(of.as_u64().unwrap() as u32)).collect();
        let area = of(Task::MultiClass, by_class.len(), &targets, &scores).metrics[&Metric::Auroc].value;
        assert!((area - case["auroc"].as_f64().unwrap()).abs() < 1e-12);
    }
    let third_is_nobodys =
        of(Task::MultiClass, 3, &[0, 1].map(Target::Class), &[vec![0.6, 0.4, 0.0], vec![0.4, 0.6, 0.0]]);
    assert!(!third_is_nobodys.metrics.contains_key(&Metric::Auroc));
}

#[test]
fn labels_are_measured_as_scikit_learn_does() {
    for case in golden("labels") {
        let scores = rows(&case["scores"]);
        let holds = |row: &Vec<f64>| Target::Labels(row.iter().map(|&of| of == 1.0).collect());
        let targets: Vec<Target> = rows(&case["truth"]).iter().map(holds).collect();
        let found = of(Task::MultiLabel, scores[0].len(), &targets, &scores);
        equal(&found.metrics, &case["metrics"]);
        for (output, expected) in found.outputs.iter().zip(case["outputs"].as_array().unwrap()) {
            equal(&output.metrics, expected);
        }
    }
}

#[test]
fn a_label_that_nobody_has_leaves_the_means_to_the_others() {
    let targets: Vec<Target> = (0..8).map(|at| Target::Labels(vec![at % 2 == 0, false])).collect();
    let scores: Vec<Vec<f64>> = (0..8).map(|at| vec![if at % 2 == 0 { 0.9 } else { 0.2 }, 0.1]).collect();
    let found = of(Task::MultiLabel, 2, &targets, &scores);
    assert_eq!(found.metrics[&Metric::Auroc].value, 1.0);
    assert_eq!((found.metrics[&Metric::MacroF1].value, found.metrics[&Metric::MicroF1].value), (0.5, 1.0));
    assert!(!found.outputs[1].metrics.contains_key(&Metric::Auroc) && found.outputs[1].records == 0);
}

#[test]
fn every_target_is_measured_apart_and_the_whole_is_their_mean() {
    let mut rng = SeededRng::new(0, Purpose::Test, 1, 0);
    let targets: Vec<Target> = (0..200).map(|_| Target::Values(vec![rng.unit(), rng.unit()])).collect();
    let scores: Vec<Vec<f64>> = targets
        .iter()
        .map(|target| match target {
            Target::Values(values) => vec![2.0 * values[0] + 1.0, rng.unit()],
            _ => unreachable!(),
        })
        .collect();
    let found = of(Task::Regression, 2, &targets, &scores);
    let pearson = |at: usize| found.outputs[at].metrics[&Metric::Pearson].value;
    assert!((pearson(0) - 1.0).abs() < 1e-12 && pearson(1).abs() < 0.25);
    assert!((found.metrics[&Metric::Pearson].value - 0.5 * (pearson(0) + pearson(1))).abs() < 1e-12);
    let interval = found.outputs[1].metrics[&Metric::Pearson].interval.unwrap();
    // Fisher's interval of a correlation near 0 of 200 pairs is 0.277 wide.
    assert!(((interval.high - interval.low) - 0.277).abs() < 0.04, "{interval:?}");
    assert_eq!(found.outputs[0].curves.as_ref().unwrap().means.len(), 10);
    let same: Vec<Vec<f64>> = scores.iter().map(|_| vec![0.5, 0.5]).collect();
    let found = of(Task::Regression, 2, &targets, &same);
    assert!(found.collapsed && !found.metrics.contains_key(&Metric::Pearson));
}

#[test]
fn a_model_that_gives_one_answer_is_called_collapsed() {
    let targets = [0, 1, 0, 1].map(Target::Class);
    let scores = |second: [f64; 4]| second.map(|of| vec![1.0 - of, of]).to_vec();
    assert!(of(Task::Binary, 2, &targets, &scores([0.1, 0.4, 0.2, 0.3])).collapsed);
    let found = of(Task::Binary, 2, &targets, &scores([0.1, 0.6, 0.2, 0.3]));
    assert!(!found.collapsed);
    assert_eq!(found.confusion.unwrap().counts, [[2, 0], [1, 1]]);
    assert!(!of(Task::Binary, 2, &targets[..1], &scores([0.1; 4])[..1]).collapsed, "one answer alone says nothing");
}

#[test]
fn labels_and_numbers_that_vary_less_than_a_hundredth_have_collapsed() {
    let labels = [[true, false], [false, false], [false, true]].map(|of| Target::Labels(of.into()));
    let collapsed = |scores: [[f64; 2]; 3]| of(Task::MultiLabel, 2, &labels, &scores.map(Vec::from)).collapsed;
    assert!(collapsed([[0.9, 0.1], [0.6, 0.4], [0.5, 0.2]]));
    assert!(!collapsed([[0.9, 0.1], [0.6, 0.5], [0.5, 0.2]]));
    // The second target is the same everywhere: what is answered to it says nothing.
    let targets = [10.0, 20.0, 30.0].map(|value| Target::Values(vec![value, 7.0]));
    let collapsed = |step: f64| {
        let scores = [0.0, 1.0, 2.0].map(|at| vec![20.0 + at * step, at]);
        of(Task::Regression, 2, &targets, &scores).collapsed
    };
    assert!(collapsed(0.099) && !collapsed(0.101));
    let same = [7.0; 3].map(|value| Target::Values(vec![value, value]));
    assert!(!of(Task::Regression, 2, &same, &vec![vec![1.0, 1.0]; 3]).collapsed, "nothing was to be told apart");
}

#[test]
fn nothing_and_what_is_no_number_are_survived() {
    for task in [Task::Binary, Task::MultiLabel, Task::Regression] {
        let found = of(task, 2, &[], &[]);
        assert!(found.metrics.is_empty() && !found.collapsed, "{task}: {found:?}");
        assert!(Text.render(&page(&found)).contains("0 records"));
    }
    let found = of(Task::Binary, 2, &[0, 1, 1].map(Target::Class), &vec![vec![f64::NAN, f64::NAN]; 3]);
    assert!(!found.metrics.contains_key(&Metric::Brier) && found.metrics.contains_key(&Metric::Accuracy));
    assert!(Html.render(&page(&found)).contains("</html>"));
}

fn page(found: &Assessment) -> Report {
    Report { title: "t".into(), subtitle: String::new(), sections: found.sections("test") }
}

/// Three classes, mostly told apart.
fn three() -> Assessment {
    let mut rng = SeededRng::new(0, Purpose::Test, 2, 0);
    let targets: Vec<Target> = (0..120).map(|at| Target::Class(at % 3)).collect();
    let row = |at: usize| {
        let mut row = [rng.unit(), rng.unit(), rng.unit()];
        row[at % 3] += 0.7;
        let sum: f64 = row.iter().sum();
        row.map(|one| one / sum).to_vec()
    };
    let scores: Vec<Vec<f64>> = (0..120).map(row).collect();
    of(Task::MultiClass, 3, &targets, &scores)
}

#[test]
fn the_report_has_tables_and_a_curve_for_every_class() {
    let found = three();
    let text = Text.render(&page(&found));
    for part in ["Metrics (test)", "macro F1", "Metrics by class (test)", "as c2", "ROC (test)", "calibrated"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let ids: Vec<String> = found.sections("test").into_iter().map(|section| section.id).collect();
    let expected = ["metrics", "class", "confusion", "roc", "precision-recall", "calibration"];
    assert_eq!(ids, expected.map(|id| format!("test-{id}")));
    let html = Html.render(&page(&found));
    assert!(html.matches("<svg role=\"img\"").count() == 6 && html.contains("c2, last"), "three plots in two sizes");
    let again: Assessment = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again, found);
}

#[test]
fn intervals_hold_their_value_and_do_not_depend_on_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(three)
    };
    let found = with(1);
    assert_eq!(found, with(3));
    for estimate in found.metrics.values().chain(found.outputs.iter().flat_map(|output| output.metrics.values())) {
        let of = estimate.interval.unwrap();
        assert!(of.low <= estimate.value + 0.05 && of.low < of.high, "{found:?}");
    }
}

#[test]
fn one_of_many_runs_has_the_same_values_and_no_intervals() {
    let outputs = ["no".to_string(), "yes".to_string()];
    let (no, yes) = (Target::Class(0), Target::Class(1));
    let scores = [vec![0.9, 0.1], vec![0.2, 0.8], vec![0.6, 0.4]];
    let whole = assess(Task::Binary, &outputs, &[&no, &yes, &yes], &scores);
    let alone = assess_one_of_many(Task::Binary, &outputs, &[&no, &yes, &yes], &scores);
    let values = |found: &Assessment| found.metrics.iter().map(|(metric, of)| (*metric, of.value)).collect::<Vec<_>>();
    assert_eq!(values(&whole), values(&alone));
    assert!(
        alone.metrics.values().all(|of| of.interval.is_none())
            && whole.metrics.values().any(|of| of.interval.is_some())
    );
}
