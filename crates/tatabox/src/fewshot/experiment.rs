//! A few-shot evaluation from its first fit to its tables, or on from where it stopped.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::json;
use tatabox_core::assess::Metric;
use tatabox_core::labelled::{Labelled, Task};
use tatabox_core::report::Fact;

use super::analysis::{FewShot, Learnt, Setting, analyse};
use super::design::{Design, FEWSHOT};
use super::draw::{check_shots, draw, has_classes, sample};
use super::pages::{csv, page, tables};
use crate::error::{Error, Result};
use crate::experiment::{Folder, Outcome, Results};
use crate::trial::{
    Contestant, Ended, Exam, Indices, Place, Plan, Trial, Watcher, baselines, hashes, primary_metric, sit,
};

/// Refuses what can be refused before the data is read: a directory that holds something else. Writes nothing.
///
/// # Errors
/// As [`Kind::check`](crate::experiment::Kind::check).
pub fn check(dir: &Path) -> Result<()> {
    FEWSHOT.check(dir)
}

/// Evaluates, from the start or from where the directory stands; what is finished there is not computed again.
///
/// # Errors
/// The design, the data and the models do not fit each other, all found before the first fit; the directory holds something else; a fit fails.
pub fn begin(
    design: Design,
    place: &Place<'_>,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome<FewShot>> {
    check(place.dir)?;
    let mut design = design.checked()?;
    let mut contestants = (place.contestants)(&mut design.models)?;
    let (data, notes) = design.source.read(place.cache)?;
    design.data_sha256 = hashes(&data);
    if place.dir.join(FEWSHOT.record).is_file() {
        design = design.onto(Design::read(place.dir)?, place.dir)?;
        contestants = (place.contestants)(&mut design.models)?;
    }
    let evaluation = Evaluation::new(&design, &data, notes, contestants)?;
    let folder = FEWSHOT.open(place.dir)?;
    design.write(&folder)?;
    evaluation.run(&folder, watcher, stop)
}

/// Goes on with an evaluation as it was recorded; `metric` and `against` may be others.
///
/// # Errors
/// There is none; its data or models are gone or others; or as [`begin`].
pub fn resume(
    place: &Place<'_>,
    metric: Option<Metric>,
    against: Option<String>,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome<FewShot>> {
    let folder = FEWSHOT.resume(place.dir)?;
    let held = Design::read(place.dir)?;
    let mut design =
        Design { metric: metric.or(held.metric), against: against.or(held.against.clone()), ..held }.checked()?;
    let contestants = (place.contestants)(&mut design.models)?;
    let (data, notes) = design.source.read(place.cache)?;
    let now = hashes(&data);
    if now != design.data_sha256 {
        let path = design.source.data.first().cloned().unwrap_or_default();
        let expected = format!("the data with SHA-256 {}", design.data_sha256.join(" "));
        let hint = "put it back as it was, or evaluate in another directory";
        return Err(Error::format(path, "", expected, now.join(" "), hint));
    }
    let evaluation = Evaluation::new(&design, &data, notes, contestants)?;
    design.write(&folder)?;
    evaluation.run(&folder, watcher, stop)
}

/// A design with its data and those who take part.
struct Evaluation<'a> {
    design: &'a Design,
    exam: Exam<'a>,
    metric: Metric,
    contestants: Vec<Box<dyn Contestant>>,
    /// What each draw takes, `[shots][draws]`.
    drawn: Vec<Vec<Indices>>,
    facts: Vec<Fact>,
}

