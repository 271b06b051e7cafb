//! What is evaluated: `fewshot.toml`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tatabox_core::assess::Metric;
use tatabox_core::names::nearest;

use crate::baselines::{KmerRegression, SmallCnn};
use crate::error::{Error, Result};
use crate::experiment::{Folder, Kind};
use crate::finetune::Source;
use crate::settings::{Settings, Value};
use crate::trial::Model;

/// Few-shot evaluations as experiments.
pub const FEWSHOT: Kind = Kind {
    verb: "fewshot",
    noun: "evaluation",
    record: "fewshot.toml",
    arguments: "RUN --data DATA -o DIR",
    leftovers: &[],
};
/// The fine-tuning preset for at most 100 shots: the PMI paper's (section 5.2) for 10, 50 and 100.
pub const PRESET_FEW: &str = "genemask-fs";
/// The preset for more: the PMI paper's for 500 and 1,000.
pub const PRESET_MANY: &str = "genemask";
/// Shots up to which [`PRESET_FEW`] holds.
const FEW: u32 = 100;

/// What is evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    /// Examples of each class, increasing.
    pub shots: Vec<u32>,
    /// Draws of each.
    pub draws: u32,
    /// The seed of the first draw; the others follow.
    pub seed: u64,
    /// About how many of the test examples are asked; all where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_examples: Option<u32>,
    /// The metric that the tables lead with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Who the others are compared with; the first where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Fine-tuning keys over the presets, as `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// SHA-256 of the examples of each part; filled in when the evaluation begins.
    #[serde(default)]
    pub data_sha256: Vec<String>,
    /// The data.
    pub source: Source,
    /// The models.
    #[serde(default)]
    pub models: Vec<Model>,
}

impl Design {
    /// Checks what can be checked without the data, and brings it into order.
    ///
    /// # Errors
    /// No shots or a zero among them, no draws, two models of one name, a key that is no assignment, `against` names nobody.
    pub fn checked(mut self) -> Result<Design> {
        let refuse = |key: &str, got: String, expected: &str, hint: &str| {
            Err(tatabox_core::Error::Value { key: key.into(), got, expected: expected.into(), hint: hint.into() }
                .into())
        };
        self.shots = self.shots.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        match self.shots.first() {
            None => {
                return refuse(
                    "shots",
                    "empty".into(),
                    "at least one number of examples is needed",
                    "write `--shots 10,50,100`",
                );
            }
            Some(0) => {
                return refuse(
                    "shots",
                    "0".into(),
                    "nothing can be learnt from no example",
                    "write `--shots 10,50,100`",
                );
            }
            Some(_) => {}
        }
        if self.draws == 0 {
            return refuse(
                "draws",
                "0".into(),
                "at least one draw is needed; ten or more show a spread",
                "write `--draws 10`",
            );
        }
        if self.test_examples == Some(0) {
            return refuse(
                "test-examples",
                "0".into(),
                "at least one example must be asked",
                "leave it away to ask all",
            );
        }
        Model::check_distinct(&self.models)?;
        self.keys(self.shots[0])?;
        let names = self.names();
        if let Some(against) = self.against.as_deref().filter(|against| !names.iter().any(|name| name == against)) {
            return Err(Error::Recipe {
                place: "--against".to_string(),
                what: format!("nobody is named `{against}`"),
                hint: match nearest(against, names.iter().map(String::as_str)) {
                    Some(near) => format!("the nearest name is `{near}`"),
                    None => format!("the names are {}", names.join(", ")),
                },
            });
        }
        self.source = self.source.absolute()?;
        Ok(self)
    }

    /// Everybody who takes part, in the order of the tables.
    pub fn names(&self) -> Vec<String> {
        let models = self.models.iter().map(|model| model.name.clone());
        models.chain([KmerRegression::NAME, SmallCnn::NAME].map(String::from)).collect()
    }

    /// The fine-tuning keys for a number of shots.
    ///
    /// # Errors
    /// A `set` is no assignment.
    pub fn keys(&self, shots: u32) -> Result<Settings> {
        let mut keys = Settings::empty();
        self.set.iter().try_for_each(|assignment| keys.set(assignment))?;
        let preset = if shots <= FEW { PRESET_FEW } else { PRESET_MANY };
        keys.default_to("preset", Value::Text(preset.to_string()), "few-shot");
        Ok(keys)
    }

    /// This design put over one that a directory holds: shots, draws and models are added, metric and `against` replaced.
    ///
    /// # Errors
    /// Anything else differs, or a model of the same name has other weights.
    pub(super) fn onto(mut self, held: Design, dir: &Path) -> Result<Design> {
        let same = [
            ("the data", paths(&held.source), paths(&self.source)),
            ("how it is read", reading(&held.source), reading(&self.source)),
            ("the hash of the data", held.data_sha256.join(" "), self.data_sha256.join(" ")),
            ("`--test-examples`", asked(held.test_examples), asked(self.test_examples)),
            ("`--seed`", held.seed.to_string(), self.seed.to_string()),
            ("`--set`", held.set.join(" "), self.set.join(" ")),
        ];
        FEWSHOT.unchanged(dir, &same)?;
        self.models = Model::added(held.models, self.models, &FEWSHOT, dir)?;
        self.shots.extend(held.shots);
        self.draws = self.draws.max(held.draws);
        self.metric = self.metric.or(held.metric);
        self.against = self.against.or(held.against);
        self.checked()
    }

