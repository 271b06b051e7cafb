//! Held-out loss: how well a model guesses frozen masks, beside what can be guessed without a model.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tatabox_core::baseline::BaselineScores;
use tatabox_core::corpus::Holdout;
use tatabox_core::genome::Genome;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_core::score::{ScoreSums, Scores};
use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
use tatabox_engine::{Batch, Capacity, Executor, Mode, Precision};

use crate::checkpoint::{Checkpoints, MODEL, STATE, State};
use crate::config::BertConfig;
use crate::data::frozen_batches;
use crate::dataset::{self, Dataset};
use crate::error::{Error, Result};
use crate::finetune::Record;
use crate::models::bert;
use crate::recipe::RunConfig;
use crate::run::{CONFIG, FINETUNE};
use crate::settings::Settings;
use crate::weights::{Head, Weights, read_weights, wanted};

/// Tokens that are evaluated at once.
const BATCH_TOKENS: usize = 8192;

/// Where a model lies: a run, of which the newest complete checkpoint counts, or any Hugging Face directory.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// The directory with `config.json` and `model.safetensors`.
    pub folder: PathBuf,
    /// The step of a run's checkpoint.
    pub step: Option<u64>,
    /// Words for the user: checkpoints that were torn.
    pub notes: Vec<String>,
    /// Its configuration.
    pub config: BertConfig,
}

/// What is said of a model without a vocabulary.
pub(crate) const NO_VOCABULARY: &str = "the model has no `vocab.txt` and no `tokenizer.json`: its ids are taken to be in the order of DNABERT's vocabulary";

/// How a model reads sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Its tokens.
    pub tokenizer: TokenizerConfig,
    /// Tokens of the longest sample that it was trained on, or may be.
    pub max_length: usize,
}

impl ModelFiles {
    /// Finds the model of a directory and reads its configuration.
    ///
    /// # Errors
    /// There is no model, its weights are in another format, or its configuration is not one that this program computes.
    pub fn find(dir: &Path) -> Result<Self> {
        let refuse = |what: &str, hint: &str| {
            Err(Error::Directory { path: dir.to_path_buf(), what: what.to_string(), hint: hint.to_string() })
        };
        if !dir.is_dir() {
            return refuse("is no directory", "give a run (`runs/yeast`) or a directory written by transformers");
        }
        let mut found = (dir.to_path_buf(), None, Vec::new());
        if dir.join(CONFIG).is_file() {
            let checkpoints = Checkpoints::new(dir.join("checkpoints"));
            let (state, torn) = checkpoints.newest::<State>()?;
            found = (checkpoints.path(state.step), Some(state.step), torn);
            check_shown(dir, &found.0)?;
        }
        let (folder, step, notes) = found;
        if !folder.join("config.json").is_file() {
            return refuse(
                "holds no model: it has no `config.json`",
                "give a run, or a directory written by transformers",
            );
        }
        if !folder.join(MODEL).is_file() {
            let hint = if folder.join("pytorch_model.bin").is_file() {
                "`pytorch_model.bin` is not read: load it with transformers and `save_pretrained(dir, safe_serialization=True)`"
            } else {
                ""
            };
            return refuse("holds no `model.safetensors`", hint);
        }
        let config = BertConfig::read(&folder.join("config.json"))?;
        Ok(Self { folder, step, notes, config })
    }

    /// The tokenizer of its `vocab.txt` or, as transformers 5 writes no such file, of its `tokenizer.json`; `None` where it has neither. The
    /// stride is in neither file.
    ///
    /// # Errors
    /// The vocabulary is not DNABERT's, or not of the size that the configuration says.
    pub fn tokenizer(&self, stride: usize) -> Result<Option<Tokenizer>> {
        let (text, json) = (self.folder.join("vocab.txt"), self.folder.join("tokenizer.json"));
        let (tokenizer, path) = if text.is_file() {
            (Tokenizer::from_vocab_file(&text, stride)?, text)
        } else if json.is_file() {
            let read = Tokenizer::from_vocab(listed(&json)?.as_bytes(), &json, stride);
            (read.map_err(without_line)?, json)
        } else {
            return Ok(None);
        };
        if tokenizer.vocab_size() != self.config.vocab_size {
            let got = format!(
                "{} tokens, as `config.json` has `vocab_size` {}",
                tokenizer.vocab_size(),
                self.config.vocab_size
            );
            return Err(Error::format(path, "", "one token for each id", got, ""));
        }
        Ok(Some(tokenizer))
    }