impl<'a> Evaluation<'a> {
    /// Everything that can be refused is refused here.
    fn new(
        design: &'a Design,
        data: &'a Labelled,
        notes: Vec<String>,
        mut contestants: Vec<Box<dyn Contestant>>,
    ) -> Result<Evaluation<'a>> {
        let mut exam = Exam::new(data)?;
        let metric = primary_metric(exam.task, design.metric)?;
        check_shots(&exam, &design.shots)?;
        let asked = exam.test.len();
        if let Some(examples) = design.test_examples.filter(|&examples| (examples as usize) < asked) {
            exam.test = sample(&exam.test, exam.task, exam.outputs.len(), examples);
        }
        contestants.extend(baselines());
        for contestant in &contestants {
            for &shots in &design.shots {
                contestant.settings(&design.keys(shots)?)?;
            }
        }
        let one = |shots: u32, seed: u64| Indices::Some(draw(&exam.pool, exam.task, exam.outputs.len(), shots, seed));
        let drawn = design.shots.iter().map(|&shots| seeds(design).map(|seed| one(shots, seed)).collect()).collect();
        let facts = facts(design, &exam, asked, &notes);
        Ok(Evaluation { design, exam, metric, contestants, drawn, facts })
    }

    /// The trials of a draw, by contestant, then by shots.
    fn trials(&self, dir: &Path, draw: usize) -> Result<Vec<Trial<'_>>> {
        let mut trials = Vec::new();
        for contestant in &self.contestants {
            for (at, &shots) in self.design.shots.iter().enumerate() {
                let seed = self.design.seed + draw as u64;
                trials.push(Trial {
                    file: dir.join(format!("runs/{}/shots-{shots}/draw-{seed}.json", contestant.name())),
                    contestant: contestant.as_ref(),
                    keys: self.design.keys(shots)?,
                    train: self.drawn[at][draw].clone(),
                    seed,
                    intervals: false,
                });
            }
        }
        Ok(trials)
    }

    /// Makes what is left, and writes tables and page whenever everybody has finished one more draw.
    fn run(&self, folder: &Folder, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<Outcome<FewShot>> {
        folder.write("draws.json", &self.draws_json())?;
        let draws = self.design.draws as usize;
        // [draws][contestants x shots]
        let mut done: Vec<Vec<Option<Ended>>> = Vec::new();
        let (mut left, mut places) = (Vec::new(), Vec::new());
        for draw in 0..draws {
            let mut of_draw = Vec::new();
            for (at, trial) in self.trials(folder.dir(), draw)?.into_iter().enumerate() {
                let ended = Ended::read(&trial, self.exam.pool.len())?;
                if ended.is_none() {
                    left.push(trial);
                    places.push((draw, at));
                }
                of_draw.push(ended);
            }
            done.push(of_draw);
        }
        let runs = draws * self.contestants.len() * self.design.shots.len();
        let mut finished = runs - left.len();
        watcher.planned(&Plan {
            learners: self.contestants.iter().map(|one| one.name().to_string()).collect(),
            runs,
            runs_finished: finished,
            facts: self.facts.iter().map(|fact| (fact.name.clone(), fact.value.clone())).collect(),
        });
        let whole =
            |done: &[Vec<Option<Ended>>]| done.iter().take_while(|draw| draw.iter().all(Option::is_some)).count();
        let mut published = whole(&done);
        let mut result = self.publish(folder, &done, published)?;
        let watcher = std::cell::RefCell::new(watcher);
        let end =
            sit(&self.exam, &left, stop, &mut |at_once| watcher.borrow_mut().began("", at_once), &mut |at, ended| {
                let trial = &left[at];
                finished += 1;
                watcher.borrow_mut().ended(finished, &self.words(&ended));
                debug_assert_eq!(ended.train_sha256, trial.train.sha256());
                let (draw, place) = places[at];
                done[draw][place] = Some(ended);
                let now = whole(&done);
                if now > published {
                    published = now;
                    result = self.publish(folder, &done, published)?;
                }
                Ok(())
            })?;
        Ok(Outcome { output: folder.dir().to_path_buf(), finished: end, runs_finished: finished, runs, result })
    }

    /// A finished run in words.
    fn words(&self, ended: &Ended) -> String {
        let metric = ended.metric(self.metric).map_or("–".to_string(), |value| format!("{value:.4}"));
        let collapsed = if ended.collapsed { ", collapsed" } else { "" };
        format!(
            "{}, {} examples, draw {}: {} {metric}{collapsed}",
            ended.learner,
            ended.train,
            ended.seed,
            self.metric.title()
        )
    }

    /// Which examples each draw took.
    fn draws_json(&self) -> String {
        let of_shots = |(&shots, drawn): (&u32, &Vec<Indices>)| {
            let draws: Vec<serde_json::Value> = seeds(self.design)
                .zip(drawn)
                .map(|(seed, indices)| match indices {
                    Indices::Some(list) => json!({"seed": seed, "sha256": indices.sha256(), "indices": list}),
                    Indices::All => json!({"seed": seed, "sha256": indices.sha256()}),
                })
                .collect();
            json!({"shots": shots, "draws": draws})
        };
        let all: Vec<serde_json::Value> = self.design.shots.iter().zip(&self.drawn).map(of_shots).collect();
        json!({"data_sha256": self.design.data_sha256, "draws": all}).to_string() + "\n"
    }

    /// The tables over the first `draws` draws; none of none.
    fn publish(&self, folder: &Folder, done: &[Vec<Option<Ended>>], draws: usize) -> Result<Option<FewShot>> {
        if draws == 0 {
            return Ok(None);
        }
        let shots = self.design.shots.len();
        let learnt = self.contestants.iter().enumerate().map(|(index, contestant)| {
            let of = |at: usize| done[..draws].iter().filter_map(|draw| draw[index * shots + at].clone()).collect();
            Learnt {
                learner: contestant.name().to_string(),
                baseline: contestant.is_baseline(),
                runs: (0..shots).map(of).collect(),
            }
        });
        let learnt: Vec<Learnt> = learnt.collect();
        let seeds: Vec<u64> = seeds(self.design).collect();
        let setting = Setting {
            task: self.exam.task,
            outputs: self.exam.outputs,
            pool: self.exam.pool.len(),
            test: self.exam.test.len(),
            metric: self.metric,
            against: self.design.against.as_deref().unwrap_or(&learnt[0].learner),
            shots: &self.design.shots,
            seeds: &seeds[..draws],
            seeds_left: &seeds[draws..],
        };
        let result = analyse(&setting, &learnt);
        let tables = tables(&result, &self.facts);
        FEWSHOT.publish(
            folder,
            &Results { result: &result, tables: &tables, csv: &csv(&result), page: &page(&result, &self.facts) },
        )?;
        Ok(Some(result))
    }
}

