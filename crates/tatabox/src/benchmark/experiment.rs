//! A benchmark from its first fit to its tables, or on from where it stopped.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use tatabox_core::report::Fact;

use super::analysis::{Benchmark, Measured, analyse};
use super::design::{BENCHMARK, Design, Entry, exam};
use super::pages::{csv, page};
use super::suite::Suite;
use crate::error::Result;
use crate::experiment::{Folder, Outcome, Results};
use crate::trial::{Contestant, Ended, Indices, Place, Plan, Trial, Watcher, baselines, sit};

/// Refuses what can be refused before the data is read: a directory that holds something else. Writes nothing.
///
/// # Errors
/// As [`Kind::check`](crate::experiment::Kind::check).
pub fn check(dir: &Path) -> Result<()> {
    BENCHMARK.check(dir)
}

/// Measures, from the start or from where the directory stands; what is finished there is not computed again.
///
/// # Errors
/// Design, data and models do not fit each other, all found before the first fit; the directory holds something else; a fit fails.
pub fn begin(
    design: Design,
    suite: &Suite,
    place: &Place<'_>,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome<Benchmark>> {
    check(place.dir)?;
    let mut design = design.checked()?;
    let mut contestants = (place.contestants)(&mut design.models)?;
    design.look(suite, &contestants, place.cache, &mut |id| watcher.message(&format!("reading {id}")))?;
    if place.dir.join(BENCHMARK.record).is_file() {
        design = design.onto(Design::read(place.dir)?, place.dir)?;
        contestants = (place.contestants)(&mut design.models)?;
    }
    let bench = Bench::new(&design, place.cache, contestants)?;
    let folder = BENCHMARK.open(place.dir)?;
    design.write(&folder)?;
    bench.run(&folder, watcher, stop)
}

/// Goes on with a benchmark as it was recorded.
///
/// # Errors
/// There is none; its data or models are gone or others; or as [`begin`].
pub fn resume(place: &Place<'_>, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<Outcome<Benchmark>> {
    let folder = BENCHMARK.resume(place.dir)?;
    let mut design = Design::read(place.dir)?;
    let contestants = (place.contestants)(&mut design.models)?;
    Bench::new(&design, place.cache, contestants)?.run(&folder, watcher, stop)
}

/// A design with those who take part.
struct Bench<'a> {
    design: &'a Design,
    cache: &'a Path,
    contestants: Vec<Box<dyn Contestant>>,
}