    /// How the model of the directory `dir` reads: as its run did, else by its vocabulary and up to its positions; none where it has no vocabulary.
    ///
    /// # Errors
    /// As [`ModelFiles::tokenizer`].
    pub fn reading(&self, dir: &Path) -> Result<Option<Reading>> {
        let known = self.tokenizer(1)?.map(|tokenizer| tokenizer.config().clone());
        if dir.join(CONFIG).is_file() {
            let run = RunConfig::stored(Settings::read(&dir.join(CONFIG))?)?;
            return Ok(Some(Reading { tokenizer: run.tokenizer, max_length: run.data.max_length }));
        }
        if dir.join(FINETUNE).is_file() {
            let run = Record::read(&dir.join(FINETUNE))?.config;
            return Ok(Some(Reading { tokenizer: run.tokenizer, max_length: run.data.max_length }));
        }
        Ok(known.map(|tokenizer| Reading { tokenizer, max_length: self.config.max_position_embeddings }))
    }

    /// Reads the weights into an executor; words for the user come back. Where the head may be missing, it stays as it is.
    ///
    /// # Errors
    /// As [`read_weights`].
    pub fn load(&self, executor: &mut Executor, head: Head) -> Result<Vec<String>> {
        let specs = executor.specs().to_vec();
        let wanted = wanted(&specs);
        let Weights { values, notes } = read_weights(&self.folder.join(MODEL), &wanted, head)?;
        for (index, values) in values.iter().enumerate() {
            if let Some(values) = values {
                executor.set_param(index, values);
            }
        }
        Ok(notes)
    }
}

/// The tokens of a `tokenizer.json` in the order of their ids, a line each, as `vocab.txt` has them.
fn listed(path: &Path) -> Result<String> {
    let text = std::fs::read(path).map_err(Error::file("read", path))?;
    let wrong = |got: String| Error::format(path, "", "`model.vocab`, a JSON object of tokens and ids", got, "");
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let vocabulary =
        json["model"]["vocab"].as_object().ok_or_else(|| wrong(format!("the model `{}`", json["model"]["type"])))?;
    let mut tokens: Vec<(Option<u64>, &str)> =
        vocabulary.iter().map(|(token, id)| (id.as_u64(), token.as_str())).collect();
    tokens.sort_unstable();
    for (id, (got, token)) in (0..).zip(&tokens) {
        if *got != Some(id) {
            return Err(wrong(format!("no token with id {id}, but `{}` with {got:?}", token.escape_debug())));
        }
    }
    Ok(tokens.into_iter().map(|(_, token)| format!("{token}\n")).collect())
}

/// The lines of [`listed`] are no lines of the file.
fn without_line(error: tatabox_core::Error) -> Error {
    match error {
        tatabox_core::Error::Format { path, expected, got, hint, .. } => Error::format(path, "", expected, got, hint),
        other => other.into(),
    }
}

/// The result of `tatabox evaluate`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The model's directory.
    pub model: String,
    /// The step of a run's checkpoint.
    pub step: Option<u64>,
    /// Nats a masked token over all masks.
    pub loss: f64,
    /// e to the power of `loss`.
    pub perplexity: f64,
    /// Bits a hidden base over all masks; none where no base is hidden.
    pub bits_per_hidden_base: Option<f64>,
    /// Frozen sequences.
    pub sequences: usize,
    /// Tokens of these sequences a second.
    pub tokens_per_second: f64,
    /// Overall and by mask.
    pub scores: Scores,
    /// What can be guessed without a model, on the same masks.
    pub baselines: Vec<BaselineScores>,
    /// Words for the user.
    pub notes: Vec<String>,
}

/// The scores of the weights in an executor on frozen masks; `batches` are those of [`frozen_batches`].
///
/// # Errors
/// A batch does not fit the executor, or no token is masked.
pub fn score(executor: &mut Executor, frozen: &FrozenMasks, batches: &[Batch]) -> Result<Scores> {
    let mut sums = ScoreSums::default();
    let nats = target_nats(executor, batches)?;
    let targets = frozen.sequences.iter().flat_map(|one| one.hidden.iter().map(|&hidden| (one.mask.as_str(), hidden)));
    for ((mask, hidden), nats) in targets.zip(nats) {
        sums.add(mask, f64::from(nats), hidden);
    }
    sums.scores().ok_or_else(|| {
        Error::Core(tatabox_core::Error::Data {
            what: "the frozen masks ask for no token".to_string(),
            hint: String::new(),
        })
    })
}

