//! Whole runs on a small genome: they learn, they stop and go on bit for bit, and nothing torn is ever loaded.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tatabox::evaluate::{self, evaluate};
use tatabox::observer::{Observer, Outcome, Progress};
use tatabox::plan::Plan;
use tatabox::pretrain::{Request, resume, start};
use tatabox::settings::Settings;
use tatabox_core::corpus::Holdout;
use tatabox_core::genome::Genome;
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::score::Scores;
use tatabox_engine::Precision;

/// A folder with a genome of two contigs in which every third base follows from the two before, so that there is something to learn.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = SeededRng::new(9, Purpose::Test, 0, 0);
        let mut file = fs::File::create(folder.path().join("genome.fa")).unwrap();
        for name in ["chrI", "chrII"] {
            let mut bases: Vec<u8> = Vec::new();
            for at in 0..12_000 {
                let last = |back: usize| bases.len().checked_sub(back).map_or(0, |index| usize::from(bases[index]));
                bases.push(if at % 3 == 2 {
                    b"ACGT"[(last(1) * 3 + last(2)) % 4]
                } else {
                    b"ACGT"[rng.below(4) as usize]
                });
            }
            writeln!(file, ">{name}\n{}", String::from_utf8(bases).unwrap()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn genome(&self) -> Genome {
        Genome::open(&[self.path("genome.fa")], &self.path("cache")).unwrap()
    }

    fn start(
        &self,
        name: &str,
        set: &[&str],
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> tatabox::Result<Outcome> {
        self.start_from(name, None, set, observer, stop)
    }

    fn start_from(
        &self,
        name: &str,
        init: Option<&Path>,
        set: &[&str],
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> tatabox::Result<Outcome> {
        let mut settings = Settings::parse(RECIPE, "test.toml").unwrap();
        set.iter().for_each(|assignment| settings.set(assignment).unwrap());
        start(Request { settings, genome: self.genome(), output: &self.path(name), init }, observer, stop)
    }

    fn resume(&self, name: &str, observer: &mut dyn Observer) -> tatabox::Result<Outcome> {
        resume(&self.path(name), &self.path("cache"), observer, &AtomicBool::new(false))
    }

    fn whole(&self, name: &str) -> Outcome {
        self.start(name, &[], &mut (), &AtomicBool::new(false)).unwrap()
    }
}

const RECIPE: &str = r#"
seed = 5
[model]
preset = "tiny"
num_hidden_layers = 1
hidden_size = 32
intermediate_size = 64
[tokenizer]
k = 3
[data]
max_length = 40
[train]
steps = 12
batch_size = 6
learning_rate = 3e-3
warmup_steps = 2
precision = "f32"
micro_batch_tokens = 100
[checkpoint]
every = 4
[evaluate]
sequences = 5
[log]
every = 5
"#;

/// Sets the flag after a step, and keeps what it hears.
struct StopAfter<'a> {
    step: u64,
    flag: &'a AtomicBool,
    heard: Vec<String>,
}

impl<'a> StopAfter<'a> {
    fn new(step: u64, flag: &'a AtomicBool) -> Self {
        Self { step, flag, heard: Vec::new() }
    }
}

impl Observer for StopAfter<'_> {
    fn planned(&mut self, plan: &Plan) {
        self.heard.push(format!("planned {}", plan.steps));
    }
    fn step(&mut self, progress: &Progress) {
        assert!(progress.loss.is_finite() && progress.tokens_per_second > 0.0 && progress.seconds_left >= 0.0);
        if progress.step == self.step {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
    fn evaluated(&mut self, step: u64, _: &Scores) {
        self.heard.push(format!("evaluated {step}"));
    }
    fn saved(&mut self, step: u64, _: &Path) {
        self.heard.push(format!("saved {step}"));
    }
    fn message(&mut self, text: &str) {
        self.heard.push(text.to_string());
    }
}

/// The files that must not depend on interruptions.
fn final_files(run: &Path) -> Vec<Vec<u8>> {
    ["model.safetensors", "state.safetensors", "state.json", "config.toml", "frozen.jsonl", "config.json", "vocab.txt"]
        .iter()
        .map(|name| fs::read(run.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect()
}

/// The lines of the log without what depends on the clock.
fn log(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("tokens_per_second");
        value.to_string()
    });
    lines.collect()
}

fn assert_same_run(one: &Path, other: &Path) {
    assert!(final_files(one) == final_files(other), "weights, moments or state differ");
    assert_eq!(log(one), log(other));
}

#[test]
fn a_run_has_everything_that_it_promises() {
    let world = World::new();
    let flag = AtomicBool::new(false);
    let mut observer = StopAfter::new(u64::MAX, &flag);
    let outcome = world.start("run", &[], &mut observer, &flag).unwrap();
    assert!(outcome.finished && outcome.step == 12 && outcome.tokens_per_second > 0.0);
    assert_eq!(outcome.best.unwrap().loss, outcome.loss.unwrap());
    assert_eq!(
        observer.heard,
        ["planned 12", "evaluated 4", "saved 4", "evaluated 8", "saved 8", "evaluated 12", "saved 12"]
    );
    let run = world.path("run");
    for name in ["dataset.json", "report.html", "report.json", "tokenizer_config.json"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let names = |folder: &Path| -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(&run.join("checkpoints")), ["step-12", "step-8"]);
    assert!(names(&run).iter().any(|name| name.starts_with("events.out.tfevents")));
    assert!(
        !names(&run).iter().any(|name| name.starts_with(".writing") || name.starts_with(".tmp")),
        "{:?}",
        names(&run)
    );
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("micro_batch_tokens = 100") && config.contains("beta2 = 0.98"), "{config}");
}

#[test]
fn a_run_learns_a_genome_of_one_repeat() {
    let world = World::new();
    let repeat = "GATTACA".repeat(2000);
    fs::write(world.path("genome.fa"), format!(">chrI\n{repeat}\n")).unwrap();
    let set = [
        "data.max_length=12",
        "train.steps=450",
        "train.batch_size=64",
        "train.learning_rate=0.01",
        "train.micro_batch_tokens=0",
        "model.hidden_dropout_prob=0",
        // In 12 tokens of 32 columns, fresh positions must differ from each other more than sinusoids do.
        "model.token_init=normal",
        "model.position_init=normal",
        "checkpoint.every=150",
    ];
    let outcome = world.start("run", &set, &mut (), &AtomicBool::new(false)).unwrap();
    let lines =
        log(&world.path("run")).into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
    let losses: Vec<f64> =
        lines.filter(|line| line["kind"] == "evaluation").map(|line| line["loss"].as_f64().unwrap()).collect();
    assert_eq!(losses.len(), 3);
    // Who knows nothing but the seven tokens of the repeat (on two strands) has ln 14.
    assert!(losses[2] < losses[0] && outcome.loss.unwrap() < 14f64.ln() - 0.5, "{losses:?}");
}

#[test]
fn a_run_that_was_stopped_anywhere_ends_like_one_that_was_not() {
    let world = World::new();
    world.whole("whole");
    for step in [1, 4, 7, 11] {
        let name = format!("stopped-{step}");
        let flag = AtomicBool::new(false);
        let outcome = world.start(&name, &[], &mut StopAfter::new(step, &flag), &flag).unwrap();
        assert!(!outcome.finished && outcome.step == step, "{outcome:?}");
        let outcome = world.resume(&name, &mut ()).unwrap();
        assert!(outcome.finished);
        assert_same_run(&world.path("whole"), &world.path(&name));
    }
}

#[test]
fn a_run_with_masks_by_scores_goes_on_by_the_scores_it_began_with() {
    let world = World::new();
    for (name, set) in [
        ("pmi", &["mask.strategy=pmi", "mask.rate=constant"][..]),
        ("permuted", &["mask.strategy=pmi", "mask.permuted=true"]),
        ("vocabulary", &["mask.strategy=pmi-vocab"]),
    ] {
        world.start(name, set, &mut (), &AtomicBool::new(false)).unwrap();
        // The scores of the first run as a file that is gone when the second run goes on.
        let (scores, own) = (world.path("scores.tsv"), world.path(name).join("pmi.tsv"));
        fs::copy(&own, &scores).unwrap();
        let stopped = format!("{name}-stopped");
        let flag = AtomicBool::new(false);
        let from_file = format!("mask.scores=\"{}\"", scores.display());
        let set = if name == "permuted" { set.to_vec() } else { [set, &[from_file.as_str()]].concat() };
        world.start(&stopped, &set, &mut StopAfter::new(5, &flag), &flag).unwrap();
        fs::remove_file(&scores).unwrap();
        world.resume(&stopped, &mut ()).unwrap();
        assert_eq!(fs::read(&own).unwrap(), fs::read(world.path(&stopped).join("pmi.tsv")).unwrap());
        assert!(
            fs::read(world.path(name).join("model.safetensors")).unwrap()
                == fs::read(world.path(&stopped).join("model.safetensors")).unwrap(),
            "{name}"
        );
        assert_eq!(log(&world.path(name)), log(&world.path(&stopped)));
        let dataset = fs::read_to_string(world.path(name).join("dataset.json")).unwrap();
        assert!(dataset.contains("\"pmi.tsv\""), "{dataset}");
    }
    // A table that was changed in between is not taken.
    let table = world.path("pmi").join("pmi.tsv");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replacen("\t", "\t1", 1)).unwrap();
    let error = world.resume("pmi", &mut ()).unwrap_err();
    assert!(error.to_string().contains("by which the run was masked so far"), "{error}");
}

#[test]
fn a_run_stopped_before_its_first_step_can_go_on() {
    let world = World::new();
    world.whole("whole");
    let outcome = world.start("run", &[], &mut (), &AtomicBool::new(true)).unwrap();
    assert_eq!((outcome.step, outcome.finished), (0, false));
    world.resume("run", &mut ()).unwrap();
    assert_same_run(&world.path("whole"), &world.path("run"));
}

#[test]
fn a_finished_run_resumed_stays_as_it_is() {
    let world = World::new();
    world.whole("run");
    let before = (final_files(&world.path("run")), log(&world.path("run")));
    assert!(world.resume("run", &mut ()).unwrap().finished);
    assert!((final_files(&world.path("run")), log(&world.path("run"))) == before);
}

#[test]
fn after_a_kill_the_newest_whole_checkpoint_is_taken_and_the_end_is_the_same() {
    let world = World::new();
    world.whole("whole");
    // What a kill can leave: a checkpoint folder half made, one that is torn, a log that is ahead and cut, links of two generations.
    type Damage = fn(&Path);
    let leave: [(&str, Damage); 4] = [
        ("half made", |run| {
            fs::create_dir(run.join("checkpoints/.step-xyz")).unwrap();
            fs::write(run.join("checkpoints/.step-xyz/model.safetensors"), "half").unwrap();
        }),
        ("torn", |run| {
            let path = run.join("checkpoints/step-8/state.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("log ahead", |run| {
            let mut file = fs::OpenOptions::new().append(true).open(run.join("metrics.jsonl")).unwrap();
            write!(file, "{{\"kind\":\"train\",\"step\":10,\"loss\":1}}\n{{\"kind\":\"tra").unwrap();
        }),
        ("links of two generations", |run| {
            fs::remove_file(run.join("model.safetensors")).unwrap();
            fs::copy(run.join("checkpoints/step-4/model.safetensors"), run.join("model.safetensors")).unwrap();
            fs::write(run.join(".writing-state.safetensors"), "half").unwrap();
        }),
    ];
    for (what, leave) in leave {
        let flag = AtomicBool::new(false);
        world.start(what, &[], &mut StopAfter::new(8, &flag), &flag).unwrap();
        leave(&world.path(what));
        let mut observer = StopAfter::new(u64::MAX, &flag);
        world.resume(what, &mut observer).unwrap();
        assert_eq!(observer.heard.iter().any(|text| text.contains("is torn and not loaded")), what == "torn", "{what}");
        assert_same_run(&world.path("whole"), &world.path(what));
    }
}

#[test]
fn without_a_whole_checkpoint_nothing_is_loaded() {
    let world = World::new();
    world.whole("run");
    for step in [8, 12] {
        fs::write(world.path(&format!("run/checkpoints/step-{step}/state.json")), "{\"step\": ").unwrap();
    }
    let error = world.resume("run", &mut ()).unwrap_err();
    assert!(error.to_string().contains("expected a complete checkpoint"), "{error}");
    assert!(!error.is_usage());
}

#[test]
fn an_output_that_holds_a_run_is_refused_before_anything_else() {
    let world = World::new();
    world.whole("run");
    let before = final_files(&world.path("run"));
    let error = world.start("run", &[], &mut (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("already holds a run") && error.is_usage(), "{error}");
    assert!(final_files(&world.path("run")) == before);
}

#[test]
fn a_start_that_is_refused_leaves_no_directory() {
    let world = World::new();
    for (set, what) in [
        (&["data.holdout=chrXVII"][..], "chrXVII"),
        (
            &["data.max_length=512", "train.micro_batch_tokens=512", "data.holdout=chrI:1-300"],
            "the held-out part is too small",
        ),
        (&["train.micro_batch_tokens=10"], "longest sample"),
        (&["mask.spans=[6]"], "mask.spans"),
    ] {
        let set = [set, &["train.steps=3"]].concat();
        let error = world.start("run", &set, &mut (), &AtomicBool::new(false)).unwrap_err();
        assert!(error.to_string().contains(what), "{set:?}: {error}");
        assert!(!world.path("run").exists());
    }
}

#[test]
fn accumulated_gradients_are_those_of_the_whole_step() {
    let world = World::new();
    let set = |micro: &'static str| {
        [micro, "train.steps=4", "model.hidden_dropout_prob=0", "model.attention_probs_dropout_prob=0", "log.every=1"]
    };
    let losses = |name: &str, micro: &'static str| -> Vec<f64> {
        world.start(name, &set(micro), &mut (), &AtomicBool::new(false)).unwrap();
        let lines =
            log(&world.path(name)).into_iter().map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        lines.filter(|line| line["kind"] == "train").map(|line| line["loss"].as_f64().unwrap()).collect()
    };
    let (cut, whole) = (losses("cut", "train.micro_batch_tokens=40"), losses("whole", "train.micro_batch_tokens=0"));
    for (cut, whole) in cut.iter().zip(&whole) {
        assert!((cut / whole - 1.0).abs() < 1e-5, "{cut} and {whole}");
    }
}

fn request<'a>(model: &'a Path, masks: &'a Path, cache: &'a Path) -> evaluate::Request<'a> {
    evaluate::Request { model, masks, precision: Precision::F32, genome: None, holdout: Holdout::Auto, cache }
}

