//! Everything that decides what a fine-tuning computes: defaults, a preset, a recipe, `--set`, in this order.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tatabox_core::labelled::{Target, Task};
use tatabox_core::tokenizer::{Tokenizer, TokenizerConfig};
use tatabox_engine::{Objective, Precision};

use super::presets::{PRESETS, Preset};
use crate::config::BertConfig;
use crate::error::Result;
use crate::models::bert::WindowPooling;
use crate::optimizer::OptimizerSettings;
use crate::schedule::Schedule;
use crate::settings::{EITHER_OR, Settings};

/// A fine-tuning's configuration; saved with it, and read again it is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneConfig {
    /// Of the fresh head, the order of examples, and dropout.
    pub seed: u64,
    /// The named settings that it began with; empty for the defaults.
    pub preset: String,
    /// `[model]`
    pub model: ModelRates,
    /// `[tokenizer]`: as pretrained, except where `tokenizer.stride` was given.
    pub tokenizer: TokenizerConfig,
    /// `[data]`
    pub data: DataSettings,
    /// `[train]`
    pub train: TrainSettings,
    /// `[lora]`
    pub lora: LoraSettings,
    /// `[select]`
    pub select: SelectSettings,
    /// `[predict]`
    pub predict: PredictSettings,
    /// `[checkpoint]`
    pub checkpoint: CheckpointSettings,
}

/// Dropout while fine-tuning, whatever pretraining had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRates {
    /// Of embeddings and of both outputs of a layer.
    pub hidden_dropout_prob: f64,
    /// Of the attention probabilities.
    pub attention_probs_dropout_prob: f64,
    /// Before the classifier.
    pub classifier_dropout: f64,
}

/// What of a sequence the model reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSettings {
    /// Tokens of a window, `[CLS]` and `[SEP]` included; longer sequences are read in several.
    pub max_length: usize,
    /// The share of a window that the next one reads again.
    pub overlap: f64,
    /// How windows become one: `mean`, `max` or `attention`.
    pub pooling: String,
    /// Whether each example is read from either strand by chance.
    pub augment_strands: bool,
}

/// Optimizer, schedule, batches, and what learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Passes over the training examples.
    pub epochs: u64,
    /// Optimizer steps at most; 0 for as many as the epochs take.
    pub max_steps: u64,
    /// Examples a step.
    pub batch_size: u64,
    /// AdamW; its learning rate is that of the head and the last layer.
    #[serde(flatten)]
    pub optimizer: OptimizerSettings,
    /// Steps from rate 0 to the peak; or [`TrainSettings::warmup_ratio`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// The share of all steps from rate 0 to the peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// `f32` or `bf16`.
    pub precision: String,
    /// `none`, or `balanced`: a class weighs all / (classes x its own examples).
    pub class_weights: String,
    /// The share of an answer that is spread over all classes.
    pub label_smoothing: f64,
    /// Each layer learns at this multiple of the rate of the one above it; 1 is no difference.
    pub layer_decay: f64,
    /// `none`, or `encoder`: only pooler and head learn.
    pub freeze: String,
}

/// Low-rank updates instead of whole matrices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraSettings {
    /// Their rank; 0 for none.
    pub rank: usize,
    /// An update counts alpha / rank.
    pub alpha: f64,
    /// Which matrices: `query`, `key`, `value`, `output`, `intermediate`.
    pub targets: Vec<String>,
}

/// Which epoch's weights are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectSettings {
    /// `loss`: the epoch of the lowest loss on dev; or `last`.
    pub by: String,
    /// Epochs without a better one after which training ends; 0 is never.
    pub patience: u64,
}

/// How answers are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictSettings {
    /// Whether an answer is the mean over both strands.
    pub both_strands: bool,
}

/// When the state is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSettings {
    /// Steps between two saves, besides the end of each epoch; 0 for none.
    pub every: u64,
}

