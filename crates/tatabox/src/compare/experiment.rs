//! A comparison from its first run to its tables, or on from where it stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tatabox_core::corpus::Part;
use tatabox_core::genome::{Genome, GenomeCard};
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_core::report::Fact;
use tatabox_core::words::{count, counted};

use super::analysis::{Answered, Comparison, Point, analyse};
use super::arm::in_arm;
use super::design::{Design, ResolvedArm};
use super::pages::{Facts, csv, page, tables};
use super::record::{COMPARE, Record, sha256};
use super::runs::{Answers, Place, Plan, Runs, Told, Watcher, name};
use crate::data::{freeze, sampler};
use crate::dataset::{Dataset, baselines};
use crate::error::{Error, Result};
use crate::experiment::{Folder, Outcome, Results};
use crate::learned::{self, Learned};
use crate::metrics::{self, Line};
use crate::models::bert;
use crate::plan::fitting_capacity;
use crate::recipe::RunConfig;
use crate::run::{DATASET, FROZEN, METRICS};
use crate::workers::{News, Tell, side_by_side};

/// What to compare, and where.
pub struct Request<'a> {
    /// The arms and seeds.
    pub design: Design,
    /// The genome.
    pub genome: Genome,
    /// The directory of the comparison: a new one, or one that holds a part of it.
    pub output: &'a Path,
    /// Where genomes are kept once they are read.
    pub cache: &'a Path,
}

/// Compares, from the start or from where the directory stands; what is finished there is not computed again.
///
/// # Errors
/// The directory holds something else, or another comparison; the genome is another one; or as [`crate::pretrain::start`].
pub fn compare(request: Request<'_>, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<Outcome<Comparison>> {
    let Request { design, genome, output, cache } = request;
    COMPARE.check(output)?;
    let held = output.join(COMPARE.record).is_file();
    if !held {
        // Everything that can be refused is refused before anything is written.
        check_genome(&design, &genome)?;
    }
    let folder = COMPARE.open(output)?;
    design.notes.iter().for_each(|note| watcher.message(note));
    let record = if held { extended(&folder, design, &genome)? } else { begun(&folder, design, &genome)? };
    run(&folder, &record, &genome, cache, watcher, stop)
}

