//! Pretraining: from a genome and a recipe to a run, and on with a run that was stopped.
//!
//! Everything that can be refused is refused before the first step, and before anything is written. `checkpoints/step-0` is written before
//! the first step as well: a full disk shows now and not in an hour, and a run can be resumed from its first moment on.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use tatabox_core::corpus::Part;
use tatabox_core::genome::Genome;
use tatabox_core::mask::MaskStrategy;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_engine::{Device, Executor, Isa, Mode};

use crate::checkpoint::{Checkpoints, STATE, State, companions};
use crate::config::{BertConfig, PRESETS, Preset};
use crate::data::{Batches, freeze, frozen_batches, sampler};
use crate::dataset::{Dataset, Init, baselines};
use crate::error::{Error, Result};
use crate::learned::{self, Learned};
use crate::metrics::{self, Line};
use crate::model_files::{ModelFiles, NO_VOCABULARY, Reading};
use crate::models::{bert, fresh};
use crate::observer::{Observer, Outcome};
use crate::plan::{
    Plan, capacity, check_space, default_steps, fitting_capacity, flops_per_token, measure, plan, precision,
};
use crate::recipe::RunConfig;
use crate::run::{CONFIG, DATASET, FROZEN, METRICS, Run, SCORES, check_vacant};
use crate::settings::{Settings, Value};
use crate::tensorboard::EventWriter;
use crate::train::Trainer;
use crate::weights::{Head, read_weights, wanted};

/// A new run.
pub struct Request<'a> {
    /// The recipe, not yet resolved.
    pub settings: Settings,
    /// The genome.
    pub genome: Genome,
    /// The run directory to make.
    pub output: &'a Path,
    /// The run or Hugging Face directory whose weights it starts from.
    pub init: Option<&'a Path>,
}

/// Starts a run and trains it to its end, or until `stop` says so; then it is saved, and [`resume`] goes on.
///
/// # Errors
/// The recipe, the genome, the output directory or the machine cannot serve it; or a file cannot be written; or the loss is no number any more.
pub fn start(request: Request<'_>, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
    start_on(request, None, observer, stop)
}

