//! `tatabox compare`: the same model, data, steps and seeds under several arms, asked the same questions.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tatabox::compare::{Arm, COMPARE, Comparison, Design, Place, Plan, Request, Watcher, arm, check, compare, resume};
use tatabox::experiment::Outcome;
use tatabox::observer::Progress;

use crate::experiment::{Begin, PlaceArgs, seed};
use crate::failure::Refusal;
use crate::settings::{RecipeArgs, Settings, check_recipe_is_there, names};
use crate::signals::Stop;
use crate::ui;

/// Compare masks, or other recipe keys: the same model, data, steps and seeds, held-out loss on the same frozen masks, paired tests
#[derive(Debug, clap::Args)]
pub struct Args {
    /// FASTA files (plain, gzip, bgzip; `-` is stdin), or one .2bit file
    #[arg(value_name = "GENOME", required_unless_present = "resume", conflicts_with = "resume")]
    pub genome: Vec<PathBuf>,
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// A file with more arms: `[arms.NAME]` tables of recipe keys, as the recipe itself may have
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub arms: Vec<PathBuf>,
    /// One more arm: --arm wide:mask.strategy=random-mask,mask.schedule=fixed-wide; a name alone is the common recipe as it is
    #[arg(long, value_name = "NAME[:KEY=VALUE,…]", conflicts_with = "resume")]
    pub arm: Vec<String>,
    /// Of all these arms, only those
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "resume")]
    pub only: Vec<String>,
    /// The seeds: each arm is trained once under each
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,3", value_parser = seed, conflicts_with = "resume")]
    pub seeds: Vec<u64>,
    /// The arm that the others are compared with; it is kept, so the same command or `--resume` without it has it too [default: the first]
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
}

/// Compares to the end or to a signal.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<ExitCode> {
    let stop = Stop::listen()?;
    let mut words = Words::new();
    let outcome = match args.place.begin() {
        Begin::Resume(dir) => resume(dir, args.against.clone(), &settings.cache, &mut words, stop.flag())
            .with_context(|| words.place(&format!("could not go on with the comparison `{}`", dir.display())))?,
        Begin::Here(dir) => begin(args, dir, settings, &mut words, &stop)?,
    };
    args.place.end(&COMPARE, &outcome, &stop)
}

fn begin(
    args: &Args,
    output: &Path,
    settings: &Settings,
    words: &mut Words,
    stop: &Stop,
) -> anyhow::Result<Outcome<Comparison>> {
    // All that can be known to be wrong is told before the genome is read, which may take minutes.
    let design = design(args)?;
    check(&design, output)?;
    let genome = settings.genome(&args.genome)?;
    let request = Request { design, genome, output, cache: &settings.cache };
    compare(request, words, stop.flag()).with_context(|| {
        words.place(&format!("could not compare on {} into `{}`", names(&args.genome), output.display()))
    })
}

/// Arms of the recipe, of `--arms` and of `--arm`, in this order, over what the recipe and `--set` say for all.
fn design(args: &Args) -> anyhow::Result<Design> {
    let (mut common, mut arms) = match &args.recipe.recipe {
        None => (tatabox::settings::Settings::empty(), Vec::new()),
        Some(path) => {
            check_recipe_is_there(path)?;
            Arm::read(path)?
        }
    };
    for assignment in &args.recipe.set {
        common.set(assignment)?;
    }
    for path in &args.arms {
        if !path.exists() {
            let what = format!("--arms {}: there is no such file", path.display());
            return Err(
                Refusal::new(what, "give a file of `[arms.NAME]` tables, or write `--arm NAME:KEY=VALUE`").into()
            );
        }
        let (besides, more) = Arm::read(path)?;
        if let Some((key, _)) = besides.given().next() {
            let what = format!("{}: expected `[arms.NAME]` tables only, got `{key}`", besides.place(key));
            return Err(Refusal::new(what, "what holds for all arms goes into `--recipe` or `--set`").into());
        }
        arms.extend(more);
    }
    for text in &args.arm {
        arms.push(Arm::parse(text)?);
    }
    // Twins are refused before some of them are left out.
    arm::check_distinct(&arms)?;
    if !args.only.is_empty() {
        let known: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        if let Some(unknown) = args.only.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(arm::unknown(unknown, "--only", &known).into());
        }
        arms.retain(|arm| args.only.contains(&arm.name));
    }
    Ok(Design::new(common, arms, args.seeds.clone(), args.against.clone())?)
}

/// Tells a comparison on stderr: one bar for all of it, a line for each measurement.
struct Words {
    bar: ProgressBar,
    /// Runs in all, and those that are finished.
    runs: (usize, usize),
    /// Tokens of runs that are not begun.
    tokens_left: f64,
    /// The runs at work by their number: where they are, once they have made a step.
    at_work: BTreeMap<usize, (f64, Option<Progress>)>,
    failed: Option<String>,
}

impl Words {
    fn new() -> Self {
        let bar = ProgressBar::hidden();
        Self { bar, runs: (0, 0), tokens_left: 0.0, at_work: BTreeMap::new(), failed: None }
    }

