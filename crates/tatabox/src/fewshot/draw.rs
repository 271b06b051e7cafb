//! Which examples a draw takes.

use tatabox_core::labelled::{Example, Task};
use tatabox_core::rng::{Purpose, SeededRng};

use crate::error::Result;
use crate::trial::Exam;

/// The examples of each class in the order in which a draw takes them, `[classes][examples of it]`; without classes all are of one.
fn orders(examples: &[&Example], task: Task, classes: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut of: Vec<Vec<u32>> = vec![Vec::new(); if has_classes(task) { classes } else { 1 }];
    for (index, example) in (0..).zip(examples) {
        of[example.target.class().unwrap_or(0)].push(index);
    }
    for (class, order) in (0..).zip(&mut of) {
        SeededRng::new(seed, Purpose::Shots, class, 0).shuffle(order);
    }
    of
}

/// Whether shots are counted by class.
pub(super) fn has_classes(task: Task) -> bool {
    matches!(task, Task::Binary | Task::MultiClass)
}

/// The indices, increasing, of `shots` examples of each class, drawn without replacement under a seed; of `shots` examples in all for regression and
/// multi-label. Of one seed, the examples of fewer shots are among those of more.
///
/// A class that holds fewer gives all it has: an evaluation refuses that before anything is drawn.
pub fn draw(examples: &[&Example], task: Task, classes: usize, shots: u32, seed: u64) -> Vec<u32> {
    let of = orders(examples, task, classes, seed);
    let mut drawn: Vec<u32> = of.iter().flat_map(|order| order.iter().take(shots as usize)).copied().collect();
    drawn.sort_unstable();
    drawn
}

/// About `examples` of the test part, the same for every draw and model: of each class its share.
pub(super) fn sample<'a>(test: &[&'a Example], task: Task, classes: usize, examples: u32) -> Vec<&'a Example> {
    let share = f64::from(examples) / test.len() as f64;
    let mut taken: Vec<u32> = orders(test, task, classes, 0)
        .iter()
        .flat_map(|order| order.iter().take(((order.len() as f64 * share).round() as usize).max(1)))
        .copied()
        .collect();
    taken.sort_unstable();
    taken.into_iter().map(|index| test[index as usize]).collect()
}

/// Refuses shots above what a class holds.
///
/// # Errors
/// Which class, how many it holds, and how many shots there can be.
pub(super) fn check_shots(exam: &Exam<'_>, shots: &[u32]) -> Result<()> {
    let most = shots.iter().copied().max().unwrap_or(0) as usize;
    let (least, name) = if has_classes(exam.task) {
        let count = |class: usize| exam.pool.iter().filter(|one| one.target.class() == Some(class)).count();
        let counts = exam.outputs.iter().enumerate().map(|(class, name)| (count(class), format!("class `{name}`")));
        counts.min_by_key(|(count, _)| *count).unwrap_or_default()
    } else {
        (exam.pool.len(), "the data".to_string())
    };
    if most <= least {
        return Ok(());
    }
    let fitting: Vec<String> = shots.iter().filter(|&&shots| shots as usize <= least).map(u32::to_string).collect();
    Err(tatabox_core::Error::Value {
        key: "shots".into(),
        got: most.to_string(),
        expected: format!("{name} has {least} examples to learn from"),
        hint: match fitting.is_empty() {
            _ if least == 0 => format!("give training examples of {name}, or divide all again: `--split 80/10/10`"),
            true => format!("write `--shots {least}`, the most there can be"),
            false => format!("write `--shots {}`; the most there can be is {least}", fitting.join(",")),
        },
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tatabox_core::labelled::Target;

    fn examples(classes: &[u32]) -> Vec<Example> {
        let one = |&class: &u32| Example {
            id: String::new(),
            codes: vec![0],
            second: None,
            target: Target::Class(class),
            origin: None,
            group: None,
        };
        classes.iter().map(one).collect()
    }

    #[test]
    fn a_draw_holds_as_many_of_each_class_and_none_twice() {
        let all = examples(&[0, 1, 2].repeat(40));
        let all: Vec<&Example> = all.iter().collect();
        let drawn = draw(&all, Task::MultiClass, 3, 7, 5);
        for class in 0..3 {
            assert_eq!(drawn.iter().filter(|&&index| all[index as usize].target.class() == Some(class)).count(), 7);
        }
        assert!(drawn.is_sorted_by(|one, other| one < other));
        assert_eq!(drawn, draw(&all, Task::MultiClass, 3, 7, 5));
        assert_ne!(drawn, draw(&all, Task::MultiClass, 3, 7, 6));
        let more = draw(&all, Task::MultiClass, 3, 20, 5);
        assert!(drawn.iter().all(|index| more.contains(index)), "fewer shots are among more");
    }

    #[test]
    fn every_example_is_drawn_as_often_as_any_other() {
        let all = examples(&[0; 20]);
        let all: Vec<&Example> = all.iter().collect();
        let mut counts = [0u32; 20];
        for seed in 0..2_000 {
            draw(&all, Task::Regression, 0, 5, seed).iter().for_each(|&index| counts[index as usize] += 1);
        }
        // 500 are expected, with a standard deviation of 19.4.
        assert!(counts.iter().all(|count| (420..580).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_part_of_the_test_set_keeps_its_shares() {
        let all = examples(&[[0; 3].as_slice(), &[1]].concat().repeat(100));
        let all: Vec<&Example> = all.iter().collect();
        let some = sample(&all, Task::Binary, 2, 40);
        assert_eq!(some.iter().filter(|one| one.target.class() == Some(1)).count(), 10);
        assert_eq!(some.len(), 40);
    }
}
