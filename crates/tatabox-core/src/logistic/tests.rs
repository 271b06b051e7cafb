use super::*;
use crate::seq::Sequence;

#[test]
fn equals_scikit_learns_logistic_regression() {
    // Written by benches/peers/metrics.py.
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/metrics.json")).unwrap();
    for case in golden["logistic"].as_array().unwrap() {
        let list = |key: &str| case[key].as_array().unwrap().clone();
        let sequences: Vec<Vec<u8>> = list("sequences")
            .iter()
            .map(|text| Sequence::parse(text.as_str().unwrap().as_bytes()).unwrap().0.codes)
            .collect();
        let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        let labels: Vec<usize> = list("labels").iter().map(|label| label.as_u64().unwrap() as usize).collect();
        let classes = case["classes"].as_u64().unwrap() as usize;
        let fit = Fit { k: 3, c: case["c"].as_f64().unwrap(), steps: 2_000 };
        let model = Logistic::fit(&sequences, &labels, classes, fit);
        for (sequence, expected) in sequences.iter().zip(list("probabilities")) {
            for (got, expected) in model.probabilities(sequence).iter().zip(expected.as_array().unwrap()) {
                // Counts are kept in f32.
                assert!((got - expected.as_f64().unwrap()).abs() < 1e-5, "{classes}: {got} {expected}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let codes: Vec<Vec<u8>> =
        (0..700u32).map(|at| (0..30).map(|base| ((at * base + base / 3) % 4) as u8).collect()).collect();
    let sequences: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
    let labels: Vec<usize> = (0..700).map(|at| at % 3).collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Logistic::fit(&sequences, &labels, 3, Fit { k: 2, c: 1.0, steps: 20 }))
    };
    assert_eq!(with(1), with(3));
}