/// The seeds of all draws.
fn seeds(design: &Design) -> impl Iterator<Item = u64> {
    (0..u64::from(design.draws)).map(|draw| design.seed + draw)
}

fn facts(design: &Design, exam: &Exam<'_>, asked: usize, notes: &[String]) -> Vec<Fact> {
    let paths: Vec<String> = design.source.data.iter().map(|path| path.display().to_string()).collect();
    let each = if has_classes(exam.task) { "of each class" } else { "in all" };
    let mut facts = vec![
        Fact::new("Data", paths.join(", ")),
        Fact::new("Task", format!("{} ({})", exam.task, exam.outputs.join(", "))),
        Fact::new(
            "Learnt from",
            format!("drawn from the {} examples of the train part, {each}, the same for all", exam.pool.len()),
        ),
        Fact::new(
            "Asked",
            match exam.test.len() {
                all if all == asked => format!("all {all} examples of the test part"),
                some => format!("{some} of the {asked} examples of the test part, the same for all"),
            },
        ),
        Fact::new("Chosen on dev or test", "nothing: the weights of the last epoch"),
    ];
    facts.extend(notes.iter().map(|note| Fact::new("Note", note)));
    if exam.task == Task::Regression && exam.outputs.len() > 1 {
        facts.push(Fact::new("Targets", "the first tables hold the means over the targets; each has its own below"));
    }
    for &shots in &design.shots {
        if let Ok(keys) = design.keys(shots) {
            let keys: Vec<String> = keys.given().map(|(key, value)| format!("{key} = {value}")).collect();
            facts.push(Fact::new(format!("Fine-tuning, {shots} shots"), keys.join(", ")));
        }
    }
    facts
}

#[cfg(test)]
mod tests;