/// The nats of every masked token, `[targets]`, in the order of the batches.
fn target_nats(executor: &mut Executor, batches: &[Batch]) -> Result<Vec<f32>> {
    let mut nats = Vec::new();
    for batch in batches {
        nats.extend(executor.evaluate(batch)?);
    }
    Ok(nats)
}

/// The nats of a model on each frozen sequence, summed over its masked tokens, `[sequences]`.
///
/// # Errors
/// As [`evaluate`].
pub fn sequence_nats(model: &Path, masks: &Path, frozen: &FrozenMasks, precision: Precision) -> Result<Vec<f64>> {
    let files = ModelFiles::find(model)?;
    let Loaded { mut executor, capacity, .. } = Loaded::new(&files, frozen, masks, precision)?;
    let mut nats = target_nats(&mut executor, &frozen_batches(frozen, &capacity)?)?.into_iter();
    let sum = |targets: usize| nats.by_ref().take(targets).map(f64::from).sum();
    Ok(frozen.sequences.iter().map(|one| one.masked.targets.len()).map(sum).collect())
}

/// A model that is ready to be asked.
struct Loaded {
    executor: Executor,
    capacity: Capacity,
    notes: Vec<String>,
}

impl Loaded {
    /// Loads the weights of `files` with room for `frozen`, the masks of the file `masks`.
    fn new(files: &ModelFiles, frozen: &FrozenMasks, masks: &Path, precision: Precision) -> Result<Self> {
        let longest = frozen.sequences.iter().map(|one| one.masked.input_ids.len()).max().unwrap_or(0);
        let positions = files.config.max_position_embeddings;
        if longest > positions {
            let hint = "freeze shorter windows with `tatabox mask freeze --set data.max_length=…`";
            let expected = format!("sequences of at most {positions} tokens, as the model has");
            return Err(Error::format(masks, "", expected, format!("{longest} tokens"), hint));
        }
        let masked = frozen.sequences.iter().map(|one| one.masked.targets.len()).max().unwrap_or(0);
        let capacity =
            Capacity { tokens: longest.max(BATCH_TOKENS), masked: masked.max(BATCH_TOKENS / 2), sequences: 0 };
        let mut executor = Executor::new(bert::masked_lm(&files.config)?, capacity, precision, Mode::Evaluate)?;
        let mut notes = files.notes.clone();
        notes.extend(files.load(&mut executor, Head::Required)?);
        Ok(Self { executor, capacity, notes })
    }
}

/// What to evaluate, and on what.
pub struct Request<'a> {
    /// A run, or a Hugging Face directory.
    pub model: &'a Path,
    /// Frozen masks.
    pub masks: &'a Path,
    /// Of the engine; `f32` gives the numbers of transformers.
    pub precision: Precision,
    /// The genome that the baselines count; without one, a run's own.
    pub genome: Option<Genome>,
    /// What the baselines leave out of that genome; a run's own held-out regions where it is a run.
    pub holdout: Holdout,
    /// Where genomes are kept once they are read.
    pub cache: &'a Path,
}