/// Matrices that can have a low-rank update: word, the engine's name in a layer, and which part of its rows.
const LORA_TARGETS: [(&str, &str, Option<usize>); 5] = [
    ("query", "attention.self.qkv.weight", Some(0)),
    ("key", "attention.self.qkv.weight", Some(1)),
    ("value", "attention.self.qkv.weight", Some(2)),
    ("output", "attention.output.dense.weight", None),
    ("intermediate", "intermediate.dense.weight", None),
];

impl FinetuneConfig {
    /// Resolves what is given against an encoder that was pretrained to read so, in windows of `max_length` tokens: what is given first, then the preset, then
    /// defaults.
    ///
    /// # Errors
    /// An unknown key or preset, or a value out of range, with its place.
    pub fn resolve(
        mut settings: Settings,
        encoder: &BertConfig,
        tokenizer: &TokenizerConfig,
        max_length: usize,
    ) -> Result<Self> {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).chain(["default"]).collect();
        let preset = settings.choice("preset", "default", &names)?.to_string();
        if let Some(named) = Preset::named(&preset) {
            named.apply(&mut settings)?;
        }
        let s = &mut settings;
        for [one, other] in EITHER_OR {
            if s.has(one) && s.has(other) {
                return Err(s.refuse(one, "given", &format!("`{other}` is given too"), "keep one of them"));
            }
        }
        let rate = |s: &mut Settings, key: &str, default: f64| s.number(key, default, 0.0..=0.99);
        let hidden_dropout_prob = rate(s, "model.hidden_dropout_prob", 0.1)?;
        let model = ModelRates {
            hidden_dropout_prob,
            attention_probs_dropout_prob: rate(s, "model.attention_probs_dropout_prob", 0.1)?,
            classifier_dropout: rate(s, "model.classifier_dropout", hidden_dropout_prob)?,
        };
        let stride = s.whole("tokenizer.stride", tokenizer.stride as u64, 1..=8)? as usize;
        let tokenizer = TokenizerConfig { stride, ..tokenizer.clone() };
        Tokenizer::new(tokenizer.clone()).map_err(|error| s.locate(error))?;
        let positions = encoder.max_position_embeddings as u64;
        let data = DataSettings {
            max_length: s.whole("data.max_length", max_length as u64, 8..=positions)? as usize,
            overlap: s.number("data.overlap", 0.25, 0.0..=0.95)?,
            pooling: s.choice("data.pooling", "mean", &["mean", "max", "attention"])?.to_string(),
            augment_strands: s.flag("data.augment_strands", false)?,
        };
        let config = Self {
            seed: s.whole("seed", 1, 0..=i64::MAX as u64)?,
            preset,
            model,
            tokenizer,
            data,
            train: resolve_train(s, encoder.hidden_size)?,
            lora: resolve_lora(s)?,
            select: SelectSettings {
                by: s.choice("select.by", "loss", &["loss", "last"])?.to_string(),
                patience: s.whole("select.patience", 0, 0..=10_000)?,
            },
            predict: PredictSettings { both_strands: s.flag("predict.both_strands", false)? },
            checkpoint: CheckpointSettings { every: s.whole("checkpoint.every", 0, 0..=u64::MAX)? },
        };
        if config.lora.rank > 0 && config.train.freeze != "none" {
            return Err(s.refuse(
                "train.freeze",
                "`encoder`",
                "`lora.rank` lets the encoder learn",
                "keep one of them: `train.freeze = \"none\"` or `lora.rank = 0`",
            ));
        }
        settings.finish()?;
        Ok(config)
    }

    /// The precision of the engine.
    pub fn precision(&self) -> Precision {
        if self.train.precision == "bf16" { Precision::Bf16 } else { Precision::F32 }
    }

    /// How windows become one.
    pub fn pooling(&self) -> WindowPooling {
        match self.data.pooling.as_str() {
            "max" => WindowPooling::Max,
            "attention" => WindowPooling::Attention,
            _ => WindowPooling::Mean,
        }
    }

    /// The model that is fine-tuned: the encoder's sizes, this dropout.
    pub fn bert(&self, encoder: &BertConfig) -> BertConfig {
        BertConfig {
            hidden_dropout_prob: self.model.hidden_dropout_prob,
            attention_probs_dropout_prob: self.model.attention_probs_dropout_prob,
            classifier_dropout: Some(self.model.classifier_dropout),
            ..encoder.clone()
        }
    }

    /// Steps of an epoch of so many examples, and of the whole run.
    pub fn steps(&self, examples: usize) -> (u64, u64) {
        let epoch = (examples as u64).div_ceil(self.train.batch_size);
        let all = epoch * self.train.epochs;
        (epoch, if self.train.max_steps > 0 { all.min(self.train.max_steps) } else { all })
    }

    /// The learning rate by step.
    pub fn schedule(&self, steps: u64) -> Schedule {
        let of_ratio = self.train.warmup_ratio.map(|ratio| (ratio * steps as f64).ceil() as u64);
        self.train.optimizer.schedule(self.train.warmup_steps.or(of_ratio).unwrap_or(0), steps)
    }

    /// The loss, with class weights from the training answers where they are asked for.
    pub fn objective<'a>(&self, task: Task, outputs: usize, answers: impl Iterator<Item = &'a Target>) -> Objective {
        let balanced = self.train.class_weights == "balanced";
        let mut counts = vec![0u64; outputs];
        let mut all = 0u64;
        for answer in answers.filter(|_| balanced) {
            all += 1;
            match answer {
                Target::Class(class) => counts[*class as usize] += 1,
                Target::Labels(labels) => {
                    labels.iter().zip(&mut counts).for_each(|(&label, count)| *count += u64::from(label));
                }
                Target::Values(_) => {}
            }
        }
        let weights = |weight: &dyn Fn(u64) -> f64| -> Option<Arc<[f32]>> {
            balanced.then(|| counts.iter().map(|&count| weight(count.max(1)) as f32).collect())
        };
        match task {
            Task::Binary | Task::MultiClass => Objective::CrossEntropy {
                weights: weights(&|count| all as f64 / (outputs as f64 * count as f64)),
                smoothing: self.train.label_smoothing as f32,
            },
            Task::MultiLabel => Objective::BinaryCrossEntropy {
                positive_weights: weights(&|count| (all.saturating_sub(count)) as f64 / count as f64),
            },
            Task::Regression => Objective::SquaredError,
        }
    }

    /// Rates of a graph's parameters, and its low-rank updates.
    ///
    /// # Errors
    /// None in practice: the names are those of the graph.
    pub fn adapt(&self, graph: &mut tatabox_engine::Graph, config: &BertConfig) -> Result<()> {
        let layers = config.num_hidden_layers;
        let frozen = self.train.freeze == "encoder" || self.lora.rank > 0;
        graph.set_rates(|spec| match layer_of(&spec.name, layers) {
            Some(_) if frozen => 0.0,
            // The last layer is one below the head, the embeddings one below the first (ELECTRA's rule).
            Some(layer) => self.train.layer_decay.powi((layers + 1 - layer) as i32) as f32,
            None => 1.0,
        });
        if self.lora.rank == 0 {
            return Ok(());
        }
        let hidden = config.hidden_size;
        for layer in 0..layers {
            for target in &self.lora.targets {
                let (word, name, part) =
                    LORA_TARGETS.iter().find(|(word, ..)| word == target).expect("the word was checked");
                let name = format!("bert.encoder.layer.{layer}.{name}");
                let index = graph.params().iter().position(|spec| spec.name == name).expect("every layer has it");
                let rows = match part {
                    Some(part) => part * hidden..(part + 1) * hidden,
                    None => 0..graph.params()[index].shape[0],
                };
                let update = format!("bert.encoder.layer.{layer}.{word}");
                graph.low_rank(index, rows, &update, self.lora.rank, self.lora.alpha as f32)?;
            }
        }
        Ok(())
    }
}

