//! A recipe (TOML) becomes a [`RunConfig`]: complete, checked, and saved with the run as `config.toml`.
//!
//! Every key has a default and a range. What the tokenizer and the masks want to know stands in `[tokenizer]` and `[mask]` and is read by
//! their own types. A resolved configuration read again is the same configuration.

use serde::Serialize;
use tatabox_core::corpus::Holdout;
use tatabox_core::mask::{MaskConfig, Strategy};
use tatabox_core::tokenizer::{PAD, Tokenizer, TokenizerConfig};

use crate::config::{BertConfig, PRESETS, Preset};
use crate::error::{Error, Result};
use crate::optimizer::OptimizerSettings;
use crate::schedule::Schedule;
use crate::settings::{EITHER_OR, Settings};

/// Tokens of the shortest `data.max_length`: `[CLS]`, `[SEP]` and a few between them.
const LEAST_LENGTH: u64 = 8;

/// Everything that decides what a run computes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunConfig {
    /// Of windows, masks, dropout and fresh weights.
    pub seed: u64,
    /// `[model]`
    pub model: ModelSettings,
    /// `[tokenizer]`
    pub tokenizer: TokenizerConfig,
    /// `[data]`
    pub data: DataSettings,
    /// `[mask]`
    pub mask: MaskConfig,
    /// `[train]`
    pub train: TrainSettings,
    /// `[checkpoint]`
    pub checkpoint: CheckpointSettings,
    /// `[evaluate]`
    pub evaluate: EvaluateSettings,
    /// `[log]`
    pub log: LogSettings,
}

/// Sizes and rates of the model: a preset, and what is changed of it. Keys as in Hugging Face's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct ModelSettings {
    pub preset: String,
    pub num_hidden_layers: usize,
    pub hidden_size: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
    pub layer_norm_eps: f64,
    pub hidden_dropout_prob: f64,
    pub attention_probs_dropout_prob: f64,
    pub initializer_range: f64,
    pub token_init: String,
    pub position_init: String,
}

/// Which windows of the genome are read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSettings {
    /// Tokens of the longest sample, `[CLS]` and `[SEP]` included.
    pub max_length: usize,
    /// Tokens of the shortest sample, without the specials.
    pub min_tokens: usize,
    /// `auto`, `none`, or contigs and regions (`chrI`, `chrII:1001-2000`).
    pub holdout: Vec<String>,
    /// `both` or `forward`.
    pub strands: String,
    /// How often a window of soft-masked repeats is taken, compared with another: 1 is no difference, 0 is never.
    pub repeat_weight: f64,
    /// `random` windows or `tiling` of the genome.
    pub sampling: String,
}

/// Optimizer, schedule and batches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainSettings {
    /// Optimizer steps.
    pub steps: u64,
    /// Sequences a step; or [`TrainSettings::batch_tokens`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Tokens a step, specials included: as many sequences as fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_tokens: Option<u64>,
    /// Tokens that are computed at once; a step of more is accumulated. 0: chosen at the start for this machine, then kept.
    pub micro_batch_tokens: u64,
    /// AdamW.
    #[serde(flatten)]
    pub optimizer: OptimizerSettings,
    /// Steps from rate 0 to the peak.
    pub warmup_steps: u64,
    /// `f32` or `bf16`.
    pub precision: String,
}

/// When the state is saved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointSettings {
    /// Steps between two saves.
    pub every: u64,
    /// How many of the newest are kept, besides the best.
    pub keep: usize,
}

/// How held-out loss is measured during training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluateSettings {
    /// Steps between two measurements; every save has one too.
    pub every: u64,
    /// Windows of the frozen set, each under every evaluation mask; 0 is no measurement.
    pub sequences: usize,
}

/// How often a line is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogSettings {
    /// Steps between two lines of `metrics.jsonl`.
    pub every: u64,
}

/// How many sequences make a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSize {
    /// So many sequences.
    Sequences(u64),
    /// As many sequences as fit into so many tokens.
    Tokens(u64),
}

