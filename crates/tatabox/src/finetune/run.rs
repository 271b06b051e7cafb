//! A fine-tuning in a run directory: kept after each epoch, gone on with after a stop, measured at the end.
//!
//! ```text
//! runs/prom/  finetune.toml · dataset.json · metrics.jsonl · checkpoints/step-N/ (while it is not done) · result.json · report.html · report.json
//!             config.json · vocab.txt · tokenizer_config.json · model.safetensors   (the best epoch, as Hugging Face opens it)
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tatabox_core::assess::{Assessment, assess};
use tatabox_core::io::whole::{TEMPORARY, sync_folder};
use tatabox_core::labelled::{Card, Example, Labelled, SplitName, Target, Task};
use tatabox_core::report::{Html, Json, Renderer};
use tatabox_core::tokenizer::Tokenizer;

use super::classifier::Classifier;
use super::fit::{Epoch, Fit, FitObserver, FitState, Pause};
use super::page::Page;
use super::pretrained::Pretrained;
use super::record::Record;
use super::{FinetuneConfig, Source};
use crate::checkpoint::{MODEL, companions};
use crate::error::{Error, Result};
use crate::learner::Lesson;
use crate::run::{DATASET, FINETUNE, METRICS, Run, check_vacant};
use crate::train::tensors;
use crate::weights::{Head, Tensor, read_weights, wanted, write_weights};

/// How it came out; its presence makes a fine-tuning complete.
const RESULT: &str = "result.json";

/// What is to be fine-tuned.
pub struct Request<'a> {
    /// The encoder.
    pub pretrained: &'a Pretrained,
    /// How.
    pub config: FinetuneConfig,
    /// On what.
    pub data: &'a Labelled,
    /// Where that came from.
    pub source: Source,
    /// The run directory to make.
    pub output: &'a Path,
}

/// How a fine-tuning ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run directory.
    pub run: PathBuf,
    /// False where it was stopped before its end.
    pub finished: bool,
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps at most.
    pub steps: u64,
    /// The epochs that are done.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights are kept, from 1; none before the first is done.
    pub best_epoch: Option<u64>,
    /// Whether the model answers all the same to what it learnt from.
    pub collapsed: bool,
    /// Training examples a second of this process.
    pub examples_per_second: f64,
    /// How good it is on dev, with the weights of the best epoch.
    pub dev: Option<Assessment>,
    /// How good it is on test, measured once.
    pub test: Option<Assessment>,
}

/// Starts a fine-tuning and goes on to its end, or until `stop` is set.
///
/// # Errors
/// The directory is not vacant, data and model do not fit each other, the loss is no number any more, or a file cannot be written.
pub fn start(request: Request<'_>, observer: &mut dyn FitObserver, stop: &AtomicBool) -> Result<Outcome> {
    check_vacant(request.output)?;
    check_answers(request.data)?;
    let record = Record {
        task: request.data.task,
        pairs: request.data.pairs(),
        outputs: request.data.outputs().to_vec(),
        model: std::path::absolute(&request.pretrained.dir).map_err(Error::file("find", &request.pretrained.dir))?,
        model_sha256: request.pretrained.sha256.clone(),
        config: request.config,
        source: Some(request.source.absolute()?),
    };
    let parts = Parts::of(request.data);
    // All that does not fit is told before anything is written.
    let fit = Fit::new(request.pretrained, &record.config, parts.lesson(&record))?;
    if let Some(note) = unread(&Tokenizer::new(record.config.tokenizer.clone())?, request.data) {
        observer.message(&note);
    }
    let new = Run::create(request.output)?;
    let card = Card::of(request.data, None);
    new.run().write(DATASET, &json(&card))?;
    for (name, text) in companions(&record.config.tokenizer, &record.bert(&request.pretrained.config))? {
        new.run().write(&name, &text)?;
    }
    let run = new.finish(FINETUNE, &record.to_toml()?)?;
    Work { run, record: &record, card, parts: &parts, pretrained: request.pretrained }.go_on(fit, observer, stop)
}