/// 0 for the embeddings, 1.. for the layers; `None` for what comes after them.
fn layer_of(name: &str, layers: usize) -> Option<usize> {
    if name.starts_with("bert.embeddings.") {
        return Some(0);
    }
    let layer = name.strip_prefix("bert.encoder.layer.")?.split('.').next()?.parse::<usize>().ok()?;
    Some((layer + 1).min(layers))
}

fn resolve_train(s: &mut Settings, hidden: usize) -> Result<TrainSettings> {
    // What serves DNABERT, and more for smaller models.
    let rate = (5e-5 * 768.0 / hidden as f64).clamp(2e-5, 3e-4);
    let warmup_steps =
        if s.has("train.warmup_steps") { Some(s.whole("train.warmup_steps", 0, 0..=1 << 40)?) } else { None };
    let warmup_ratio =
        if warmup_steps.is_none() { Some(s.number("train.warmup_ratio", 0.1, 0.0..=1.0)?) } else { None };
    Ok(TrainSettings {
        epochs: s.whole("train.epochs", 10, 1..=100_000)?,
        max_steps: s.whole("train.max_steps", 0, 0..=1 << 40)?,
        batch_size: s.whole("train.batch_size", 32, 1..=1 << 20)?,
        optimizer: OptimizerSettings::resolve(s, rate, 0.999, 1e-8)?,
        warmup_steps,
        warmup_ratio,
        precision: s.choice("train.precision", "f32", &["f32", "bf16"])?.to_string(),
        class_weights: s.choice("train.class_weights", "none", &["none", "balanced"])?.to_string(),
        label_smoothing: s.number("train.label_smoothing", 0.0, 0.0..=0.9)?,
        layer_decay: s.number("train.layer_decay", 1.0, 0.01..=1.0)?,
        freeze: s.choice("train.freeze", "none", &["none", "encoder"])?.to_string(),
    })
}

