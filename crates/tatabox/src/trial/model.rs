//! Pretrained models that take part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tatabox_core::names::{FOLDER_RULE, is_folder};

use super::contestant::Contestant;
use super::exam::Exam;
use crate::baselines::{KmerRegression, SmallCnn};
use crate::error::{Error, Result};
use crate::experiment::Kind;
use crate::finetune::{FineTuner, Fit, Pretrained};
use crate::learner::{Learner, Lesson};
use crate::settings::Settings;

/// A model that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in tables.
    pub name: String,
    /// Its run directory, or a Hugging Face directory.
    pub run: PathBuf,
    /// SHA-256 of its weights; filled in when they are read first.
    #[serde(default)]
    pub sha256: String,
    /// Whether it begins with fresh weights instead of its own: what it then lacks is what pretraining brought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_scratch: bool,
}

impl Model {
    /// A model as the command line names it: `RUN`, or `NAME=RUN`; else the name is that of the directory.
    ///
    /// # Errors
    /// The name cannot become a folder or is a baseline's; or the path has no name.
    pub fn parse(text: &str) -> Result<Model> {
        let (name, run) = match text.split_once('=') {
            Some((name, run)) if !name.contains(['/', '\\']) => (Some(name.to_string()), run),
            _ => (None, text),
        };
        let run = std::path::absolute(run).map_err(Error::file("find", run))?;
        let own = || run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.unwrap_or_else(own);
        let refuse = |what: String, hint: String| Err(Error::Recipe { place: text.to_string(), what, hint });
        if !is_folder(&name) {
            let what = format!("the model is named `{}`, but a name becomes a folder", name.escape_debug());
            return refuse(what, format!("give it one: `NAME={}`; {FOLDER_RULE}", run.display()));
        }
        if [KmerRegression::NAME, SmallCnn::NAME].contains(&name.as_str()) {
            let what = format!("the model is named `{name}`, but that is a baseline of the table");
            return refuse(what, format!("give it another name: `NAME={}`", run.display()));
        }
        Ok(Model { name, run, sha256: String::new(), from_scratch: false })
    }

    /// The same model with fresh weights, under a name of its own.
    pub fn with_fresh_weights(&self) -> Model {
        Model { name: format!("{}-fresh", self.name), from_scratch: true, ..self.clone() }
    }

    /// Refuses two models of one name; names that differ in case only are one to some file systems.
    ///
    /// # Errors
    /// Two have one.
    pub fn check_distinct(models: &[Model]) -> Result<()> {
        for (at, model) in models.iter().enumerate() {
            if let Some(other) = models[..at].iter().find(|other| other.name.eq_ignore_ascii_case(&model.name)) {
                return Err(Error::Recipe {
                    place: "the models".to_string(),
                    what: format!("two have the same name: `{}` and `{}`", other.name, model.name),
                    hint: format!(
                        "name them: `{0}-1={1} {0}-2={2}`",
                        model.name,
                        other.run.display(),
                        model.run.display()
                    ),
                });
            }
        }
        Ok(())
    }
}

impl Model {
    /// The models that a directory holds, and those that are asked for besides.
    ///
    /// # Errors
    /// One of the same name is another there.
    pub fn added(mut held: Vec<Model>, asked: Vec<Model>, kind: &Kind, dir: &Path) -> Result<Vec<Model>> {
        let shown = |model: &Model| {
            format!("`{}` (SHA-256 {})", model.run.display(), model.sha256.get(..12).unwrap_or("unknown"))
        };
        for model in asked {
            match held.iter().find(|held| held.name == model.name) {
                None => held.push(model),
                Some(held) if *held == model => {}
                Some(held) => {
                    return Err(kind.another(dir, &format!("model `{}`", model.name), &shown(held), &shown(&model)));
                }
            }
        }
        Model::check_distinct(&held)?;
        Ok(held)
    }
}