/// Goes on with a fine-tuning; a complete one is given back as it is.
///
/// # Errors
/// There is none, or its encoder or data are not what they were; and as [`start`].
pub fn resume(dir: &Path, cache: &Path, observer: &mut dyn FitObserver, stop: &AtomicBool) -> Result<Outcome> {
    let run = Run::open(dir, FINETUNE)?;
    if let Some(outcome) = complete(dir) {
        // It may have been killed after its last word.
        drop_checkpoints(&run)?;
        return Ok(outcome);
    }
    let record = Record::read(&run.path(FINETUNE))?;
    let pretrained = Pretrained::open(&record.model)?;
    let changed = |what: &str, expected: &str, got: &str| {
        let hint = "put it back as it was, or start anew with another `-o`";
        Err(Error::format(what, "", format!("what the run began with, SHA-256 {expected}"), got.to_string(), hint))
    };
    if pretrained.sha256 != record.model_sha256 {
        return changed(&record.model.display().to_string(), &record.model_sha256, &pretrained.sha256);
    }
    let Some(source) = &record.source else {
        return Err(Error::format(run.path(FINETUNE), "", "where the data came from", "nothing".to_string(), ""));
    };
    let (data, _) = source.read(cache)?;
    let card = Card::of(&data, None);
    let text = std::fs::read_to_string(run.path(DATASET)).map_err(Error::file("read", run.path(DATASET)))?;
    let hashes =
        |card: &Card| card.splits.iter().map(|split| split.sha256[..16].to_string()).collect::<Vec<_>>().join(" ");
    let before = serde_json::from_str::<Card>(&text).map_or_else(|error| error.to_string(), |card| hashes(&card));
    if before != hashes(&card) {
        return changed("the labelled data", &before, &hashes(&card));
    }
    let parts = Parts::of(&data);
    let mut fit = Fit::new(&pretrained, &record.config, parts.lesson(&record))?;
    let work = Work { run, record: &record, card, parts: &parts, pretrained: &pretrained };
    for note in work.restore(&mut fit)? {
        observer.message(&note);
    }
    work.go_on(fit, observer, stop)
}

/// Words on bases that no token reads: with a stride above 1, those behind the last whole step.
fn unread(tokenizer: &Tokenizer, data: &Labelled) -> Option<String> {
    let left = |codes: &Vec<u8>| tokenizer.bases_of(tokenizer.tokens_of(codes.len())) < codes.len();
    let count = data.examples().filter(|one| left(&one.codes) || one.second.as_ref().is_some_and(left)).count();
    let stride = tokenizer.stride();
    (count > 0).then(|| {
        format!(
            "with a stride of {stride}, the last 1 to {} bases of {count} sequences fill no token and are not read",
            stride - 1
        )
    })
}

/// Refuses data from which nothing can be learnt, or that asks for what nobody could learn.
fn check_answers(data: &Labelled) -> Result<()> {
    let refuse =
        |what: String, hint: &str| Err(Error::Core(tatabox_core::Error::Data { what, hint: hint.to_string() }));
    let classes = |name| -> BTreeSet<u32> {
        let examples = data.split(name).into_iter().flat_map(|split| &split.examples);
        examples.filter_map(|example| example.target.class().map(|class| class as u32)).collect()
    };
    let train = classes(SplitName::Train);
    if matches!(data.task, Task::Binary | Task::MultiClass) && train.len() < 2 {
        let name = train.first().map_or("", |class| &data.id2label[*class as usize]);
        return refuse(
            format!("train holds one class only, `{name}`: nothing can be told apart"),
            "give examples of all classes, or name the right column with `--label-column`",
        );
    }
    for part in [SplitName::Dev, SplitName::Test] {
        if let Some(unseen) = classes(part).difference(&train).next() {
            return refuse(
                format!("{part} holds the class `{}`, of which train has no example", data.id2label[*unseen as usize]),
                "give training examples of it, or divide all again with `--split 80/10/10`",
            );
        }
    }
    Ok(())
}

/// What a fine-tuning is and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The run directory.
    pub run: PathBuf,
    /// What it is.
    pub record: Record,
    /// What it learns from.
    pub dataset: Card,
    /// The epochs that are done.
    pub epochs: Vec<Epoch>,
    /// How it came out; none while it is not complete.
    pub result: Option<Outcome>,
}

