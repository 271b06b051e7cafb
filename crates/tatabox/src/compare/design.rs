//! The design of a comparison: its arms, each a complete recipe, and its seeds. Everything that a command line can have wrong is refused here,
//! before the genome is read.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::arm::{Arm, check_distinct, in_arm, unknown};
use crate::error::{Error, Result};
use crate::pretrain::default_precision;
use crate::recipe::RunConfig;
use crate::settings::Settings;

/// Keys that change how much an arm learns from.
const AMOUNT: [&str; 3] = ["train.steps", "train.batch_size", "train.batch_tokens"];

/// Keys that a run otherwise settles for the machine and moment of its start.
const OPEN: [&str; 2] = ["train.precision", "train.micro_batch_tokens"];

/// One arm, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedArm {
    /// Its name.
    pub name: String,
    /// Its recipe. `seed` is that of the frozen masks; each run has its own.
    pub config: RunConfig,
}

impl ResolvedArm {
    /// The settings of its run under a seed: every value is given, so nothing is left to the machine or the moment.
    ///
    /// # Errors
    /// None in practice: what was resolved has a TOML form.
    pub fn settings(&self, seed: u64) -> Result<Settings> {
        let config = RunConfig { seed, ..self.config.clone() };
        Settings::parse(&config.to_toml()?, &format!("arm `{}`", self.name))
    }
}

/// A comparison before its first run.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// The arms in the order of the tables.
    pub arms: Vec<ResolvedArm>,
    /// The seeds of the runs.
    pub seeds: Vec<u64>,
    /// The arm that the others are compared with; the first where none is named.
    pub against: Option<String>,
    /// The recipe that the arms are laid over.
    pub common: RunConfig,
    /// Words for the user.
    pub notes: Vec<String>,
    /// Of each arm, and last of the common recipe, keys of machine and moment ([`OPEN`]) that are left open.
    open: Vec<Vec<&'static str>>,
}

impl Design {
    /// The design of a common recipe and arms over it.
    ///
    /// # Errors
    /// No arm, two of one name, a key that a run does not know (with the arm's name), no or repeated seeds, no number of steps, nothing to be asked.
    pub fn new(mut common: Settings, arms: Vec<Arm>, seeds: Vec<u64>, against: Option<String>) -> Result<Self> {
        let refuse = |place: &str, what: &str, hint: &str| {
            Err(Error::Recipe { place: place.to_string(), what: what.to_string(), hint: hint.to_string() })
        };
        if arms.is_empty() {
            return refuse(
                "the comparison",
                "expected arms to compare, got none",
                "write `[arms.NAME]` tables into the recipe, or give `--arm kmer-span:mask.strategy=kmer-span`",
            );
        }
        check_distinct(&arms)?;
        check_seeds(&seeds)?;
        let given = common.clone();
        let mut open = Vec::new();
        default_precision(&mut common)?;
        let base = RunConfig::resolve(common.clone())?;
        if !common.has("train.steps") {
            return refuse(
                "the comparison",
                "`train.steps` is not given, and all runs need the same number",
                "set `--set train.steps=10000`",
            );
        }
        if base.evaluate.sequences == 0 {
            return refuse(
                &common.place("evaluate.sequences"),
                "`evaluate.sequences` is 0, but a comparison measures held-out loss",
                "set `evaluate.sequences = 200`",
            );
        }
        let mut notes = Vec::new();
        let resolve = |arm: Arm| {
            let changed: Vec<&str> = AMOUNT.into_iter().filter(|key| arm.settings.has(key)).collect();
            if !changed.is_empty() {
                notes.push(format!(
                    "arm `{}` sets {}: it does not learn from as many tokens as the others",
                    arm.name,
                    changed.join(", ")
                ));
            }
            open.push(OPEN.into_iter().filter(|key| !given.has(key) && !arm.settings.has(key)).collect());
            let mut settings = common.clone();
            settings.overlay(&arm.settings);
            let mut config = RunConfig::resolve(settings).map_err(|error| in_arm(error, &arm.name))?;
            if let Some(file) = config.mask.scores_file() {
                // The record works from any folder.
                let absolute = std::path::absolute(file).map_err(Error::file("find", file))?;
                config.mask.scores = Some(absolute.display().to_string());
            }
            Ok(ResolvedArm { name: arm.name, config })
        };
        let arms: Vec<ResolvedArm> = arms.into_iter().map(resolve).collect::<Result<_>>()?;
        for (at, arm) in arms.iter().enumerate() {
            if let Some(same) = arms[..at].iter().find(|other| other.config == arm.config) {
                notes.push(format!("the arms `{}` and `{}` are the same recipe", same.name, arm.name));
            }
        }
        open.push(OPEN.into_iter().filter(|key| !given.has(key)).collect());
        let design = Self { arms, seeds, against, common: base, notes, open };
        design.check_against("--against")?;
        Ok(design)
    }