impl<'a> Bench<'a> {
    /// Keys that a model does not know are refused here.
    fn new(design: &'a Design, cache: &'a Path, mut contestants: Vec<Box<dyn Contestant>>) -> Result<Bench<'a>> {
        if design.baselines {
            contestants.extend(baselines());
        }
        for contestant in &contestants {
            for entry in &design.datasets {
                contestant.settings(&design.keys(&entry.preset, entry.epochs)?)?;
            }
        }
        Ok(Bench { design, cache, contestants })
    }

    /// The trials on a data set, by contestant, then by seed.
    fn trials(&self, dir: &Path, entry: &Entry) -> Result<Vec<Trial<'_>>> {
        let mut trials = Vec::new();
        for contestant in &self.contestants {
            for &seed in &self.design.seeds {
                trials.push(Trial {
                    file: dir.join(format!("runs/{}/{}/seed-{seed}.json", entry.id, contestant.name())),
                    contestant: contestant.as_ref(),
                    keys: self.design.keys(&entry.preset, entry.epochs)?,
                    train: Indices::All,
                    seed,
                    intervals: true,
                });
            }
        }
        Ok(trials)
    }

    /// Makes what is left, data set by data set, and writes the tables after each.
    fn run(&self, folder: &Folder, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<Outcome<Benchmark>> {
        let runs = self.design.datasets.len() * self.contestants.len() * self.design.seeds.len();
        // [data sets][contestants x seeds]
        let mut done: Vec<Vec<Option<Ended>>> = Vec::new();
        for entry in &self.design.datasets {
            let trials = self.trials(folder.dir(), entry)?;
            done.push(trials.iter().map(|trial| Ended::read(trial, entry.records[0] as usize)).collect::<Result<_>>()?);
        }
        let mut finished = done.iter().flatten().flatten().count();
        let facts = self.facts();
        watcher.planned(&Plan {
            learners: self.contestants.iter().map(|one| one.name().to_string()).collect(),
            runs,
            runs_finished: finished,
            facts: facts.iter().map(|fact| (fact.name.clone(), fact.value.clone())).collect(),
        });
        let watcher = std::cell::RefCell::new(watcher);
        let mut all = true;
        for (at, entry) in self.design.datasets.iter().enumerate() {
            let trials = self.trials(folder.dir(), entry)?;
            let (places, left): (Vec<usize>, Vec<Trial<'_>>) =
                trials.into_iter().enumerate().filter(|(place, _)| done[at][*place].is_none()).unzip();
            if left.is_empty() {
                continue;
            }
            if stop.load(std::sync::atomic::Ordering::Relaxed) {
                all = false;
                break;
            }
            let data = entry.data(self.cache)?;
            let exam = exam(&data)?;
            let of_set = &mut done[at];
            let end = sit(
                &exam,
                &left,
                stop,
                &mut |at_once| watcher.borrow_mut().began(&entry.id, at_once),
                &mut |index, ended| {
                    finished += 1;
                    let metric =
                        ended.metric(entry.metric).map_or("–".to_string(), |value| format!("{:.2}", 100.0 * value));
                    let collapsed = if ended.collapsed { ", collapsed" } else { "" };
                    let words = format!(
                        "{}, {}, seed {}: {} {metric}{collapsed}",
                        entry.id,
                        ended.learner,
                        ended.seed,
                        entry.metric.title()
                    );
                    watcher.borrow_mut().ended(finished, &words);
                    of_set[places[index]] = Some(ended);
                    Ok(())
                },
            )?;
            if !end {
                all = false;
                break;
            }
            self.publish(folder, &done, &facts)?;
        }
        let result = self.publish(folder, &done, &facts)?;
        Ok(Outcome { output: folder.dir().to_path_buf(), finished: all, runs_finished: finished, runs, result })
    }

    /// The tables over the data sets that everybody has finished; none of none.
    fn publish(&self, folder: &Folder, done: &[Vec<Option<Ended>>], facts: &[Fact]) -> Result<Option<Benchmark>> {
        let seeds = self.design.seeds.len();
        let whole = self.design.datasets.iter().zip(done).filter(|(_, runs)| runs.iter().all(Option::is_some));
        let measured: Vec<Measured<'_>> = whole
            .map(|(entry, runs)| Measured {
                entry,
                runs: (self.contestants.iter().zip(runs.chunks(seeds)))
                    .map(|(contestant, runs)| {
                        let runs = runs.iter().flatten().cloned().collect();
                        (contestant.name().to_string(), contestant.is_baseline(), runs)
                    })
                    .collect(),
            })
            .collect();
        if measured.is_empty() {
            return Ok(None);
        }
        let result = analyse(self.design, &measured);
        let page = page(&result, facts);
        BENCHMARK.publish(folder, &Results { result: &result, tables: &page, csv: &csv(&result), page: &page })?;
        Ok(Some(result))
    }

    fn facts(&self) -> Vec<Fact> {
        let design = self.design;
        let mut facts = vec![Fact::new("Data", design.data.display().to_string())];
        if !design.missing.is_empty() {
            facts.push(Fact::new("Not there", design.missing.join(", ")));
        }
        let seeds: Vec<String> = design.seeds.iter().map(u64::to_string).collect();
        facts.push(Fact::new("Seeds", seeds.join(", ")));
        if !design.set.is_empty() {
            facts.push(Fact::new("Set over the presets", design.set.join(", ")));
        }
        for model in &design.models {
            let fresh = if model.from_scratch { ", fresh weights" } else { "" };
            let hash = model.sha256.get(..12).unwrap_or("unknown");
            facts.push(Fact::new(
                format!("Model {}", model.name),
                format!("{} (SHA-256 {hash}…{fresh})", model.run.display()),
            ));
        }
        facts
    }
}

#[cfg(test)]
mod tests;
