use std::sync::atomic::AtomicBool;

use super::*;
use crate::rng::{Purpose, SeededRng};
use crate::seq::Sequence;

/// Random sequences; those of class 1 hold a motif somewhere.
fn planted(examples: u64, seed: u64) -> Vec<Example> {
    let motif = Sequence::parse(b"GGTATAAAAG").unwrap().0.codes;
    (0..examples)
        .map(|index| {
            let mut rng = SeededRng::new(seed, Purpose::Test, 0, index);
            let mut codes: Vec<u8> = (0..100).map(|_| rng.below(4) as u8).collect();
            let class = (index % 2) as u32;
            if class == 1 {
                let at = rng.below(90) as usize;
                codes[at..at + motif.len()].copy_from_slice(&motif);
            }
            Example { id: String::new(), codes, second: None, target: Target::Class(class), origin: None, group: None }
        })
        .collect()
}

fn fit(task: Task, outputs: usize, train: &[Example], seed: u64) -> Cnn {
    let train: Vec<&Example> = train.iter().collect();
    Cnn::fit(task, outputs, &train, &[], CnnFit::default(), seed, &AtomicBool::new(false)).unwrap()
}

fn right(cnn: &Cnn, examples: &[Example]) -> f64 {
    let hit = |example: &&Example| usize::from(cnn.answer(example)[1] > 0.5) == example.target.class().unwrap();
    examples.iter().filter(hit).count() as f64 / examples.len() as f64
}

#[test]
fn learns_a_planted_motif() {
    let (train, test) = (planted(400, 1), planted(400, 2));
    let cnn = fit(Task::Binary, 2, &train, 3);
    assert!(right(&cnn, &test) > 0.95, "{}", right(&cnn, &test));
    assert_eq!((cnn.epochs, cnn.best_epoch), (62, 62), "800 steps of 13 a pass");
}

#[test]
fn the_number_of_threads_changes_no_bit_and_the_seed_does() {
    let train = planted(50, 1);
    let with = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(Task::Binary, 2, &train, seed))
    };
    assert!(with(1, 1) == with(3, 1));
    assert!(with(1, 1) != with(1, 2));
}

#[test]
fn labels_and_numbers_are_learnt_as_well() {
    let test = planted(200, 2);
    let labels = |example: &Example| {
        Target::Labels(vec![example.target.class() == Some(1), example.target.class() == Some(0), true])
    };
    let numbers = |example: &Example| Target::Values(vec![100.0 + 20.0 * example.target.class().unwrap() as f64]);
    let with = |target: &dyn Fn(&Example) -> Target| -> Vec<Example> {
        planted(400, 1).into_iter().map(|example| Example { target: target(&example), ..example }).collect()
    };
    let cnn = fit(Task::MultiLabel, 3, &with(&labels), 3);
    let hit = |example: &&Example| {
        let answer = cnn.answer(example);
        (answer[0] > 0.5) == (example.target.class() == Some(1))
            && (answer[1] > 0.5) != (answer[0] > 0.5)
            && answer[2] > 0.5
    };
    assert!(test.iter().filter(hit).count() > 180);
    let cnn = fit(Task::Regression, 1, &with(&numbers), 3);
    let hit = |example: &&Example| (cnn.answer(example)[0] > 110.0) == (example.target.class() == Some(1));
    assert!(test.iter().filter(hit).count() > 180);
}

#[test]
fn a_pair_is_asked_about_both_its_sequences() {
    // Class 1 where the second holds the motif; the first tells nothing.
    let pairs = |seed: u64| -> Vec<Example> {
        let swapped = |(example, other): (Example, Example)| Example {
            second: Some(example.codes),
            codes: other.codes,
            ..example
        };
        planted(400, seed).into_iter().zip(planted(400, seed + 10).into_iter().rev()).map(swapped).collect()
    };
    let cnn = fit(Task::Binary, 2, &pairs(1), 3);
    let test = pairs(2);
    assert!(right(&cnn, &test) > 0.9, "{}", right(&cnn, &test));
}

#[test]
fn dev_examples_choose_the_weights() {
    // To dev examples with swapped classes every pass makes it worse.
    let train = planted(100, 1);
    let swapped =
        |example: Example| Example { target: Target::Class(1 - example.target.class().unwrap() as u32), ..example };
    let dev: Vec<Example> = planted(100, 2).into_iter().map(swapped).collect();
    let (train, dev): (Vec<&Example>, Vec<&Example>) = (train.iter().collect(), dev.iter().collect());
    let go = |dev: &[&Example]| {
        Cnn::fit(Task::Binary, 2, &train, dev, CnnFit::default(), 3, &AtomicBool::new(false)).unwrap()
    };
    let loss = |cnn: &Cnn| -> f64 {
        dev.iter().map(|example| -cnn.answer(example)[example.target.class().unwrap()].ln()).sum()
    };
    let (chosen, last) = (go(&dev), go(&[]));
    assert!(
        loss(&chosen) < loss(&last) && chosen.best_epoch < chosen.epochs,
        "{} of {}",
        chosen.best_epoch,
        chosen.epochs
    );
    assert_eq!((last.best_epoch, last.epochs), (200, 200));
}

#[test]
fn stops_when_told() {
    let train = planted(20, 1);
    let train: Vec<&Example> = train.iter().collect();
    assert!(Cnn::fit(Task::Binary, 2, &train, &[], CnnFit::default(), 3, &AtomicBool::new(true)).is_none());
}

#[test]
fn sequences_shorter_than_a_filter_and_unknown_bases_are_no_problem() {
    let short = |codes: &[u8], class| Example {
        id: String::new(),
        codes: codes.into(),
        second: None,
        target: Target::Class(class),
        origin: None,
        group: None,
    };
    let cnn = fit(Task::Binary, 2, &[short(&[0, 1], 0), short(&[4, 4, 4], 1)], 3);
    assert!(cnn.answer(&short(&[0, 1], 0))[0] > 0.5 && cnn.answer(&short(&[], 0)).iter().all(|p| p.is_finite()));
}