impl RunConfig {
    /// The configuration of a recipe: given keys, checked, and defaults for the others.
    ///
    /// # Errors
    /// An unknown key, a value out of range, or two values that do not fit each other, each with its place.
    ///
    /// # Examples
    /// ```
    /// use tatabox::recipe::RunConfig;
    /// use tatabox::settings::Settings;
    /// let mut settings = Settings::parse("[model]\npreset = \"dnabert\"", "mine.toml")?;
    /// settings.set("train.steps=500")?;
    /// let config = RunConfig::resolve(settings)?;
    /// assert_eq!((config.model.hidden_size, config.train.steps), (768, 500));
    /// # Ok::<(), tatabox::Error>(())
    /// ```
    pub fn resolve(mut settings: Settings) -> Result<Self> {
        let s = &mut settings;
        // A number of TOML has 63 bits, and so has a seed.
        let seed = s.whole("seed", 42, 0..=i64::MAX as u64)?;
        let model = resolve_model(s)?;
        let tokenizer: TokenizerConfig = s.section("tokenizer")?;
        let tokens = Tokenizer::new(tokenizer.clone()).map_err(|error| s.locate(error))?;
        let data = resolve_data(s, model.max_position_embeddings)?;
        let mut mask: MaskConfig = s.section("mask")?;
        let train = resolve_train(s, data.max_length as u64)?;
        mask.phases(&tokens, train.steps, seed).map_err(|error| s.locate(error))?;
        mask.complete();
        let every = s.whole("checkpoint.every", (train.steps / 10).clamp(1, 1000), 1..=u64::MAX)?;
        let keep = s.whole("checkpoint.keep", 2, 2..=1000)? as usize;
        let evaluate = EvaluateSettings {
            every: s.whole("evaluate.every", every, 1..=u64::MAX)?,
            sequences: s.whole("evaluate.sequences", 100, 0..=1_000_000)? as usize,
        };
        let log = LogSettings { every: s.whole("log.every", (train.steps / 100).clamp(1, 100), 1..=u64::MAX)? };
        settings.finish()?;
        Ok(Self {
            seed,
            model,
            tokenizer,
            data,
            mask,
            train,
            checkpoint: CheckpointSettings { every, keep },
            evaluate,
            log,
        })
    }

    /// As [`RunConfig::resolve`], of what a run or a comparison wrote down. Earlier versions took a `mask.schedule` for strategies that have none, where it did
    /// nothing; it is left out.
    ///
    /// # Errors
    /// As [`RunConfig::resolve`].
    pub fn stored(mut settings: Settings) -> Result<Self> {
        if settings.text("mask.strategy", "")? != Strategy::RandomMask.to_string() {
            settings.take("mask.schedule");
        }
        Self::resolve(settings)
    }

    /// The text of `config.toml`: every value.
    ///
    /// # Errors
    /// None in practice: every value has a TOML form.
    pub fn to_toml(&self) -> Result<String> {
        let text = toml::to_string(self).map_err(|error| Error::Recipe {
            place: "config.toml".to_string(),
            what: format!("cannot be written: {error}"),
            hint: String::new(),
        })?;
        Ok(format!(
            "# The resolved configuration of this run: running it again is the same run (one that began with `--init` needs that again).\n{text}"
        ))
    }

    /// The model that this run trains.
    ///
    /// # Errors
    /// The tokenizer's settings do not fit each other.
    pub fn bert(&self) -> Result<BertConfig> {
        let vocab_size = Tokenizer::new(self.tokenizer.clone())?.vocab_size();
        let model = &self.model;
        let sizes = Preset {
            name: "",
            layers: model.num_hidden_layers,
            hidden: model.hidden_size,
            heads: model.num_attention_heads,
            intermediate: model.intermediate_size,
        };
        let mut config = BertConfig::of_preset(sizes, vocab_size, PAD.index());
        config.max_position_embeddings = model.max_position_embeddings;
        config.type_vocab_size = model.type_vocab_size;
        config.layer_norm_eps = model.layer_norm_eps;
        config.hidden_dropout_prob = model.hidden_dropout_prob;
        config.attention_probs_dropout_prob = model.attention_probs_dropout_prob;
        config.initializer_range = model.initializer_range;
        Ok(config)
    }

    /// The learning rate by step.
    pub fn schedule(&self) -> Schedule {
        self.train.optimizer.schedule(self.train.warmup_steps, self.train.steps)
    }

    /// How many sequences make a step.
    pub fn step_size(&self) -> StepSize {
        match (self.train.batch_tokens, self.train.batch_size) {
            (Some(tokens), _) => StepSize::Tokens(tokens),
            (None, size) => StepSize::Sequences(size.unwrap_or(1)),
        }
    }
}

impl DataSettings {
    /// What is held out, parsed; whether the genome has it shows when a sampler is made.
    pub fn holdout(&self) -> Holdout {
        let Ok(holdout) = self.holdout.join(",").parse();
        holdout
    }
}