fn resolve_lora(s: &mut Settings) -> Result<LoraSettings> {
    let rank = s.whole("lora.rank", 0, 0..=1024)? as usize;
    let text = s.words("lora.targets", &["query", "value"])?;
    let known = LORA_TARGETS.map(|(word, ..)| word);
    if let Some(word) = text.iter().find(|word| !known.contains(&word.as_str())) {
        return Err(s.refuse("lora.targets", format!("`{word}`"), &format!("must be among {}", known.join(", ")), ""));
    }
    Ok(LoraSettings { rank, alpha: s.number("lora.alpha", 2.0 * rank.max(1) as f64, 1e-6..=1e6)?, targets: text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::bert::sequence_classifier;

    fn encoder() -> BertConfig {
        let sizes = crate::config::Preset { name: "", layers: 3, hidden: 8, heads: 2, intermediate: 16 };
        BertConfig::of_preset(sizes, 69, 0)
    }

    fn resolve(assignments: &[&str]) -> Result<FinetuneConfig> {
        let mut settings = Settings::empty();
        assignments.iter().for_each(|assignment| settings.set(assignment).unwrap());
        let tokenizer = TokenizerConfig { k: 3, ..TokenizerConfig::default() };
        FinetuneConfig::resolve(settings, &encoder(), &tokenizer, 200)
    }

    /// The rates of some parameters: embeddings, first layer, last layer, pooler, head.
    fn rates(config: &FinetuneConfig) -> [f32; 5] {
        let mut graph = sequence_classifier(&encoder(), 2, WindowPooling::Mean, Objective::PLAIN).unwrap();
        config.adapt(&mut graph, &encoder()).unwrap();
        [
            "bert.embeddings.position_embeddings.weight",
            "bert.encoder.layer.0.output.dense.bias",
            "bert.encoder.layer.2.attention.self.qkv.weight",
            "bert.pooler.dense.weight",
            "classifier.weight",
        ]
        .map(|name| graph.params().iter().find(|spec| spec.name == name).unwrap().rate)
    }

    #[test]
    fn layers_learn_at_the_rates_that_were_asked_for() {
        assert_eq!(rates(&resolve(&[]).unwrap()), [1.0; 5]);
        let decayed = rates(&resolve(&["train.layer_decay=0.5"]).unwrap());
        assert_eq!(decayed, [0.0625, 0.125, 0.5, 1.0, 1.0]);
        for frozen in ["train.freeze=encoder", "lora.rank=2"] {
            assert_eq!(rates(&resolve(&[frozen]).unwrap()), [0.0, 0.0, 0.0, 1.0, 1.0], "{frozen}");
        }
    }

    #[test]
    fn lora_updates_the_named_rows_of_every_layer() {
        let config = resolve(&["lora.rank=2", "lora.targets=query,value,intermediate"]).unwrap();
        let mut graph = sequence_classifier(&encoder(), 2, WindowPooling::Mean, Objective::PLAIN).unwrap();
        let before = graph.params().len();
        config.adapt(&mut graph, &encoder()).unwrap();
        let added: Vec<(&str, &[usize])> =
            graph.params()[before..].iter().map(|spec| (spec.name.as_str(), &spec.shape[..])).collect();
        assert_eq!(added.len(), 3 * 3 * 2);
        assert_eq!(added[0], ("bert.encoder.layer.0.query.lora_A.weight", &[2, 8][..]));
        assert_eq!(added[5], ("bert.encoder.layer.0.intermediate.lora_B.weight", &[16, 2][..]));
    }

    #[test]
    fn a_preset_gives_way_to_what_is_given() {
        let config = resolve(&["preset=randommask-eap"]).unwrap();
        assert_eq!(
            (config.train.epochs, config.train.batch_size, config.train.optimizer.learning_rate),
            (10, 64, 3e-5)
        );
        assert_eq!((config.train.optimizer.weight_decay, config.train.warmup_ratio), (0.0, Some(0.0)));
        let config = resolve(&["preset=randommask-eap", "train.epochs=2", "train.warmup_steps=7"]).unwrap();
        assert_eq!((config.train.epochs, config.train.batch_size), (2, 64));
        assert_eq!((config.train.warmup_steps, config.train.warmup_ratio), (Some(7), None));
        for preset in &PRESETS {
            let config = resolve(&[&format!("preset={}", preset.name)]).unwrap();
            assert_eq!(config.preset, preset.name);
        }
    }

    #[test]
    fn steps_warmup_and_windows_follow_the_data_and_the_encoder() {
        let config = resolve(&["train.epochs=3", "train.batch_size=10"]).unwrap();
        assert_eq!(config.steps(31), (4, 12));
        assert_eq!(config.schedule(12).warmup, 2, "a tenth, rounded up");
        assert_eq!(config.data.max_length, 200, "what pretraining saw");
        let short = resolve(&["train.max_steps=5", "train.batch_size=10"]).unwrap();
        assert_eq!(short.steps(31), (4, 5));
        assert!(resolve(&["data.max_length=513"]).unwrap_err().to_string().contains("from 8 to 512"));
    }

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let config = resolve(&["train.class_weights=balanced"]).unwrap();
        let classes = [0, 0, 0, 1].map(Target::Class);
        let Objective::CrossEntropy { weights: Some(weights), .. } = config.objective(Task::Binary, 2, classes.iter())
        else {
            panic!("classes have a cross-entropy");
        };
        assert_eq!(weights[..], [4.0 / 6.0, 2.0]);
        let labels =
            [[true, false], [false, false], [false, true], [false, true]].map(|row| Target::Labels(row.to_vec()));
        let Objective::BinaryCrossEntropy { positive_weights: Some(weights) } =
            config.objective(Task::MultiLabel, 2, labels.iter())
        else {
            panic!("labels have one each");
        };
        assert_eq!(weights[..], [3.0, 1.0]);
    }

    #[test]
    fn what_was_resolved_is_read_again() {
        let config = resolve(&["preset=genemask-fs", "lora.rank=4", "data.pooling=attention"]).unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<FinetuneConfig>(&text).unwrap(), config);
    }
}
