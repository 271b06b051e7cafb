//! Held-out loss: how well a model guesses frozen masks, beside what can be guessed without a model.

use std::path::Path;

use serde::Serialize;
use tatabox_core::baseline::BaselineScores;
use tatabox_core::corpus::Holdout;
use tatabox_core::genome::Genome;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_core::score::{ScoreSums, Scores};
use tatabox_engine::{Batch, Capacity, Executor, Mode, Precision};

use crate::data::frozen_batches;
use crate::dataset::{self, Dataset};
use crate::error::{Error, Result};
use crate::model_files::{ModelFiles, NO_VOCABULARY};
use crate::models::bert;
use crate::recipe::RunConfig;
use crate::run::CONFIG;
use crate::settings::Settings;
use crate::weights::Head;

/// Tokens that are evaluated at once.
const BATCH_TOKENS: usize = 8192;

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