    /// A design that was recorded at a place: nothing is open any more.
    ///
    /// # Errors
    /// As [`Design::new`], where it was changed by hand.
    pub(super) fn recorded(
        arms: Vec<ResolvedArm>,
        seeds: Vec<u64>,
        against: Option<String>,
        common: RunConfig,
        place: &str,
    ) -> Result<Self> {
        check_seeds(&seeds)?;
        let design = Self { arms, seeds, against, common, notes: Vec::new(), open: Vec::new() };
        design.check_against(place)?;
        Ok(design)
    }

    /// The same arms and seeds, compared with another arm.
    ///
    /// # Errors
    /// It is none of them.
    pub(super) fn with_against(self, against: Option<String>) -> Result<Self> {
        let design = Self { against, ..self };
        design.check_against("--against")?;
        Ok(design)
    }

    /// The arm that the others are compared with.
    pub fn baseline(&self) -> &str {
        self.against.as_deref().unwrap_or(&self.arms[0].name)
    }

    /// Refuses a baseline that is no arm.
    fn check_against(&self, place: &str) -> Result<()> {
        let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        match &self.against {
            Some(name) if !names.contains(&name.as_str()) => Err(unknown(name, place, &names)),
            _ => Ok(()),
        }
    }

    /// Sets for every arm what the recipe leaves to the machine.
    ///
    /// # Errors
    /// `choose` fails.
    pub(super) fn settle(&mut self, choose: impl Fn(&RunConfig) -> Result<usize>) -> Result<()> {
        for arm in &mut self.arms {
            if arm.config.train.micro_batch_tokens == 0 {
                arm.config.train.micro_batch_tokens = choose(&arm.config)? as u64;
            }
        }
        Ok(())
    }

    /// This design on top of the one that a directory holds: arms and seeds are added, and nothing that is there may be another thing now.
    ///
    /// # Errors
    /// An arm of the same name, or what all arms have in common, is not the same, with what differs.
    pub(super) fn onto(mut self, held: Design, dir: &std::path::Path) -> Result<Design> {
        let first = &held.arms[0].config;
        let open_common = self.open.last().cloned().unwrap_or_default();
        for (arm, open) in self.arms.iter_mut().zip(&self.open) {
            let of_arm = held.arms.iter().find(|other| other.name == arm.name).map(|other| &other.config);
            // What the recipe leaves open was settled when the comparison began.
            let settled = of_arm.unwrap_or(first);
            if open.contains(&"train.precision") {
                arm.config.train.precision = settled.train.precision.clone();
            }
            if open.contains(&"train.micro_batch_tokens") && of_arm.is_some() {
                arm.config.train.micro_batch_tokens = settled.train.micro_batch_tokens;
            }
            let differs = match of_arm {
                Some(of_arm) => differences(of_arm, &arm.config, |_| true),
                // A new arm is laid over the recipe of the others.
                None => differences(&held.common, &self.common, |key| !open_common.contains(&key)),
            };
            if !differs.is_empty() {
                let other = match of_arm {
                    Some(_) => format!("in which arm `{}` is another one", arm.name),
                    None => "whose common recipe is another one".to_string(),
                };
                return Err(Error::Directory {
                    path: dir.to_path_buf(),
                    what: format!("holds a comparison {other}:{}", listed(&differs)),
                    hint: format!(
                        "go on with `tatabox compare --resume {}`, give the arm another name, or choose another directory with `-o`",
                        dir.display()
                    ),
                });
            }
        }
        let mut arms = held.arms;
        arms.extend(
            self.arms.into_iter().filter(|arm| arms.iter().all(|other| other.name != arm.name)).collect::<Vec<_>>(),
        );
        let mut seeds = held.seeds;
        seeds.extend(self.seeds.into_iter().filter(|seed| !seeds.contains(seed)).collect::<Vec<_>>());
        let merged = Design {
            arms,
            seeds,
            against: self.against.or(held.against),
            common: held.common,
            notes: self.notes,
            open: Vec::new(),
        };
        merged.check_against("--against")?;
        Ok(merged)
    }

    /// Keys in which the arms differ from each other, each with a value for every arm; `null` where an arm's recipe has no such key.
    pub fn differing(&self) -> BTreeMap<String, Vec<Json>> {
        let flat: Vec<BTreeMap<String, Json>> = self.arms.iter().map(|arm| flattened(&arm.config)).collect();
        let keys: std::collections::BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
        keys.into_iter()
            .filter_map(|key| {
                let values: Vec<Json> = flat.iter().map(|one| one.get(key).cloned().unwrap_or(Json::Null)).collect();
                let differ = values.iter().any(|value| *value != values[0]);
                differ.then(|| (key.clone(), values))
            })
            .collect()
    }
}