fn resolve_model(s: &mut Settings) -> Result<ModelSettings> {
    let names = PRESETS.map(|preset| preset.name);
    let name = s.choice("model.preset", "bert-mini", &names)?;
    let preset = Preset::named(name).expect("the choice was among the presets");
    let size = |s: &mut Settings, key: &str, default: usize, most: u64| -> Result<usize> {
        Ok(s.whole(&format!("model.{key}"), default as u64, 1..=most)? as usize)
    };
    let rate = |s: &mut Settings, key: &str| s.number(&format!("model.{key}"), 0.1, 0.0..=0.99);
    let model = ModelSettings {
        preset: preset.name.to_string(),
        num_hidden_layers: size(s, "num_hidden_layers", preset.layers, 1000)?,
        hidden_size: size(s, "hidden_size", preset.hidden, 65_536)?,
        num_attention_heads: size(s, "num_attention_heads", preset.heads, 1024)?,
        intermediate_size: size(s, "intermediate_size", preset.intermediate, 262_144)?,
        // Room for the shortest sample there is.
        max_position_embeddings: s.whole("model.max_position_embeddings", 512, LEAST_LENGTH..=1 << 20)? as usize,
        type_vocab_size: size(s, "type_vocab_size", 2, 1024)?,
        layer_norm_eps: s.number("model.layer_norm_eps", 1e-12, 1e-20..=0.1)?,
        hidden_dropout_prob: rate(s, "hidden_dropout_prob")?,
        attention_probs_dropout_prob: rate(s, "attention_probs_dropout_prob")?,
        initializer_range: s.number("model.initializer_range", 0.02, 1e-6..=1.0)?,
        token_init: s.choice("model.token_init", "composed", &["composed", "normal"])?.to_string(),
        position_init: s.choice("model.position_init", "sinusoidal", &["sinusoidal", "normal"])?.to_string(),
    };
    let (hidden, heads) = (model.hidden_size, model.num_attention_heads);
    if !hidden.is_multiple_of(heads) {
        let key = if s.has("model.num_attention_heads") { "model.num_attention_heads" } else { "model.hidden_size" };
        let (got, expected) = if key == "model.hidden_size" {
            (hidden, format!("must be a multiple of the {heads} attention heads"))
        } else {
            (heads, format!("must divide the hidden size, {hidden}"))
        };
        return Err(s.refuse(
            key,
            got,
            &expected,
            &format!("set `model.num_attention_heads = {}`", hidden.div_ceil(64)),
        ));
    }
    Ok(model)
}

fn resolve_data(s: &mut Settings, positions: usize) -> Result<DataSettings> {
    let max_length = s.whole("data.max_length", positions.min(512) as u64, LEAST_LENGTH..=1 << 20)? as usize;
    if max_length > positions {
        return Err(s.refuse(
            "data.max_length",
            max_length,
            &format!("the model has {positions} positions"),
            &format!(
                "set `data.max_length = {positions}`, or `model.max_position_embeddings = {max_length}` in a new run"
            ),
        ));
    }
    let content = max_length as u64 - 2;
    let holdout = s.words("data.holdout", &["auto"])?;
    let sampling = s.choice("data.sampling", "random", &["random", "tiling"])?.to_string();
    if sampling == "tiling" && !s.has("train.batch_size") {
        return Err(s.refuse(
            "data.sampling",
            "`tiling`",
            "an epoch of tiles is counted in sequences, and a step in tokens",
            "set `train.batch_size = 32` as well, or leave `data.sampling` away",
        ));
    }
    Ok(DataSettings {
        max_length,
        min_tokens: s.whole("data.min_tokens", 5.min(content), 1..=content)? as usize,
        holdout,
        strands: s.choice("data.strands", "both", &["both", "forward"])?.to_string(),
        repeat_weight: s.number("data.repeat_weight", 1.0, 0.0..=1.0)?,
        sampling,
    })
}