/// Evaluates a model on frozen masks.
///
/// # Errors
/// The model cannot be read, or the masks are of another tokenizer or too long for it.
pub fn evaluate(request: Request<'_>) -> Result<Evaluation> {
    let files = ModelFiles::find(request.model)?;
    let frozen = FrozenMasks::read(request.masks)?;
    let recipe = request.model.join(CONFIG);
    let run = if recipe.is_file() { Some(RunConfig::stored(Settings::read(&recipe)?)?) } else { None };
    if let Some(run) = &run {
        check_stride(run, &frozen, request.masks)?;
    }
    let unknown = check_tokenizer(request.model, &files, &frozen, request.masks)?;
    let Loaded { mut executor, capacity, mut notes } = Loaded::new(&files, &frozen, request.masks, request.precision)?;
    let start = std::time::Instant::now();
    let scores = score(&mut executor, &frozen, &frozen_batches(&frozen, &capacity)?)?;
    let tokens: usize = frozen.sequences.iter().map(|one| one.masked.input_ids.len()).sum();
    let tokens_per_second = tokens as f64 / start.elapsed().as_secs_f64().max(1e-9);
    notes.extend(unknown);
    let longest = frozen.sequences.iter().map(|one| one.masked.input_ids.len()).max().unwrap_or(0);
    if let Some(trained) = run.as_ref().map(|run| run.data.max_length).filter(|&trained| longest > trained) {
        notes.push(format!(
            "the masks have up to {longest} tokens, but this run trained on {trained} at most: it is asked at positions that it never saw \
             (`tatabox mask freeze --recipe {}` makes masks of its length)",
            recipe.display()
        ));
    }
    let dataset = Dataset::of_run(request.model)?;
    if let Some(dataset) = &dataset {
        let seen = frozen.sequences.iter().filter(|one| dataset.may_have_seen(&one.origin)).count();
        if seen > 0 {
            notes.push(format!(
                "{seen} of the {} frozen sequences are not in what this run held out ({}): it may have trained on them, and its loss on them says \
                 little about other DNA",
                frozen.sequences.len(),
                if dataset.held_out.is_empty() { "nothing".to_string() } else { dataset.held_out.join(", ") },
            ));
        }
    }
    let both_strands = run.is_none_or(|run| run.data.strands == "both");
    let baselines = match baselines(&request, dataset.as_ref(), &frozen, both_strands) {
        Ok(baselines) => baselines,
        Err(error) => {
            notes.push(format!("no baselines: {error}"));
            Vec::new()
        }
    };
    Ok(Evaluation {
        model: request.model.display().to_string(),
        step: files.step,
        loss: scores.overall.nats_per_token,
        perplexity: scores.overall.perplexity,
        bits_per_hidden_base: scores.overall.bits_per_hidden_base,
        sequences: frozen.sequences.len(),
        tokens_per_second,
        scores,
        baselines,
        notes,
    })
}

/// The baselines on the genome that is given or that the run remembers; none where there is neither.
fn baselines(
    request: &Request<'_>,
    dataset: Option<&Dataset>,
    frozen: &FrozenMasks,
    both_strands: bool,
) -> Result<Vec<BaselineScores>> {
    let (genome, holdout) = match (&request.genome, dataset) {
        (Some(genome), None) => (genome.clone(), request.holdout.clone()),
        (Some(genome), Some(dataset)) => (genome.clone(), dataset.holdout()),
        (None, Some(dataset)) => (dataset.open(request.cache)?, dataset.holdout()),
        (None, None) => return Ok(Vec::new()),
    };
    let longest = frozen.sequences.iter().map(|one| one.origin.bases).max().unwrap_or(1);
    let held_out = holdout.regions(&genome, longest)?;
    dataset::baselines(&genome, &held_out, both_strands, frozen)
}

/// What the directory of a run shows is its newest checkpoint. A `config.json` changed there by hand would be passed over in silence.
fn check_shown(dir: &Path, checkpoint: &Path) -> Result<()> {
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).ok();
    let same = |name: &str| read(dir, name) == read(checkpoint, name);
    if !same(STATE) || same("config.json") {
        return Ok(());
    }
    Err(Error::Weights {
        path: dir.join(MODEL),
        problems: "\n  `config.json` is not the one that these weights were saved with".to_string(),
        hint: format!("copy `{}` back", checkpoint.join("config.json").display()),
    })
}

/// Refuses masks whose tokens lie otherwise on a sequence than those that the run learnt from.
fn check_stride(run: &RunConfig, frozen: &FrozenMasks, masks: &Path) -> Result<()> {
    let (expected, got) = (run.tokenizer.stride, frozen.tokenizer.stride());
    if expected == got {
        return Ok(());
    }
    let hint = format!("freeze masks with the run's tokenizer: `--set tokenizer.stride={expected}`");
    Err(Error::format(masks, "", format!("tokens of stride {expected}, as the run has"), format!("stride {got}"), hint))
}

fn check_tokenizer(model: &Path, files: &ModelFiles, frozen: &FrozenMasks, masks: &Path) -> Result<Option<String>> {
    let (expected, got) = (files.config.vocab_size, frozen.tokenizer.vocab_size());
    // A vocabulary in another order, or an unknown one, would give every token another meaning.
    if expected == got {
        let note = files.reading(model)?.is_none().then(|| NO_VOCABULARY.to_string());
        return Ok(note);
    }
    let hint = "freeze masks with the model's tokenizer: `tatabox mask freeze --set tokenizer.k=…`";
    Err(Error::format(
        masks,
        "",
        format!("ids of a vocabulary of {expected}, as the model has"),
        format!("one of {got}"),
        hint,
    ))
}