fn check_seeds(seeds: &[u64]) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::Recipe { place: "--seeds".to_string(), what, hint: "write `--seeds 1,2,3`".to_string() })
    };
    if seeds.is_empty() {
        return refuse("expected at least one seed, got none".to_string());
    }
    for (at, seed) in seeds.iter().enumerate() {
        if i64::try_from(*seed).is_err() {
            return refuse(format!("the seed {seed} has more than 63 bits"));
        }
        if seeds[..at].contains(seed) {
            return refuse(format!("the seed {seed} is given twice, and would give the same run twice"));
        }
    }
    Ok(())
}

/// A key with the value that is held and the value that is asked for.
type Differs = (String, Json, Json);

fn differences(held: &RunConfig, asked: &RunConfig, of: impl Fn(&str) -> bool) -> Vec<Differs> {
    let (held, asked) = (flattened(held), flattened(asked));
    let keys: std::collections::BTreeSet<&String> = held.keys().chain(asked.keys()).collect();
    let value = |map: &BTreeMap<String, Json>, key: &str| map.get(key).cloned().unwrap_or(Json::Null);
    keys.into_iter()
        .filter(|key| of(key) && held.get(*key) != asked.get(*key))
        .map(|key| (key.clone(), value(&held, key), value(&asked, key)))
        .collect()
}

fn listed(differs: &[Differs]) -> String {
    let shown = |value: &Json| if value.is_null() { "not given".to_string() } else { value.to_string() };
    let lines = differs
        .iter()
        .map(|(key, held, asked)| format!("\n  `{key}` is {} there, and {} here", shown(held), shown(asked)));
    lines.collect()
}

/// The values of a recipe by their dotted keys.
fn flattened(config: &RunConfig) -> BTreeMap<String, Json> {
    fn walk(prefix: &str, value: Json, out: &mut BTreeMap<String, Json>) {
        match value {
            Json::Object(inside) => {
                let dot = if prefix.is_empty() { "" } else { "." };
                inside.into_iter().for_each(|(key, value)| walk(&format!("{prefix}{dot}{key}"), value, out));
            }
            Json::Null => {}
            value => drop(out.insert(prefix.to_string(), value)),
        }
    }
    let mut out = BTreeMap::new();
    walk("", serde_json::to_value(config).unwrap_or_default(), &mut out);
    out
}