impl Standing {
    /// Reads a fine-tuning without touching it, even while it is at work.
    ///
    /// # Errors
    /// It is none, or a file of it cannot be read.
    pub fn of(dir: &Path) -> Result<Self> {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).map_err(Error::file("read", dir.join(name)));
        let dataset = serde_json::from_str(&read(DATASET)?).map_err(|error| {
            Error::format(dir.join(DATASET), "", "the card of labelled data", error.to_string(), "")
        })?;
        let lines = if dir.join(METRICS).exists() { read(METRICS)? } else { String::new() };
        Ok(Self {
            run: dir.to_path_buf(),
            record: Record::read(&dir.join(FINETUNE))?,
            dataset,
            // A killed process may have left the last line half-written.
            epochs: lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            result: complete(dir),
        })
    }
}

/// The outcome of a fine-tuning that is complete.
pub fn complete(dir: &Path) -> Option<Outcome> {
    serde_json::from_str(&std::fs::read_to_string(dir.join(RESULT)).ok()?).ok()
}

/// The examples by part, borrowed.
struct Parts<'a> {
    train: Vec<&'a Example>,
    dev: Vec<&'a Example>,
    test: Vec<&'a Example>,
}

impl<'a> Parts<'a> {
    fn of(data: &'a Labelled) -> Self {
        let part = |name| data.split(name).map_or_else(Vec::new, |split| split.examples.iter().collect());
        Self { train: part(SplitName::Train), dev: part(SplitName::Dev), test: part(SplitName::Test) }
    }

    fn lesson(&self, record: &Record) -> Lesson<'_> {
        Lesson {
            task: record.task,
            outputs: record.outputs.len(),
            train: &self.train,
            dev: &self.dev,
            test: &self.test,
            seed: record.config.seed,
        }
    }
}

/// A run at work.
struct Work<'a> {
    run: Run,
    record: &'a Record,
    card: Card,
    parts: &'a Parts<'a>,
    pretrained: &'a Pretrained,
}

