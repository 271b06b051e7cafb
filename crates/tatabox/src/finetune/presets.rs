//! Settings of fine-tuning as papers and their scripts have them, by name.

use crate::error::Result;
use crate::settings::Settings;

/// Named settings.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The word of `preset`.
    pub name: &'static str,
    /// Where they stand.
    pub source: &'static str,
    /// Keys and values.
    pub values: &'static [(&'static str, &'static str)],
}

/// RandomMask says nothing of a schedule, a warmup or clipping; its code is not out.
macro_rules! randommask {
    ($name:literal, $table:literal, $batch:literal, $epochs:literal, $rate:literal) => {
        Preset {
            name: $name,
            source: concat!("RandomMask, Table ", $table),
            values: &[
                ("train.epochs", $epochs),
                ("train.batch_size", $batch),
                ("train.learning_rate", $rate),
                ("train.beta1", "0.9"),
                ("train.beta2", "0.999"),
                ("train.weight_decay", "0.0"),
                ("train.warmup_ratio", "0.0"),
                ("train.schedule", "linear"),
            ],
        }
    };
}

/// What GUE's script does with DNABERT: 8 examples on each of 4 GPUs; decay, not in the script, is the default of its `train.py`.
macro_rules! gue {
    ($name:literal, $epochs:literal, $warmup:literal, $most:literal) => {
        Preset {
            name: $name,
            source: "GUE: MAGICS-LAB/DNABERT_2, finetune/scripts/run_dnabert1.sh, on 4 GPUs",
            values: &[
                ("train.epochs", $epochs),
                ("train.max_steps", $most),
                ("train.batch_size", "32"),
                ("train.learning_rate", "3e-5"),
                ("train.weight_decay", "0.01"),
                ("train.warmup_steps", $warmup),
                ("train.schedule", "linear"),
            ],
        }
    };
}

/// All of them.
pub const PRESETS: [Preset; 22] = [
    randommask!("randommask-emp", "4", "32", "100", "3e-5"),
    randommask!("randommask-tf", "4", "32", "10", "3e-5"),
    randommask!("randommask-cpd", "4", "32", "10", "3e-5"),
    randommask!("randommask-pd", "4", "32", "5", "3e-5"),
    randommask!("randommask-ssp", "4", "32", "10", "3e-5"),
    randommask!("randommask-eap", "4", "64", "10", "3e-5"),
    randommask!("randommask-nt-emp", "5", "32", "100", "3e-5"),
    randommask!("randommask-nt-tf", "5", "32", "10", "1e-4"),
    randommask!("randommask-nt-cpd", "5", "32", "10", "1e-4"),
    randommask!("randommask-nt-pd", "5", "32", "5", "1e-4"),
    randommask!("randommask-nt-ssp", "5", "32", "10", "1e-4"),
    randommask!("randommask-nt-eap", "5", "64", "10", "1e-4"),
    Preset {
        name: "genemask",
        source: "PMI paper, section 5.2: 500 and 1000 shots, as DNABERT",
        values: &[
            ("train.epochs", "5"),
            ("train.batch_size", "15"),
            ("train.learning_rate", "5e-5"),
            ("train.weight_decay", "0.01"),
            ("train.warmup_ratio", "0.1"),
            ("train.schedule", "linear"),
            ("model.hidden_dropout_prob", "0.1"),
        ],
    },
    Preset {
        name: "genemask-fs",
        source: "PMI paper, sections 5.2 and 5.4, FS: 10, 50 and 100 shots",
        values: &[
            ("train.epochs", "20"),
            ("train.batch_size", "5"),
            ("train.learning_rate", "4e-4"),
            ("train.weight_decay", "0.01"),
            ("train.warmup_ratio", "0.1"),
            ("train.schedule", "linear"),
            ("model.hidden_dropout_prob", "0.1"),
        ],
    },
    Preset {
        name: "genemask-fs-release",
        source: "the script of GeneMask's repository for 10 shots: a quarter of the paper's learning rate",
        values: &[
            ("train.epochs", "20"),
            ("train.batch_size", "5"),
            ("train.learning_rate", "1e-4"),
            ("train.weight_decay", "0.01"),
            ("train.warmup_ratio", "0.1"),
            ("train.schedule", "linear"),
            ("model.hidden_dropout_prob", "0.1"),
        ],
    },
    gue!("gue-emp", "3", "50", "0"),
    gue!("gue-prom", "4", "50", "0"),
    gue!("gue-prom-tata", "10", "50", "0"),
    gue!("gue-splice", "5", "50", "0"),
    gue!("gue-virus", "9", "50", "0"),
    gue!("gue-mouse", "5", "30", "1000"),
    gue!("gue-tf", "3", "30", "0"),
];

impl Preset {
    /// The preset of a name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Gives `settings` the values that nobody else gives.
    ///
    /// # Errors
    /// None in practice: all values are TOML.
    pub fn apply(&self, settings: &mut Settings) -> Result<()> {
        let text: String = self.values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let quoted = text.replace("= linear", "= \"linear\"");
        let mut all = Settings::parse(&quoted, &format!("preset {}", self.name))?;
        all.overlay(settings);
        // Over itself, so that what was asked for is not forgotten.
        settings.overlay(&all);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FinetuneConfig;
    use super::*;
    use crate::config;
    use tatabox_core::tokenizer::TokenizerConfig;

    #[test]
    fn every_preset_resolves_and_gives_way_to_what_is_set() {
        let encoder = config::BertConfig::of_preset(config::Preset::named("tiny").unwrap(), 4101, 0);
        for preset in &PRESETS {
            let mut settings = Settings::empty();
            settings.set(&format!("preset={}", preset.name)).unwrap();
            settings.set("train.epochs=77").unwrap();
            settings.set("train.warmup_steps=3").unwrap();
            let config = FinetuneConfig::resolve(settings, &encoder, &TokenizerConfig::default(), 128).unwrap();
            assert_eq!((config.preset.as_str(), config.train.epochs), (preset.name, 77));
            assert_eq!((config.train.warmup_steps, config.train.warmup_ratio), (Some(3), None), "{}", preset.name);
        }
    }
}
