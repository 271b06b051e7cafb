//! `tatabox fewshot`: how good models are after a few labelled examples, over many draws of these.

use std::process::ExitCode;

use anyhow::Context;
use tatabox::fewshot::{Design, FEWSHOT, begin, check, resume};
use tatabox::trial::{Model, open};
use tatabox_core::assess::Metric;

use super::data::named;
use super::finetune::{Labelled, keys};
use crate::experiment::{Begin, PlaceArgs};
use crate::failure::Refusal;
use crate::settings::{RecipeArgs, Settings, names};
use crate::signals::Stop;
use crate::trials::Words;

/// Compare models after a few labelled examples: the same draws for all, spread and paired tests, two baselines beside them
#[derive(Debug, clap::Args)]
#[command(mut_group("Form", |form| form.conflicts_with("resume")))]
pub struct Args {
    /// Models: runs of `tatabox pretrain` or Hugging Face BERTs, RUN or NAME=RUN; without any, the baselines alone
    #[arg(value_name = "RUN", conflicts_with = "resume")]
    pub models: Vec<String>,
    #[command(flatten)]
    pub labelled: Labelled,
    /// Examples of each class to learn from (in all for regression and multi-label)
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "10,50,100,500,1000",
        conflicts_with = "resume"
    )]
    pub shots: Vec<u32>,
    /// Draws of each number of shots
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "resume")]
    pub draws: u32,
    /// The seed of the first draw and its trainings; the others follow
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "resume")]
    pub seed: u64,
    /// Ask about so many of the test examples, the same for all [default: all of them]
    #[arg(long, value_name = "N", conflicts_with = "resume")]
    pub test_examples: Option<u32>,
    /// Let each model take part with fresh weights too, as NAME-fresh: what it lacks is what pretraining brought
    #[arg(long, conflicts_with = "resume")]
    pub with_fresh: bool,
    /// The metric that the tables lead with: mcc, accuracy, macro_f1, auroc, average_precision; pearson, spearman [default: mcc, or by task]
    #[arg(long, value_name = "METRIC", value_parser = named::<Metric>)]
    pub metric: Option<Metric>,
    /// Who the others are compared with [default: the first]
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
    /// Fine-tuning settings of a paper [default: genemask-fs up to 100 shots, genemask above; `tatabox finetune --presets` lists them]
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub preset: Option<String>,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Evaluates to the end or to a signal.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let stop = Stop::listen()?;
    let mut words = Words::new();
    let place = |dir| tatabox::trial::Place { dir, cache: &settings.cache, contestants: &open };
    let outcome = match args.place.begin() {
        Begin::Resume(dir) => resume(&place(dir), args.metric, args.against.clone(), &mut words, stop.flag())
            .with_context(|| format!("could not go on with the few-shot evaluation `{}`", dir.display()))?,
        Begin::Here(dir) => {
            check(dir)?;
            let design = design(args)?;
            begin(design, &place(dir), &mut words, stop.flag()).with_context(|| {
                let data = names(&args.labelled.data);
                format!("could not evaluate few-shot learning on {data} into `{}`", dir.display())
            })?
        }
    };
    args.place.end(&FEWSHOT, &outcome, &stop)
}

fn design(args: &Args) -> anyhow::Result<Design> {
    if args.labelled.data.is_empty() {
        let what = "there is no `--data` to learn from";
        return Err(Refusal::new(what, "give labelled data with train and test parts: `--data promoters/`").into());
    }
    Ok(Design {
        shots: args.shots.clone(),
        draws: args.draws,
        seed: args.seed,
        test_examples: args.test_examples,
        metric: args.metric,
        against: args.against.clone(),
        set: keys(&args.recipe, args.preset.as_deref())?,
        data_sha256: Vec::new(),
        // Nothing is chosen: there is no dev part.
        source: args.labelled.source(0),
        models: models(&args.models, args.with_fresh)?,
    })
}

/// The models of a command line, each followed by its twin with fresh weights where that is asked for.
pub fn models(given: &[String], with_fresh: bool) -> anyhow::Result<Vec<Model>> {
    let mut models = Vec::new();
    for text in given {
        let model = Model::parse(text)?;
        let fresh = with_fresh.then(|| model.with_fresh_weights());
        models.push(model);
        models.extend(fresh);
    }
    Ok(models)
}