/// Goes on with a comparison as it was recorded.
///
/// # Errors
/// There is none, its genome is gone, or as [`compare`].
pub fn resume(
    dir: &Path,
    against: Option<String>,
    cache: &Path,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome<Comparison>> {
    let folder = COMPARE.resume(dir)?;
    let genome = Dataset::read(&dir.join(DATASET))?.open(cache)?;
    let mut record = Record::read(dir)?;
    if against.is_some() {
        record.design = record.design.with_against(against)?;
        record.write(&folder)?;
    }
    run(&folder, &record, &genome, cache, watcher, stop)
}

/// Refuses a directory that cannot take a comparison, or not this one, before the genome is read. Writes nothing.
///
/// # Errors
/// It holds something else, or another comparison, or is no directory.
pub fn check(design: &Design, dir: &Path) -> Result<()> {
    COMPARE.check(dir)?;
    if dir.join(COMPARE.record).is_file() {
        design.clone().onto(Record::read(dir)?.design, dir)?;
    }
    Ok(())
}

/// Refuses a genome of which nothing is held out, or which has no room for the windows.
fn check_genome(design: &Design, genome: &Genome) -> Result<()> {
    let config = &design.arms[0].config;
    if sampler(config, genome, Part::Train)?.held_out().is_empty() {
        return Err(Error::Recipe {
            place: "the comparison".to_string(),
            what: "`data.holdout` holds nothing out, but arms are compared by held-out loss".to_string(),
            hint: "set `data.holdout = \"auto\"`, or name contigs: `data.holdout = [\"chrI\"]`".to_string(),
        });
    }
    Ok(())
}

/// A new comparison: the questions and the record are written, the record last.
fn begun(folder: &Folder, mut design: Design, genome: &Genome) -> Result<Record> {
    let begin = || {
        let config = design.arms[0].config.clone();
        settle(&mut design)?;
        check_masks(&design.arms, genome)?;
        let frozen = freeze(&config, genome, config.evaluate.sequences)?;
        let training = sampler(&config, genome, Part::Train)?;
        let baselines = baselines(genome, training.held_out(), config.data.strands == "both", &frozen)?;
        frozen.write(&folder.dir().join(FROZEN))?;
        folder.write(DATASET, &Dataset::new(genome, &training, baselines).to_json())?;
        let frozen = sha256(&folder.dir().join(FROZEN))?;
        let mut record = Record { design, frozen, files: BTreeMap::new() };
        record.note_files()?;
        record.write(folder)?;
        Ok(record)
    };
    let begun: Result<Record> = begin();
    if begun.is_err() {
        folder.take_back();
    }
    begun
}

/// The comparison that is there, with the arms and seeds of `design` added to it.
fn extended(folder: &Folder, design: Design, genome: &Genome) -> Result<Record> {
    let mut record = Record::read(folder.dir())?;
    let dataset = Dataset::read(&folder.dir().join(DATASET))?;
    let hashes = |card: &GenomeCard| card.files.iter().map(|file| file.sha256.clone()).collect::<Vec<_>>();
    let (held, given) = (hashes(&dataset.genome), hashes(genome.card()));
    if held != given {
        return Err(Error::Directory {
            path: folder.dir().to_path_buf(),
            what: format!(
                "holds a comparison on another genome:\n  SHA-256 {} there, and {} here",
                held.join(" "),
                given.join(" ")
            ),
            hint: "give the genome that it began with, or choose another directory with `-o`".to_string(),
        });
    }
    let before = record.design.clone();
    record.design = design.onto(record.design, folder.dir())?;
    settle(&mut record.design)?;
    if record.design != before {
        check_masks(&record.design.arms[before.arms.len()..], genome)?;
        record.note_files()?;
        record.write(folder)?;
    }
    Ok(record)
}

/// Does what is left, and writes tables and page after each seed that all arms have finished.
fn run(
    folder: &Folder,
    record: &Record,
    genome: &Genome,
    cache: &Path,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome<Comparison>> {
    let design = &record.design;
    let path = folder.dir().join(FROZEN);
    let frozen = FrozenMasks::read(&path)?;
    let got = sha256(&path)?;
    if got != record.frozen {
        let hint = "put the file back, or compare in another directory";
        return Err(Error::format(&path, "", format!("the frozen masks with SHA-256 {}", record.frozen), got, hint));
    }
    let runs = Runs { dir: folder.dir(), design, frozen: &frozen, frozen_sha256: &record.frozen };
    let plan = runs.plan(genome)?;
    let all = plan.arms * plan.seeds;
    if plan.finished < all {
        record.check_files()?;
    }
    watcher.compared(&plan);
    let facts = facts(&design.arms, &plan, &Dataset::read(&folder.dir().join(DATASET))?);
    // Seed by seed: the first results come early.
    let mut answers: Vec<Vec<Option<Answers>>> = Vec::new();
    let mut jobs = Vec::new();
    for (nth, &seed) in design.seeds.iter().enumerate() {
        let of_seed = design.arms.iter().map(|arm| runs.answers(arm, seed)).collect::<Result<Vec<_>>>()?;
        for (index, _) in of_seed.iter().enumerate().filter(|(_, answers)| answers.is_none()) {
            let (arm, tokens) = (design.arms[index].name.clone(), plan.tokens[index]);
            let place = Place { number: nth * plan.arms + index + 1, runs: all, arm, seed, tokens };
            jobs.push(Job { nth, index, place });
        }
        answers.push(of_seed);
    }
    let (mut finished, mut published, mut result) = (plan.finished, 0, None);
    let mut publish_new = |answers: &[Vec<Option<Answers>>], result: &mut Option<Comparison>| -> Result<()> {
        let whole: Vec<Vec<&Answers>> =
            answers.iter().map_while(|of_seed| of_seed.iter().map(Option::as_ref).collect()).collect();
        if whole.len() > published {
            published = whole.len();
            let comparison = result_of(folder, &runs, &whole)?;
            publish(folder, &comparison, &facts)?;
            *result = Some(comparison);
        }
        Ok(())
    };
    publish_new(&answers, &mut result)?;
    let asked: usize = frozen.sequences.iter().map(|one| one.masked.targets.len()).sum();
    let work = |at: usize, tell: Tell<'_, Told>, stop: &AtomicBool| {
        let Job { index, place, .. } = &jobs[at];
        runs.finish(&design.arms[*index], place.seed, genome, cache, tell, stop)
    };
    let all_done = side_by_side(jobs.len(), plan.at_once, stop, &work, &mut |news| {
        match news {
            News::Told(at, Told::Begun) => watcher.begun(&jobs[at].place),
            News::Told(at, Told::Step(progress)) => watcher.step(&jobs[at].place, &progress),
            News::Told(at, Told::Evaluated(step, loss)) => watcher.evaluated(&jobs[at].place, step, loss),
            News::Told(at, Told::Message(text)) => watcher.message(&format!("{}: {text}", jobs[at].place)),
            News::Failed(at, error) => {
                watcher.failed(&jobs[at].place);
                return Err(error);
            }
            News::Done(at, done) => {
                let Job { nth, index, place } = &jobs[at];
                finished += 1;
                watcher.ended(place, done.nats.iter().sum::<f64>() / asked as f64);
                answers[*nth][*index] = Some(done);
                publish_new(&answers, &mut result)?;
            }
        }
        Ok(())
    })?;
    Ok(Outcome { output: folder.dir().to_path_buf(), finished: all_done, runs_finished: finished, runs: all, result })
}

/// A run that is left.
struct Job {
    /// The index of its seed.
    nth: usize,
    /// The index of its arm.
    index: usize,
    place: Place,
}

/// The result over the first seeds, those that all arms have finished; `answers` are `[seeds][arms]`.
fn result_of(folder: &Folder, runs: &Runs<'_>, answers: &[Vec<&Answers>]) -> Result<Comparison> {
    let (seeds, left) = runs.design.seeds.split_at(answers.len());
    let differing = runs.design.differing();
    let answered = runs.design.arms.iter().enumerate().map(|(index, arm)| {
        let of_seed = |(&seed, answers): (&u64, &Vec<&Answers>)| {
            let run = name(&arm.name, seed);
            let curve = curve(&metrics::read(&folder.dir().join(&run).join(METRICS))?);
            Ok((run, answers[index].clone(), curve))
        };
        Ok(Answered {
            arm: arm.name.clone(),
            keys: differing.iter().map(|(key, values)| (key.clone(), values[index].clone())).collect(),
            runs: seeds.iter().zip(answers).map(of_seed).collect::<Result<_>>()?,
        })
    });
    let answered: Vec<Answered> = answered.collect::<Result<_>>()?;
    let baselines = Dataset::read(&folder.dir().join(DATASET))?.baselines;
    Ok(analyse(runs.frozen, answered, seeds, left, runs.design.baseline(), baselines))
}

fn publish(folder: &Folder, comparison: &Comparison, facts: &Facts) -> Result<()> {
    COMPARE.publish(
        folder,
        &Results {
            result: comparison,
            tables: &tables(comparison, facts),
            csv: &csv(comparison),
            page: &page(comparison, facts),
        },
    )
}

/// Makes the masks of every arm once, as its runs will: what they learn from the genome or a file cannot fail hours later.
fn check_masks(arms: &[ResolvedArm], genome: &Genome) -> Result<()> {
    for arm in arms {
        let masks = || learned::strategy(&arm.config, Learned::new(&arm.config, genome, &|_| ())?.as_ref());
        masks().map_err(|error| in_arm(error, &arm.name))?;
    }
    Ok(())
}

/// Chooses for every arm how many tokens are computed at once: kept, so that a run that is killed and begun again is the same run.
fn settle(design: &mut Design) -> Result<()> {
    design.settle(|config| Ok(fitting_capacity(config, &bert::masked_lm(&config.bert()?)?)?.tokens))
}

/// The measurements of held-out loss of a run.
fn curve(lines: &[Line]) -> Vec<Point> {
    let point = |line: &Line| match line {
        Line::Evaluation { step, loss, scores } => Some(Point {
            step: *step,
            nats_per_token: *loss,
            by_mask: scores.by_mask.iter().map(|mask| mask.score.nats_per_token).collect(),
        }),
        Line::Train { .. } => None,
    };
    lines.iter().filter_map(point).collect()
}

fn facts(arms: &[ResolvedArm], plan: &Plan, dataset: &Dataset) -> Facts {
    let config = &arms[0].config;
    let files: Vec<&str> = dataset.genome.files.iter().map(|file| file.path.as_str()).collect();
    let tokenizer = &config.tokenizer;
    // An arm may have a model or a number of steps of its own.
    let same = |of: &dyn Fn(usize, &RunConfig) -> String| {
        let first = of(0, config);
        let differ = arms.iter().enumerate().any(|(at, arm)| of(at, &arm.config) != first);
        if differ { "differs: see below".to_string() } else { first }
    };
    vec![
        Fact::new("Genome", format!("{} ({} bases)", files.join(", "), count(dataset.genome.bases()))),
        Fact::new("Held out", dataset.held_out.join(", ")),
        Fact::new("Tokens", format!("{} of {} bases, stride {}", tokenizer.kind, tokenizer.k, tokenizer.stride)),
        Fact::new(
            "Frozen masks",
            format!(
                "{} of {}, seed {}",
                counted(plan.sequences as u64, "masked sequence"),
                counted(plan.windows as u64, "held-out window"),
                config.seed
            ),
        ),
        Fact::new(
            "Model",
            same(&|at, config| {
                format!(
                    "{}: {} layers x {}, {:.1} M weights",
                    config.model.preset,
                    config.model.num_hidden_layers,
                    config.model.hidden_size,
                    plan.parameters[at] as f64 / 1e6
                )
            }),
        ),
        Fact::new(
            "A run",
            same(&|at, config| {
                format!(
                    "{}, about {:.2} M tokens of windows of at most {}",
                    counted(config.train.steps, "step"),
                    plan.tokens[at] / 1e6,
                    config.data.max_length
                )
            }),
        ),
        Fact::new("Weights", "those of the last step; f32".to_string()),
    ]
}