fn resolve_train(s: &mut Settings, max_length: u64) -> Result<TrainSettings> {
    for [one, other] in EITHER_OR {
        if s.has(one) && s.has(other) {
            let hint = format!("keep `{one}` or `{other}`");
            return Err(s.refuse(other, "given", &format!("`{one}` says the same in another way"), &hint));
        }
    }
    let steps = s.whole("train.steps", 10_000, 1..=1_000_000_000)?;
    let batch_size = s.whole("train.batch_size", 32, 1..=1 << 24)?;
    let batch_tokens = s.whole("train.batch_tokens", 32 * max_length, max_length..=1 << 32)?;
    let by_tokens = !s.has("train.batch_size");
    let micro_batch_tokens = s.whole("train.micro_batch_tokens", 0, 0..=1 << 24)?;
    if micro_batch_tokens != 0 && micro_batch_tokens < max_length {
        return Err(s.refuse(
            "train.micro_batch_tokens",
            micro_batch_tokens,
            &format!("the longest sample has {max_length} tokens"),
            "leave it out: it is then chosen for this machine",
        ));
    }
    let ratio = s.number("train.warmup_ratio", 0.05, 0.0..=1.0)?;
    if s.has("train.warmup_steps") && !s.has("train.steps") {
        let expected = "`train.steps` is not given, and this machine chooses it";
        let hint = "set `train.steps` too, or `train.warmup_ratio` instead";
        return Err(s.refuse("train.warmup_steps", "given", expected, hint));
    }
    let warmup_steps = s.whole("train.warmup_steps", (steps as f64 * ratio).round() as u64, 0..=steps)?;
    Ok(TrainSettings {
        steps,
        batch_size: (!by_tokens).then_some(batch_size),
        batch_tokens: by_tokens.then_some(batch_tokens),
        micro_batch_tokens,
        optimizer: OptimizerSettings::resolve(s, 5e-4, 0.98, 1e-6)?,
        warmup_steps,
        precision: s.choice("train.precision", "f32", &["f32", "bf16"])?.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<RunConfig> {
        RunConfig::resolve(Settings::parse(text, "x.toml").unwrap())
    }

    #[test]
    fn a_resolved_configuration_read_again_is_the_same() {
        for text in [
            "",
            "seed = 3\n[train]\nbatch_size = 7\nwarmup_ratio = 0.1\n[data]\nholdout = [\"chrI\", \"chrII:5-90\"]\n",
            "[model]\npreset = \"logo-genemask\"\n[tokenizer]\nk = 4\n[mask]\nstrategy = \"kmer-span\"\n",
        ] {
            let first = resolve(text).unwrap();
            let written = first.to_toml().unwrap();
            assert_eq!(resolve(&written).unwrap(), first, "{written}");
        }
    }

    #[test]
    fn a_schedule_that_does_nothing_is_refused_in_a_recipe_and_left_out_of_what_was_stored() {
        let parse = |text: &str| Settings::parse(text, "x.toml").unwrap();
        for strategy in ["token", "kmer-span", "pmi", "pmi-vocab"] {
            let text = format!("[mask]\nstrategy = \"{strategy}\"\nschedule = \"fixed-wide\"\n");
            let error = resolve(&text).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains("line 3: `mask.schedule`"), "{error}");
            assert!(error.hint().unwrap().contains("mask.strategy = \"random-mask\""), "{error:?}");
            let plain = resolve(&format!("[mask]\nstrategy = \"{strategy}\"\n")).unwrap();
            assert_eq!(RunConfig::stored(parse(&text)).unwrap(), plain);
            // As the first runs have it in their `config.toml`, and a recipe made of one.
            assert_eq!(resolve(&text.replace("fixed-wide", "expanding")).unwrap(), plain);
            assert!(!plain.to_toml().unwrap().contains("expanding"));
        }
        let wide = "[mask]\nstrategy = \"random-mask\"\nschedule = \"fixed-wide\"\n";
        assert_eq!(RunConfig::stored(parse(wide)).unwrap(), resolve(wide).unwrap());
        assert!(resolve(wide).unwrap().to_toml().unwrap().contains("schedule = \"fixed-wide\""));
        assert!(resolve(&wide.replace("fixed-wide", "expanding")).unwrap().to_toml().unwrap().contains("expanding"));
    }

    #[test]
    fn presets_give_sizes_and_keys_change_them() {
        let config = resolve("[model]\npreset = \"logo-genemask\"\nnum_hidden_layers = 3\n").unwrap();
        let bert = config.bert().unwrap();
        assert_eq!((bert.num_hidden_layers, bert.hidden_size, bert.num_attention_heads), (3, 256, 8));
        assert_eq!((bert.intermediate_size, bert.vocab_size), (3072, 4101));
    }

    #[test]
    fn every_recipe_of_the_repository_resolves() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes");
        let mut recipes = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let (common, arms) = Settings::parse_parts(&text, &path.display().to_string(), "arms").unwrap();
                RunConfig::resolve(common.clone()).unwrap_or_else(|error| panic!("{error}"));
                for (arm, keys) in &arms {
                    let mut all = common.clone();
                    all.overlay(keys);
                    RunConfig::resolve(all).unwrap_or_else(|error| panic!("arm {arm}: {error}"));
                }
                recipes += 1;
            }
        }
        assert!(recipes >= 3);
    }

    #[test]
    fn the_recipe_dnabert_has_the_references_values() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes/dnabert.toml");
        let config = RunConfig::resolve(Settings::read(path.as_ref()).unwrap()).unwrap();
        let train = &config.train;
        assert_eq!((train.steps, train.batch_size, train.warmup_steps), (200_000, Some(2000), 10_000));
        let optimizer = &train.optimizer;
        assert_eq!((optimizer.learning_rate, optimizer.eps, optimizer.weight_decay), (4e-4, 1e-6, 0.01));
        assert_eq!((optimizer.beta1, optimizer.beta2, optimizer.schedule.as_str()), (0.9, 0.98, "linear"));
        assert_eq!((config.bert().unwrap().parameters(), config.data.max_length), (89_196_549, 512));
    }

    #[test]
    fn values_that_do_not_fit_each_other_are_refused_with_a_way_out() {
        let error = resolve("[data]\nmax_length = 1024\n").unwrap_err();
        assert_eq!(error.to_string(), "x.toml, line 2: `data.max_length` is 1024, but the model has 512 positions");
        assert!(error.hint().unwrap().contains("data.max_length = 512"));
        let error = resolve("[model]\nnum_attention_heads = 3\n").unwrap_err();
        assert!(error.to_string().contains("must divide the hidden size, 256"), "{error}");
        let error = resolve("[train]\nbatch_size = 3\nbatch_tokens = 4096\n").unwrap_err();
        assert!(error.hint().unwrap().contains("`train.batch_size` or `train.batch_tokens`"), "{error}");
        let error = resolve("data.sampling = \"tiling\"\n").unwrap_err();
        assert!(error.hint().unwrap().contains("`train.batch_size = 32`"), "{error}");
        assert!(resolve("data.sampling = \"tiling\"\ntrain.batch_size = 32\n").is_ok());
        let error = resolve("[train]\nbatch_tokens = 100\n").unwrap_err();
        assert!(error.to_string().contains("at least") || error.to_string().contains("from 512"), "{error}");
    }

    #[test]
    fn every_range_is_a_range() {
        for bad in [
            "seed = -1",
            "train.steps = 0",
            "train.learning_rate = 0",
            "train.learning_rate = inf",
            "train.beta1 = 1.0",
            "train.beta2 = 1",
            "train.eps = 0",
            "train.weight_decay = -0.1",
            "train.warmup_steps = 20000",
            "train.warmup_ratio = 1.5",
            "train.schedule = \"step\"",
            "train.max_grad_norm = -1",
            "train.precision = \"fp16\"",
            "train.batch_size = 0",
            "train.micro_batch_tokens = 5",
            "model.preset = \"bert-huge\"",
            "model.hidden_size = 0",
            "model.num_hidden_layers = 0",
            "model.max_position_embeddings = 5",
            "model.hidden_dropout_prob = 1",
            "model.layer_norm_eps = 0",
            "model.initializer_range = 0",
            "model.token_init = \"random\"",
            "model.position_init = \"rotary\"",
            "tokenizer.k = 9",
            "tokenizer.k = 2",
            "tokenizer.stride = 2",
            "data.max_length = 7",
            "data.min_tokens = 0",
            "data.min_tokens = 511",
            "data.strands = \"reverse\"",
            "data.repeat_weight = 2",
            "data.sampling = \"all\"",
            "data.holdout = 5.5",
            "train.warmup_steps = 20",
            "data.holdout = []",
            "checkpoint.every = 0",
            "checkpoint.keep = 1",
            "evaluate.every = 0",
            "evaluate.sequences = -1",
            "log.every = 0",
            "mask.strategy = \"none\"",
            "mask.mask_rate = 15",
            "mask.centre_rate = 0.1",
            "trian.steps = 5",
            "mask.spans = [6]",
        ] {
            let error = resolve(bad).expect_err(bad);
            assert!(error.is_usage(), "{bad}: {error}");
            assert!(error.to_string().starts_with("x.toml, line 1: "), "{bad}: {error}");
        }
    }
}