impl Work<'_> {
    fn go_on(&self, mut fit: Fit<'_>, observer: &mut dyn FitObserver, stop: &AtomicBool) -> Result<Outcome> {
        observer.planned(&fit.plan());
        let (start, first) = (Instant::now(), fit.state().step);
        loop {
            let epochs = fit.state().epochs.len();
            let pause = fit.go_on(stop, observer)?;
            if fit.state().epochs.len() > epochs {
                self.keep_epoch(&fit)?;
            }
            if pause == Pause::Done {
                break;
            }
            self.save(&mut fit)?;
            if pause == Pause::Step && stop.load(Ordering::Relaxed) {
                return Ok(self.outcome(&fit, (start, first), None));
            }
        }
        let outcome = self.outcome(&fit, (start, first), None);
        // Its training memory is free before the classifier takes its own.
        drop(fit);
        let outcome = self.measure(outcome)?;
        self.run.write(RESULT, &json(&outcome))?;
        drop_checkpoints(&self.run)?;
        Ok(outcome)
    }

    /// Writes the epoch that just ended to the log, and its weights if they are the best.
    fn keep_epoch(&self, fit: &Fit<'_>) -> Result<()> {
        let epoch = fit.state().epochs.last().expect("an epoch just ended");
        if epoch.best {
            self.write_model(fit)?;
        }
        self.run.append_metrics(epoch)
    }

    fn write_model(&self, fit: &Fit<'_>) -> Result<()> {
        let weights = fit.weights()?;
        let tensors: Vec<Tensor<'_>> = (fit.specs().zip(&weights))
            .map(|(spec, values)| Tensor { name: &spec.name, shape: &spec.shape, values })
            .collect();
        let (temporary, path) = (self.run.path(&format!("{TEMPORARY}{MODEL}")), self.run.path(MODEL));
        write_weights(&temporary, &tensors)?;
        std::fs::rename(&temporary, &path).map_err(Error::file("write", &path))?;
        Ok(sync_folder(self.run.dir())?)
    }

    fn save(&self, fit: &mut Fit<'_>) -> Result<()> {
        let state = fit.state().clone();
        let tensors = tensors(fit.executor())?;
        let checkpoints = self.run.checkpoints();
        checkpoints.write(
            &state,
            &tensors,
            &companions(&self.record.config.tokenizer, &self.record.bert(&self.pretrained.config))?,
        )?;
        checkpoints.prune(2, None)
    }

    /// Puts a fitting where the newest whole checkpoint stood; words for the user come back.
    fn restore(&self, fit: &mut Fit<'_>) -> Result<Vec<String>> {
        let checkpoints = self.run.checkpoints();
        if checkpoints.steps()?.is_empty() {
            self.run.rewind_metrics(0)?;
            return Ok(Vec::new());
        }
        let (state, torn): (FitState, _) = checkpoints.newest()?;
        checkpoints.set_aside_after(state.step)?;
        self.run.rewind_metrics(state.step)?;
        let path = checkpoints.path(state.step).join(MODEL);
        let executor = fit.executor();
        let specs = executor.specs().to_vec();
        let tensors = wanted(&specs);
        let weights = read_weights(&path, &tensors, Head::Required)?;
        for (index, values) in weights.values.iter().enumerate() {
            executor.set_param(index, values.as_ref().expect("a required head is there"));
        }
        let learning: Vec<usize> = (0..specs.len()).filter(|&index| specs[index].rate > 0.0).collect();
        let names: Vec<Tensor<'_>> = learning.iter().map(|&index| tensors[index].clone()).collect();
        for (index, (first, second)) in learning.iter().zip(checkpoints.read_moments(state.step, &names)?) {
            executor.set_moments(*index, &first, &second);
        }
        let best = match state.best() {
            Some(_) if self.record.config.select.by == "loss" && !self.parts.dev.is_empty() => {
                let specs: Vec<_> = fit.specs().cloned().collect();
                let read = read_weights(&self.run.path(MODEL), &wanted(&specs), Head::Required)?;
                Some(read.values.into_iter().map(|values| values.expect("a required head is there")).collect())
            }
            _ => None,
        };
        fit.restore(state, best);
        Ok(torn)
    }

    fn outcome(&self, fit: &Fit<'_>, (start, first): (Instant, u64), test: Option<Assessment>) -> Outcome {
        let state = fit.state();
        let examples = (state.step - first) * self.record.config.train.batch_size;
        Outcome {
            run: self.run.dir().to_path_buf(),
            finished: fit.is_done(),
            step: state.step,
            steps: fit.steps(),
            epochs: state.epochs.clone(),
            best_epoch: state.best().map(|best| best.epoch),
            collapsed: false,
            examples_per_second: examples as f64 / start.elapsed().as_secs_f64().max(1e-9),
            dev: None,
            test,
        }
    }

    /// Asks the best epoch's model: dev, and test once.
    fn measure(&self, mut outcome: Outcome) -> Result<Outcome> {
        let mut classifier = Classifier::open(self.run.dir(), self.record.config.precision())?;
        outcome.collapsed = classifier.is_collapsed(&self.parts.train)?;
        let mut found = Vec::new();
        for (name, examples) in [("dev", &self.parts.dev), ("test", &self.parts.test)] {
            if !examples.is_empty() {
                let targets: Vec<&Target> = examples.iter().map(|example| &example.target).collect();
                let scores = classifier.answers(examples)?;
                found.push((name.to_string(), assess(self.record.task, &self.record.outputs, &targets, &scores)));
            }
        }
        let of = |part: &str| found.iter().find(|(name, _)| name == part).map(|(_, found)| found.clone());
        (outcome.dev, outcome.test) = (of("dev"), of("test"));
        let name = self.run.dir().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let report =
            Page { name: &name, record: self.record, card: &self.card, epochs: &outcome.epochs, assessments: &found }
                .report();
        self.run.write("report.json", &Json.render(&report))?;
        self.run.write("report.html", &Html.render(&report))?;
        Ok(outcome)
    }
}

/// A complete run needs no checkpoints.
fn drop_checkpoints(run: &Run) -> Result<()> {
    let checkpoints = run.path("checkpoints");
    if checkpoints.exists() {
        std::fs::remove_dir_all(&checkpoints).map_err(Error::file("delete", checkpoints))?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("a plain struct has a JSON form") + "\n"
}