/// A recipe's value as it is written there.
pub fn shown(value: &Json) -> String {
    match value {
        Json::Null => "–".to_string(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    pub(crate) const COMMON: &str = "[model]\npreset = \"tiny\"\n[tokenizer]\nk = 3\n[data]\nmax_length = 64\n[train]\nsteps = 6\n\
                                     batch_size = 8\nprecision = \"f32\"\nmicro_batch_tokens = 512\n";

    pub(crate) fn design(arms: &[&str], seeds: &[u64], set: &[&str]) -> Result<Design> {
        let mut common = Settings::parse(COMMON, "x.toml")?;
        set.iter().try_for_each(|assignment| common.set(assignment))?;
        let arms = arms.iter().map(|arm| Arm::parse(arm)).collect::<Result<_>>()?;
        Design::new(common, arms, seeds.to_vec(), None)
    }

    #[test]
    fn an_arm_is_the_common_recipe_with_its_keys() {
        let design = design(&["a", "b:mask.strategy=token,train.learning_rate=1e-3"], &[1, 2], &[]).unwrap();
        assert_eq!(design.arms[0].config.mask.strategy.to_string(), "kmer-span");
        assert_eq!(design.arms[1].config.mask.strategy.to_string(), "token");
        let differing = design.differing();
        assert_eq!(differing.keys().collect::<Vec<_>>(), ["mask.strategy", "train.learning_rate"]);
        assert_eq!(differing["train.learning_rate"], [Json::from(5e-4), Json::from(1e-3)]);
        assert_eq!(design.baseline(), "a");
        let settings = design.arms[1].settings(7).unwrap();
        assert_eq!(RunConfig::resolve(settings).unwrap(), RunConfig { seed: 7, ..design.arms[1].config.clone() });
    }

    #[test]
    fn what_is_wrong_with_a_command_is_said_with_the_arm() {
        let refused = |arms: &[&str], seeds: &[u64], set: &[&str]| {
            let error = design(arms, seeds, set).unwrap_err();
            assert!(error.is_usage(), "{error}");
            format!("{error} / {}", error.hint().unwrap_or(""))
        };
        for (message, parts) in [
            (refused(&[], &[1], &[]), ["got none", "[arms.NAME]"]),
            (refused(&["a", "a"], &[1], &[]), ["two arms have the same name", "a-2"]),
            (refused(&["a"], &[], &[]), ["expected at least one seed", "--seeds 1,2,3"]),
            (refused(&["a"], &[3, 1, 3], &[]), ["the seed 3 is given twice", ""]),
            (refused(&["a", "b:mask.stategy=token"], &[1], &[]), ["arm `b`", "mask.strategy"]),
            (refused(&["a", "b:mask.strategy=tokn"], &[1], &[]), ["arm `b`", "token"]),
            (refused(&["b:model.num_attention_heads=3"], &[1], &[]), ["arm `b`", "must divide"]),
            (refused(&["a"], &[1], &["evaluate.sequences=0"]), ["held-out loss", "evaluate.sequences = 200"]),
        ] {
            parts.iter().for_each(|part| assert!(message.contains(part), "{part}: {message}"));
        }
        let error = Design::new(Settings::empty(), vec![Arm::parse("a").unwrap()], vec![1], None).unwrap_err();
        assert!(error.to_string().contains("`train.steps` is not given"), "{error}");
        let arms = vec![Arm::parse("kmer-span").unwrap()];
        let common = Settings::parse(COMMON, "x.toml").unwrap();
        let error = Design::new(common, arms, vec![1], Some("kmer-spam".to_string())).unwrap_err();
        assert_eq!(error.hint(), Some("the nearest name is `kmer-span`"));
    }

    #[test]
    fn another_amount_and_a_twin_are_told() {
        let design = design(&["a", "b:train.steps=12", "c"], &[1], &[]).unwrap();
        assert!(design.notes[0].contains("arm `b` sets train.steps"), "{:?}", design.notes);
        assert!(design.notes[1].contains("`a` and `c` are the same recipe"), "{:?}", design.notes);
    }

    #[test]
    fn arms_and_seeds_are_added_to_what_is_held() {
        let held = design(&["a", "b:mask.strategy=token"], &[1, 2], &[]).unwrap();
        let asked = design(&["c:mask.strategy=random-mask", "a"], &[3, 1], &[]).unwrap();
        let merged = asked.onto(held, Path::new("cmp")).unwrap();
        assert_eq!(merged.arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(merged.seeds, [1, 2, 3]);
    }

    #[test]
    fn what_would_mix_different_things_is_refused_with_what_differs() {
        let refused = |arms: &[&str], set: &[&str]| {
            let held = design(&["a", "b:mask.strategy=token"], &[1], &[]).unwrap();
            let error = design(arms, &[1], set).unwrap().onto(held, Path::new("cmp")).unwrap_err();
            assert!(error.is_usage() && error.hint().unwrap().contains("--resume cmp"), "{error}");
            error.to_string()
        };
        let message = refused(&["a"], &["train.steps=9"]);
        assert!(
            message.contains("arm `a` is another one:") && message.contains("`train.steps` is 6 there, and 9 here"),
            "{message}"
        );
        let message = refused(&["b:mask.strategy=random-mask"], &[]);
        assert!(message.contains("`mask.strategy` is \"token\" there, and \"random-mask\" here"), "{message}");
        // A new arm must fit the questions that are frozen, and learn as the others do where it says nothing else.
        assert!(
            refused(&["c:mask.strategy=token"], &["train.steps=9"]).contains("`train.steps` is 6 there, and 9 here")
        );
        assert!(refused(&["c"], &["data.max_length=32"]).contains("`data.max_length` is 64 there, and 32 here"));
        assert!(refused(&["c"], &["seed=5"]).contains("`seed` is 42 there, and 5 here"));
    }

    #[test]
    fn what_the_machine_chose_at_first_holds_on_another_machine() {
        let mut held = design(&["a"], &[1], &["train.precision=bf16"]).unwrap();
        held.arms[0].config.train.micro_batch_tokens = 2048;
        let mut common = Settings::parse(COMMON, "x.toml").unwrap();
        common.take("train.precision");
        common.take("train.micro_batch_tokens");
        let asked =
            Design::new(common, vec![Arm::parse("a").unwrap(), Arm::parse("b").unwrap()], vec![1], None).unwrap();
        let merged = asked.onto(held, Path::new("cmp")).unwrap();
        assert_eq!(
            (merged.arms[0].config.train.precision.as_str(), merged.arms[0].config.train.micro_batch_tokens),
            ("bf16", 2048)
        );
        assert_eq!(
            (merged.arms[1].config.train.precision.as_str(), merged.arms[1].config.train.micro_batch_tokens),
            ("bf16", 0)
        );
    }
}