    pub(super) fn read(dir: &Path) -> Result<Design> {
        FEWSHOT.read::<Design>(dir)?.checked()
    }

    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        FEWSHOT.write(folder, self)
    }
}

/// How many test examples are asked, in words.
fn asked(examples: Option<u32>) -> String {
    examples.map_or("all".to_string(), |examples| examples.to_string())
}

/// How data is read and divided, in words.
fn reading(source: &Source) -> String {
    format!("{:?}", Source { data: Vec::new(), ..source.clone() }).replace("data: [], ", "")
}

fn paths(source: &Source) -> String {
    source.data.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn design(shots: &[u32], draws: u32, data: &Path) -> Design {
        Design {
            shots: shots.into(),
            draws,
            seed: 0,
            test_examples: None,
            metric: None,
            against: None,
            set: Vec::new(),
            data_sha256: Vec::new(),
            source: Source {
                data: vec![data.into()],
                task: None,
                sequence_columns: Vec::new(),
                label_columns: Vec::new(),
                genome: Vec::new(),
                split: None,
                dev_share: 0,
                seed: 0,
                learn_from_dev: false,
            },
            models: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = FEWSHOT.open(dir.path()).unwrap();
        let mut one = design(&[50, 10, 10], 3, Path::new("/data/x"));
        one.models = vec![Model::parse("a=/runs/x").unwrap(), Model::parse("/runs/b.2").unwrap()];
        one.set = vec!["train.epochs=5".into()];
        one.metric = Some(Metric::Auroc);
        one.test_examples = Some(7);
        let one = one.checked().unwrap();
        assert_eq!(
            (one.shots.clone(), one.names()),
            (vec![10, 50], vec!["a".into(), "b.2".into(), "kmer-regression".into(), "cnn".into()])
        );
        one.write(&folder).unwrap();
        assert_eq!(Design::read(dir.path()).unwrap(), one);
    }

    #[test]
    fn wrong_designs_are_refused_with_a_hint() {
        let good = || design(&[10], 3, Path::new("x"));
        let model = |text: &str| Model::parse(text).unwrap();
        for (bad, word) in [
            (Design { shots: vec![], ..good() }, "shots"),
            (Design { shots: vec![0, 10], ..good() }, "no example"),
            (Design { draws: 0, ..good() }, "draws"),
            (Design { test_examples: Some(0), ..good() }, "test-examples"),
            (Design { against: Some("cnm".into()), ..good() }, "cnm"),
            (Design { set: vec!["epochs".into()], ..good() }, "key=value"),
            (Design { models: vec![model("a=x"), model("A=y")], ..good() }, "same name"),
        ] {
            let error = bad.checked().expect_err(word);
            assert!(error.to_string().contains(word) && error.hint().is_some() && error.is_usage(), "{error}");
        }
    }

    #[test]
    fn shots_draws_and_models_are_added_and_nothing_else_is_mixed_in() {
        let held = || design(&[10], 3, Path::new("/x")).checked().unwrap();
        let dir = Path::new("few");
        let more = Design {
            models: vec![Model::parse("a").unwrap()],
            metric: Some(Metric::Accuracy),
            ..design(&[50], 2, Path::new("/x"))
        };
        let both = more.onto(held(), dir).unwrap();
        assert_eq!(
            (both.shots.clone(), both.draws, both.models.len(), both.metric),
            (vec![10, 50], 3, 1, Some(Metric::Accuracy))
        );
        for (other, word) in [
            (Design { seed: 1, ..held() }, "`--seed` is 0 there, and 1 here"),
            (Design { set: vec!["epochs=2".into()], ..held() }, "`--set`"),
            (Design { data_sha256: vec!["f".into()], ..held() }, "hash"),
            (Design { source: Source { learn_from_dev: true, ..held().source }, ..held() }, "learn_from_dev: true"),
        ] {
            let error = other.onto(held(), dir).expect_err(word);
            assert!(error.to_string().contains(word) && error.is_usage(), "{error}");
        }
        let changed = Model { sha256: "e".into(), ..both.models[0].clone() };
        let error = Design { models: vec![changed], ..held() }.onto(both, dir).unwrap_err();
        assert!(error.to_string().contains("model `a`"), "{error}");
    }

    #[test]
    fn the_preset_follows_the_shots_unless_it_is_set() {
        let given =
            |design: &Design, shots| design.keys(shots).unwrap().given().map(|(_, value)| value).collect::<Vec<_>>();
        let one = design(&[10], 3, Path::new("x"));
        assert_eq!((given(&one, 100), given(&one, 101)), (vec!["\"genemask-fs\"".into()], vec!["\"genemask\"".into()]));
        let own = Design { set: vec!["preset=gue-tf".into()], ..one };
        assert_eq!(given(&own, 10), ["\"gue-tf\""]);
    }
}