/// As [`start`], with the frozen masks that held-out loss is measured on: several runs that are to be compared share one set. Without a set the run
/// draws its own, under its own seed. The windows of a set must lie in what the recipe holds out.
///
/// # Errors
/// As [`start`].
pub fn start_on(
    request: Request<'_>,
    frozen: Option<&FrozenMasks>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome> {
    check_vacant(request.output)?;
    let prepared = Prepared::new(request.settings, &request.genome, request.init, frozen, observer)?;
    prepared.notes.iter().for_each(|note| observer.message(note));
    observer.planned(&prepared.plan);
    check_space(&prepared.plan, &prepared.config, request.output)?;
    let Prepared { config, bert, executor, frozen, learned, strategy, plan, init, .. } = prepared;
    let training = sampler(&config, &request.genome, Part::Train)?;
    let baselines = match &frozen {
        Some(frozen) => baselines(&request.genome, training.held_out(), config.data.strands == "both", frozen)?,
        None => Vec::new(),
    };

    let new = Run::create(request.output)?;
    let run = new.run();
    let mut dataset = Dataset::new(&request.genome, &training, baselines);
    dataset.init = init;
    if let Some(learned) = &learned {
        dataset.scores = Some(learned.write(&run.path(SCORES))?);
    }
    run.write(DATASET, &dataset.to_json())?;
    if let Some(frozen) = &frozen {
        frozen.write(&run.path(FROZEN))?;
    }
    let companions = companions(&config.tokenizer, &bert)?;
    let tensors = crate::train::tensors(&executor)?;
    run.checkpoints().write(&State::default(), &tensors, &companions)?;
    run.publish(0, &companions)?;
    let events = EventWriter::create(run.dir())?;
    let run = new.finish(CONFIG, &config.to_toml()?)?;
    let state = State::default();
    go_on(run, config, bert, executor, state, frozen, strategy, &request.genome, events, plan, observer, stop)
}

/// How a run came out that is complete and whose directory shows its last step; none where it is not.
pub fn complete(dir: &Path) -> Option<Outcome> {
    let config = RunConfig::stored(Settings::read(&dir.join(CONFIG)).ok()?).ok()?;
    let checkpoints = Checkpoints::new(dir.join("checkpoints"));
    let (state, torn) = checkpoints.newest::<State>().ok()?;
    let shown = std::fs::read(dir.join(STATE)).ok()?;
    let newest = std::fs::read(checkpoints.path(state.step).join(STATE)).ok()?;
    if state.step < config.train.steps || !torn.is_empty() || shown != newest {
        return None;
    }
    let (mut training_loss, mut held_out) = (None, None);
    for line in metrics::read(&dir.join(METRICS)).ok()? {
        match line {
            Line::Train { loss, .. } => training_loss = loss,
            Line::Evaluation { loss, .. } => held_out = Some(loss),
        }
    }
    Some(Outcome {
        run: dir.to_path_buf(),
        step: state.step,
        steps: config.train.steps,
        finished: true,
        training_loss,
        loss: held_out,
        best: state.best,
        baselines: Dataset::read(&dir.join(DATASET)).ok()?.baseline_losses(),
        // Nothing was computed.
        tokens_per_second: 0.0,
        flops_per_token: flops_per_token(&config, &config.bert().ok()?).ok()?,
    })
}

/// Goes on with a run from its newest complete checkpoint.
///
/// # Errors
/// There is no run, another process is at work in it, no checkpoint is complete, its genome is gone; or as [`start`].
pub fn resume(dir: &Path, cache: &Path, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
    let run = Run::open(dir, CONFIG)?;
    let config = RunConfig::stored(Settings::read(&run.path(CONFIG))?)?;
    let bert = config.bert()?;
    let (state, torn) = run.checkpoints().newest::<State>()?;
    torn.iter().for_each(|what| observer.message(what));
    let dataset = Dataset::read(&run.path(DATASET))?;
    let genome = dataset.open(cache)?;
    let learned = Learned::read(&config, &genome, &run.path(SCORES), dataset.scores.as_ref())?;
    let strategy = learned::strategy(&config, learned.as_ref())?;
    let frozen = match run.path(FROZEN) {
        path if path.is_file() => Some(FrozenMasks::read(&path)?),
        _ => None,
    };

    let graph = bert::masked_lm(&bert)?;
    let capacity = fitting_capacity(&config, &graph)?;
    let mut executor = Executor::new(graph.clone(), capacity, precision(&config), Mode::Train)?;
    restore(&mut executor, &run.checkpoints(), state.step)?;
    let speed = measure(&config, bert.vocab_size, &mut executor, &capacity)?;
    let training = sampler(&config, &genome, Part::Train)?;
    let plan = plan(&config, &bert, &graph, &capacity, &training, speed, state.step)?;
    observer.planned(&plan);

    // Only now, when nothing can be refused any more, is the run rewound to its checkpoint.
    run.checkpoints().set_aside_after(state.step)?;
    run.rewind_metrics(state.step)?;
    run.publish(state.step, &companions(&config.tokenizer, &bert)?)?;
    let events = EventWriter::resume(run.dir(), state.step, crate::train::now())?;
    go_on(run, config, bert, executor, state, frozen, strategy, &genome, events, plan, observer, stop)
}

fn go_on(
    run: Run,
    config: RunConfig,
    bert: BertConfig,
    executor: Executor,
    state: State,
    frozen: Option<FrozenMasks>,
    strategy: Box<dyn MaskStrategy>,
    genome: &Genome,
    events: EventWriter,
    plan: Plan,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let capacity = capacity(&config, plan.micro_batch_tokens)?;
    let batches = Batches::new(&config, genome, strategy, capacity)?;
    let frozen = match frozen {
        Some(frozen) => {
            let batches = frozen_batches(&frozen, &capacity)?;
            Some((frozen, batches))
        }
        None => None,
    };
    let companions = companions(&config.tokenizer, &bert)?;
    Trainer::new(run, config, executor, state, frozen, companions, events, plan).train(&batches, observer, stop)
}

/// A run before its first step.
struct Prepared {
    config: RunConfig,
    bert: BertConfig,
    executor: Executor,
    frozen: Option<FrozenMasks>,
    learned: Option<Learned>,
    strategy: Box<dyn MaskStrategy>,
    plan: Plan,
    init: Option<Init>,
    notes: Vec<String>,
}

impl Prepared {
    fn new(
        mut settings: Settings,
        genome: &Genome,
        init: Option<&Path>,
        frozen: Option<&FrozenMasks>,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let init = init.map(|dir| Ok::<_, Error>((dir, ModelFiles::find(dir)?))).transpose()?;
        let mut notes = Vec::new();
        if let Some((dir, files)) = &init {
            notes.extend(take_sizes(&mut settings, dir, files)?);
            notes.extend(files.notes.clone());
        }
        default_precision(&mut settings)?;
        let mut config = RunConfig::resolve(settings.clone())?;
        let training = sampler(&config, genome, Part::Train)?;
        let bert = config.bert()?;
        let graph = bert::masked_lm(&bert)?;
        let capacity = fitting_capacity(&config, &graph)?;
        let mut executor = Executor::new(graph.clone(), capacity, precision(&config), Mode::Train)?;
        fresh::initialize(&mut executor, &config)?;
        if let Some((_, files)) = &init {
            notes.extend(files.load(&mut executor, Head::Optional)?);
        }
        let speed = measure(&config, bert.vocab_size, &mut executor, &capacity)?;
        if !settings.has("train.steps") {
            let steps = default_steps(&config, training.usable_bases(), speed);
            settings.default_to("train.steps", Value::Integer(steps as i64), "this machine");
            config = RunConfig::resolve(settings)?;
            notes.push(format!(
                "`train.steps` is not given: {steps} steps, an hour on this machine or 40 passes over the genome"
            ));
        }
        config.train.micro_batch_tokens = capacity.tokens as u64;
        if let Some(file) = config.mask.scores_file() {
            let absolute = std::path::absolute(file).map_err(Error::file("find", file))?;
            config.mask.scores = Some(absolute.display().to_string()); // the saved recipe works from any folder
        }
        if config.mask.is_learned() && config.mask.scores_file().is_none() {
            observer.message("counting the genome's k-mers, by which the masks choose");
        }
        let learned = Learned::new(&config, genome, &|_| ())?;
        notes.extend(learned.as_ref().map(Learned::described));
        let strategy = learned::strategy(&config, learned.as_ref())?;
        let holds_out = !training.held_out().is_empty();
        if !holds_out && config.evaluate.sequences > 0 {
            notes.push("nothing is held out (`data.holdout`): held-out loss is not measured".to_string());
        }
        let frozen = match (frozen, config.evaluate.sequences) {
            (Some(frozen), _) => Some(frozen.clone()),
            (None, windows) if windows > 0 && holds_out => Some(freeze(&config, genome, windows)?),
            _ => None,
        };
        let plan = plan(&config, &bert, &graph, &capacity, &training, speed, 0)?;
        let init = init.map(|(dir, files)| Init::of(dir, &files)).transpose()?;
        Ok(Self { config, bert, executor, frozen, learned, strategy, plan, init, notes })
    }
}

/// Where the processor or a GPU multiplies bf16 matrices itself, that is several times faster and learns as well; a recipe's own word wins.
///
/// # Errors
/// The chosen device cannot be used.
pub fn default_precision(settings: &mut Settings) -> Result<()> {
    if matches!(Device::selected()?, Device::Cpu(Isa::Amx) | Device::Cuda(_)) {
        settings.default_to("train.precision", Value::Text("bf16".to_string()), "this machine");
    }
    Ok(())
}

/// Sizes, tokenizer and longest sample of the model that a run starts from, where the recipe says nothing else; words where its tokens are not known.
fn take_sizes(settings: &mut Settings, dir: &Path, files: &ModelFiles) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let place = files.folder.join("config.json").display().to_string();
    let config = &files.config;
    let asked =
        settings.given().find(|(key, _)| *key == "model.preset").map(|(_, name)| name.trim_matches('"').to_string());
    match asked.as_deref().map(Preset::named) {
        // A recipe that names all sizes besides says nothing else than they do.
        Some(Some(preset)) if !settings.has("model.num_hidden_layers") && !preset.is_of(config) => {
            let (layers, hidden) = (config.num_hidden_layers, config.hidden_size);
            notes.push(format!(
                "the recipe's preset is `{}`, but the model of `--init` has {layers} layers x {hidden}: its sizes are taken",
                preset.name
            ));
        }
        None => {
            if let Some(preset) = PRESETS.iter().find(|preset| preset.is_of(config)) {
                settings.default_to("model.preset", Value::Text(preset.name.to_string()), &place);
            }
        }
        Some(_) => {}
    }
    for (key, size) in [
        ("num_hidden_layers", config.num_hidden_layers),
        ("hidden_size", config.hidden_size),
        ("num_attention_heads", config.num_attention_heads),
        ("intermediate_size", config.intermediate_size),
        ("max_position_embeddings", config.max_position_embeddings),
        ("type_vocab_size", config.type_vocab_size),
    ] {
        settings.default_to(&format!("model.{key}"), Value::Integer(size as i64), &place);
    }
    settings.default_to("model.layer_norm_eps", Value::Float(config.layer_norm_eps), &place);
    let Some(Reading { tokenizer, max_length }) = files.reading(dir)? else {
        notes.push(NO_VOCABULARY.to_string());
        return Ok(notes);
    };
    settings.default_to("tokenizer.kind", Value::Text(tokenizer.kind.to_string()), &place);
    settings.default_to("tokenizer.k", Value::Integer(tokenizer.k as i64), &place);
    settings.default_to("tokenizer.stride", Value::Integer(tokenizer.stride as i64), &place);
    settings.default_to("tokenizer.dnabert_compat", Value::Boolean(tokenizer.dnabert_compat), &place);
    settings.default_to("data.max_length", Value::Integer(max_length as i64), &place);
    Ok(notes)
}

/// Weights and moments of a checkpoint.
fn restore(executor: &mut Executor, checkpoints: &Checkpoints, step: u64) -> Result<()> {
    let specs = executor.specs().to_vec();
    let wanted = wanted(&specs);
    let path = checkpoints.path(step).join(crate::checkpoint::MODEL);
    let weights = read_weights(&path, &wanted, Head::Required)?;
    let moments = checkpoints.read_moments(step, &wanted)?;
    for (index, (values, (first, second))) in weights.values.iter().zip(&moments).enumerate() {
        let values = values.as_ref().ok_or_else(|| {
            Error::format(&path, "", "every tensor of the model", format!("no `{}`", specs[index].name), "")
        })?;
        executor.set_param(index, values);
        executor.set_moments(index, first, second);
    }
    Ok(())
}