    fn line(&self, words: String) {
        self.bar.suspend(|| ui::say(words));
    }

    /// Words of a failure, with the run that failed.
    fn place(&self, words: &str) -> String {
        match &self.failed {
            Some(run) => format!("{words}: {run}"),
            None => words.to_string(),
        }
    }

    /// Tokens that runs have still to read.
    fn tokens_to_read(&self) -> f64 {
        let rest = |(tokens, progress): &(f64, Option<Progress>)| {
            tokens * progress.map_or(1.0, |progress| 1.0 - progress.step as f64 / progress.steps as f64)
        };
        self.tokens_left + self.at_work.values().map(rest).sum::<f64>()
    }

    /// Speed of all runs at work together, and the time left at it.
    fn running(&self) -> String {
        let speeds = self.at_work.values().filter_map(|(_, progress)| Some((*progress)?.tokens_per_second));
        let speed: f64 = speeds.sum();
        if speed <= 0.0 {
            return String::new();
        }
        format!("  {} tokens/s  {} left", ui::short(speed), ui::duration(self.tokens_to_read() / speed))
    }
}

impl Watcher for Words {
    fn compared(&mut self, plan: &Plan) {
        self.line(described(plan).trim_end().to_string() + "\n");
        let style = "{bar:30.cyan} {percent:>3} %  {msg}";
        let style = ProgressStyle::with_template(style).expect("the template is a constant");
        self.bar = ProgressBar::new(plan.tokens_left as u64).with_style(style.progress_chars("━╸─"));
        self.runs = (plan.arms * plan.seeds, plan.finished);
        self.tokens_left = plan.tokens_left;
    }

    fn begun(&mut self, place: &Place) {
        self.tokens_left -= place.tokens;
        self.at_work.insert(place.number, (place.tokens, None));
        self.line(format!("run {} of {}: {place}", place.number, place.runs));
    }

    fn step(&mut self, place: &Place, progress: &Progress) {
        self.at_work.insert(place.number, (place.tokens, Some(*progress)));
        let all = self.bar.length().unwrap_or(0);
        self.bar.set_position(all.saturating_sub(self.tokens_to_read() as u64));
        self.bar.set_message(format!("{} of {} runs{}", self.runs.1, self.runs.0, self.running()));
    }

    fn evaluated(&mut self, place: &Place, step: u64, loss: f64) {
        self.line(format!("{place}, step {:>8}  held-out {loss:.4}{}", ui::count(step), self.running()));
    }

    fn ended(&mut self, place: &Place, loss: f64) {
        self.at_work.remove(&place.number);
        self.runs.1 += 1;
        if self.runs.0 == self.runs.1 {
            self.bar.finish_and_clear();
        }
        self.line(format!("{place}: {loss:.4} nats a masked token"));
    }

    fn failed(&mut self, place: &Place) {
        self.failed.get_or_insert(format!("arm `{}`, seed {}", place.arm, place.seed));
    }

    fn message(&mut self, text: &str) {
        self.line(format!("note: {text}"));
    }
}

/// The words on the arms' values: one where they agree, else the least and the most.
fn range<T: PartialOrd>(values: &[T], words: impl Fn(&T) -> String) -> String {
    let least = values.iter().min_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    let most = values.iter().max_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    let (least, most) = (least.map_or(String::new(), &words), most.map_or(String::new(), &words));
    if least == most { least } else { format!("{least} to {most}") }
}

/// What will happen, before it does.
fn described(plan: &Plan) -> String {
    let runs = plan.arms * plan.seeds;
    let of = |number: usize, one: &str| ui::counted(number as u64, one);
    let some = match plan.finished {
        0 => String::new(),
        finished if finished == runs => ", all finished".to_string(),
        finished => format!(", {finished} finished"),
    };
    let mut rows = vec![
        ("runs", format!("{} x {} = {}{some}", of(plan.arms, "arm"), of(plan.seeds, "seed"), of(runs, "run"))),
        ("model", format!("{} parameters", range(&plan.parameters, |&of| ui::short(of as f64)))),
        (
            "questions",
            format!(
                "{} masked sequences of {} held-out windows, the same for all",
                ui::count(plan.sequences as u64),
                ui::count(plan.windows as u64)
            ),
        ),
        (
            "a run",
            format!(
                "{} steps, {} tokens",
                range(&plan.steps, |&steps| ui::count(steps)),
                range(&plan.tokens, |&tokens| ui::short(tokens))
            ),
        ),
    ];
    if plan.finished < runs {
        rows.push((
            "left",
            format!(
                "{} tokens, up to {} of checkpoints",
                ui::short(plan.tokens_left),
                ui::bytes(plan.checkpoint_bytes)
            ),
        ));
        let threads = if plan.threads == 1 { "one thread".to_string() } else { format!("{} threads", plan.threads) };
        rows.push(("at once", format!("{}, each on {threads}", plan.at_once)));
        rows.push(("time", format!("about {}, measurements of held-out loss not counted", ui::duration(plan.seconds))));
    }
    ui::pairs(&rows)
}