#[test]
fn evaluating_the_run_gives_the_loss_that_it_measured_itself() {
    let world = World::new();
    let outcome = world.whole("run");
    let (run, masks, cache) = (world.path("run"), world.path("run/frozen.jsonl"), world.path("cache"));
    let evaluation = evaluate(request(&run, &masks, &cache)).unwrap();
    assert!((evaluation.loss / outcome.loss.unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(evaluation.step, Some(12));
    assert_eq!(evaluation.baselines.len(), 3, "{:?}", evaluation.notes);
    let uniform = &evaluation.baselines[0].scores.overall;
    assert!((uniform.bits_per_hidden_base.unwrap() - 2.0).abs() < 1e-9);
    // The checkpoint by itself is a Hugging Face directory, without a genome.
    let folder = run.join("checkpoints/step-12");
    let alone = evaluate(request(&folder, &masks, &cache)).unwrap();
    assert_eq!((alone.loss, alone.baselines.len()), (evaluation.loss, 0));
}

#[test]
fn a_config_that_does_not_match_the_weights_is_refused_with_both_shapes() {
    let world = World::new();
    world.whole("run");
    let folder = world.path("run/checkpoints/step-12");
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    fs::write(folder.join("config.json"), config.replace("\"intermediate_size\": 64", "\"intermediate_size\": 96"))
        .unwrap();
    let (masks, cache) = (world.path("run/frozen.jsonl"), world.path("cache"));
    let error = evaluate(request(&folder, &masks, &cache)).unwrap_err();
    assert!(error.to_string().contains("expected shape [96, 32], got [64, 32]"), "{error}");
    assert!(error.hint().unwrap().contains("config.json"));
    // A recipe that contradicts the model it starts from is refused as well.
    let set = ["model.intermediate_size=96"];
    let error = world.start_from("again", Some(&folder), &set, &mut (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("intermediate.dense.weight"), "{error}");
    assert!(!world.path("again").exists());
}

#[test]
fn masks_of_another_tokenizer_are_refused() {
    let world = World::new();
    world.whole("run");
    let set = ["tokenizer.k=4", "train.steps=1", "train.warmup_steps=0"];
    world.start("four", &set, &mut (), &AtomicBool::new(false)).unwrap();
    let (run, masks, cache) = (world.path("run"), world.path("four/frozen.jsonl"), world.path("cache"));
    let error = evaluate(request(&run, &masks, &cache)).unwrap_err();
    assert!(error.to_string().contains("a vocabulary of 69, as the model has, got one of 261"), "{error}");
}

#[test]
fn a_run_can_start_from_the_weights_of_another() {
    let world = World::new();
    world.whole("first");
    let first = world.path("first");
    let flag = AtomicBool::new(true);
    world.start_from("second", Some(&first), &[], &mut (), &flag).unwrap();
    let same = |name: &str| fs::read(first.join(name)).unwrap() == fs::read(world.path("second").join(name)).unwrap();
    assert!(same("model.safetensors") && !same("state.safetensors"));
}

#[test]
fn a_run_whose_genome_is_gone_says_so_and_is_left_alone() {
    let world = World::new();
    let flag = AtomicBool::new(false);
    world.start("run", &[], &mut StopAfter::new(5, &flag), &flag).unwrap();
    let before = final_files(&world.path("run"));
    fs::write(world.path("genome.fa"), ">chrI\nACGTACGTACGTTTGACCA\n").unwrap();
    let error = world.resume("run", &mut ()).unwrap_err();
    assert!(error.to_string().contains("SHA-256"), "{error}");
    assert!(final_files(&world.path("run")) == before);
}

#[test]
fn steps_that_are_not_given_are_chosen_and_recorded() {
    let world = World::new();
    let mut settings =
        Settings::parse(&RECIPE.replace("steps = 12\n", "").replace("warmup_steps = 2\n", ""), "x.toml").unwrap();
    settings.set("train.batch_size=2000").unwrap();
    settings.set("evaluate.sequences=0").unwrap();
    let flag = AtomicBool::new(true);
    let mut observer = StopAfter::new(u64::MAX, &flag);
    let output = world.path("run");
    let request = Request { settings, genome: world.genome(), output: &output, init: None };
    let outcome = start(request, &mut observer, &flag).unwrap();
    assert!(outcome.steps >= 100);
    assert!(observer.heard.iter().any(|text| text.contains("`train.steps` is not given")), "{:?}", observer.heard);
    let config = fs::read_to_string(output.join("config.toml")).unwrap();
    assert!(config.contains(&format!("\nsteps = {}\n", outcome.steps)), "{config}");
}