/// What an experiment with models needs besides its design.
pub struct Place<'a> {
    /// The directory: a new one, or one that holds a part of it.
    pub dir: &'a Path,
    /// Where genomes are kept once they are read.
    pub cache: &'a Path,
    /// Who the models are.
    pub contestants: Contestants<'a>,
}

/// Makes those who take part of models, and checks or fills in their hashes: [`open`], or toys.
pub type Contestants<'a> = &'a dyn Fn(&mut [Model]) -> Result<Vec<Box<dyn Contestant>>>;

/// Reads the models, each once, as contestants, and fills in the hashes of their weights.
///
/// # Errors
/// As [`Pretrained::open`]; or a model has other weights than its hash says.
pub fn open(models: &mut [Model]) -> Result<Vec<Box<dyn Contestant>>> {
    let mut contestants: Vec<Box<dyn Contestant>> = Vec::new();
    for model in models {
        let mut pretrained = Pretrained::open(&model.run)?;
        if model.sha256.is_empty() {
            model.sha256.clone_from(&pretrained.sha256);
        } else if model.sha256 != pretrained.sha256 {
            let hint = "put the weights back as they were, or begin in another directory";
            let expected = format!("the weights with SHA-256 {}", model.sha256);
            return Err(Error::format(&model.run, "", expected, pretrained.sha256, hint));
        }
        if model.from_scratch {
            pretrained = pretrained.with_fresh_weights();
        }
        contestants.push(Box::new(Tuned { model: model.clone(), pretrained: Arc::new(pretrained) }));
    }
    Ok(contestants)
}

/// A pretrained model that is fine-tuned.
struct Tuned {
    model: Model,
    pretrained: Arc<Pretrained>,
}

impl Contestant for Tuned {
    fn name(&self) -> &str {
        &self.model.name
    }

    fn settings(&self, keys: &Settings) -> Result<Json> {
        let config = self.pretrained.resolve(keys.clone())?;
        Ok(serde_json::json!({
            "weights": self.model.sha256,
            "from_scratch": self.model.from_scratch,
            "finetune": serde_json::to_value(config).expect("a plain struct has a JSON form"),
        }))
    }

    fn learner(&self, keys: &Settings) -> Result<Box<dyn Learner>> {
        let config = self.pretrained.resolve(keys.clone())?;
        Ok(Box::new(FineTuner::new(&self.model.name, Arc::clone(&self.pretrained), config)))
    }

    fn bytes(&self, keys: &Settings, exam: &Exam<'_>) -> Result<u64> {
        let config = self.pretrained.resolve(keys.clone())?;
        let (task, outputs) = (exam.task, exam.outputs.len());
        let lesson = Lesson { task, outputs, train: &exam.pool, dev: &exam.dev, test: &exam.test, seed: 0 };
        Ok(Fit::new(&self.pretrained, &config, lesson)?.plan().memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_its_directory_or_as_one_likes() {
        let model = Model::parse("runs/rm.2").unwrap();
        assert_eq!(
            (model.name.as_str(), model.run.is_absolute(), model.run.ends_with("runs/rm.2")),
            ("rm.2", true, true)
        );
        assert_eq!(Model::parse("wide=runs/rm").unwrap().name, "wide");
        assert_eq!(Model::parse("runs/a=b/rm").unwrap().name, "rm", "a directory may have `=` in its name");
        assert_eq!(model.with_fresh_weights().name, "rm.2-fresh");
        for bad in ["cnn=x", "kmer-regression", "a b", "..", "/", "=x"] {
            let error = Model::parse(bad).expect_err(bad);
            assert!(error.hint().is_some() && error.is_usage(), "{error}");
        }
    }

    #[test]
    fn two_models_of_one_name_are_refused_with_names_for_both() {
        let models = [Model::parse("x/a").unwrap(), Model::parse("y/A").unwrap()];
        let error = Model::check_distinct(&models).unwrap_err();
        assert!(error.to_string().contains("`a` and `A`") && error.hint().unwrap().contains("A-2="), "{error}");
    }
}
