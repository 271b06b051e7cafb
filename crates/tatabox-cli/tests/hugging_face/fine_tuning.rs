//! Fine-tuning equals PyTorch + transformers: the same weights, the same batches in the same order, no dropout. The losses of 50 steps and the logits afterwards.

use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use tatabox::finetune::{Classifier, Fit, FitObserver, FitProgress, Pretrained, Query, Request, Source, order, start};
use tatabox::learner::Lesson;
use tatabox::settings::Settings;
use tatabox::weights::{Tensor, write_weights};
use tatabox_core::labelled::{Example, SplitName, Target, Task};
use tatabox_core::seq::LETTERS;
use tatabox_engine::Precision;

use crate::shell::Shell;
use crate::{peer, python};

const STEPS: usize = 50;
const BATCH: usize = 6;

/// Losses, and probabilities, may be so far apart.
const TOLERANCE: f64 = 1e-4;

/// Data of a task, and what is set besides.
struct Case {
    name: &'static str,
    task: &'static str,
    table: String,
    set: &'static [&'static str],
}

#[derive(Default)]
struct Losses(Vec<f64>);

impl FitObserver for Losses {
    fn step(&mut self, progress: &FitProgress) {
        self.0.push(progress.loss);
    }
}

/// Sequences with something to learn: more of a base where the answer is larger.
fn sequence(at: usize, bases: usize, rich: u8) -> String {
    let mut state = (at as u64 + 11).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let base = |draw: &mut dyn FnMut(u64) -> u64| if draw(3) == 0 { rich } else { b"ACGT"[draw(4) as usize] };
    (0..bases).map(|_| char::from(base(&mut draw))).collect()
}

fn cases() -> Vec<Case> {
    let length = |at: usize| 12 + at * 7 % 20;
    let rich = |class: usize| b"CATG"[class];
    let row = |at: usize, class: usize, rest: String| format!("{},{rest}\n", sequence(at, length(at), rich(class)));
    let table = |header: &str, rest: &dyn Fn(usize) -> (usize, String)| {
        let rows: String = (0..32)
            .map(|at| {
                let (class, rest) = rest(at);
                row(at, class, rest)
            })
            .collect();
        format!("{header}\n{rows}")
    };
    let pairs: String = (0..32)
        .map(|at| format!("{},{},{}\n", sequence(at, 13, rich(at % 2)), sequence(at + 90, 9 + at % 5, b'C'), at % 2))
        .collect();
    vec![
        Case {
            name: "binary",
            task: "binary",
            table: table("sequence,label", &|at| (at % 2, (at % 2).to_string())),
            set: &[],
        },
        Case {
            name: "classes",
            task: "multi-class",
            table: table("sequence,label", &|at| (at % 5 % 3, ["x", "y", "z"][at % 5 % 3].to_string())),
            set: &["train.class_weights=balanced", "train.label_smoothing=0.1"],
        },
        Case {
            name: "labels",
            task: "multi-label",
            table: table("sequence,a,b,c", &|at| {
                (at % 4, format!("{},{},{}", at % 2, (at % 4) / 2, u8::from(at % 3 == 0)))
            }),
            set: &[],
        },
        Case {
            name: "weighted-labels",
            task: "multi-label",
            table: table("sequence,a,b", &|at| (at % 4, format!("{},{}", u8::from(at % 4 == 0), at % 2))),
            set: &["train.class_weights=balanced"],
        },
        Case {
            name: "numbers",
            task: "regression",
            table: table("sequence,dev,hk", &|at| {
                (at % 4, format!("{},{}", at as f64 * 0.1 - 1.0, 0.5 - (at % 4) as f64))
            }),
            set: &["train.max_grad_norm=0"],
        },
        Case {
            name: "number",
            task: "regression",
            table: table("sequence,label", &|at| (at % 4, format!("{}", (at % 4) as f64 * 0.5 - 1.0))),
            set: &[],
        },
        Case { name: "pairs", task: "binary", table: format!("sequence1,sequence2,label\n{pairs}"), set: &[] },
    ]
}

#[test]
fn fifty_steps_of_every_task_are_those_of_transformers() {
    let Some(python) = python() else { return };
    let shell = Shell::new();
    let genome = shell.genome();
    let tiny = [
        "--set",
        "model.hidden_size=32",
        "--set",
        "model.num_attention_heads=2",
        "--set",
        "model.intermediate_size=48",
    ];
    let small = ["--set", "model.num_hidden_layers=2", "--set", "tokenizer.k=3", "--set", "data.max_length=64"];
    let quick = ["--set", "train.steps=3", "--set", "train.batch_tokens=256", "--set", "evaluate.sequences=0"];
    let args = ["pretrain", &genome, "--set", "model.max_position_embeddings=64", "-o", "encoder"];
    shell.works(&[&args[..], &tiny, &small, &quick].concat());
    let tuned: Vec<Tuned> = cases().iter().map(|case| tune(&shell, case)).collect();
    let jobs: Vec<&str> = tuned.iter().map(|tuned| tuned.job.as_str()).collect();
    let theirs = peer(python, &shell, "hf_finetune.py", &jobs);
    assert_eq!(theirs.lines().count(), tuned.len());
    for (tuned, theirs) in tuned.iter().zip(theirs.lines()) {
        compare(&shell, tuned, &serde_json::from_str(theirs).unwrap());
    }
}

/// A fine-tuning by Tatabox, and the same for the peer.
struct Tuned {
    name: &'static str,
    task: Task,
    test: Vec<Example>,
    losses: Vec<f64>,
    job: String,
}

fn tune(shell: &Shell, case: &Case) -> Tuned {
    let Case { name, task, table, set } = case;
    // What stands in the header after the sequences.
    let header = table.lines().next().unwrap().split(',');
    let label_columns: Vec<&str> = header.filter(|name| !name.starts_with("sequence")).collect();
    let mut settings = Settings::empty();
    for assignment in [
        "model.hidden_dropout_prob=0",
        "model.attention_probs_dropout_prob=0",
        "train.learning_rate=2e-3",
        "train.weight_decay=0.1",
        "train.warmup_steps=5",
        "train.epochs=100",
        "train.max_steps=50",
        "train.batch_size=6",
        "select.by=last",
        "seed=9",
    ]
    .iter()
    .chain(*set)
    {
        settings.set(assignment).unwrap();
    }
    let pretrained = Pretrained::open(&shell.path("encoder")).unwrap();
    let config = pretrained.resolve(settings).unwrap();
    let data = shell.path(&shell.write(&format!("{name}.csv"), table));
    let source = Source {
        data: vec![data],
        task: Some(task.parse::<Task>().unwrap()),
        sequence_columns: Vec::new(),
        label_columns: label_columns.iter().map(|name| name.to_string()).collect(),
        genome: Vec::new(),
        split: Some("75/25".to_string()),
        learn_from_dev: false,
        dev_share: 0,
        seed: 0,
    };
    let (data, _) = source.read(&shell.path(".cache")).unwrap();
    let part = |name| data.split(name).unwrap().examples.iter().collect::<Vec<&Example>>();
    let (train, test) = (part(SplitName::Train), part(SplitName::Test));
    let outputs = data.outputs().len();
    let lesson = Lesson { task: data.task, outputs, train: &train, dev: &[], test: &test, seed: config.seed };

    // Both begin with these weights, the fresh head among them.
    let fit = Fit::new(&pretrained, &config, lesson).unwrap();
    let (init, tuned) = (format!("{name}-init"), format!("{name}-tuned"));
    std::fs::create_dir(shell.path(&init)).unwrap();
    let weights = fit.weights().unwrap();
    let tensors: Vec<Tensor<'_>> = (fit.specs().zip(&weights))
        .map(|(spec, values)| Tensor { name: &spec.name, shape: &spec.shape, values })
        .collect();
    write_weights(&shell.path(&init).join("model.safetensors"), &tensors).unwrap();

    let mut losses = Losses::default();
    let out = shell.path(&tuned);
    let request = Request { pretrained: &pretrained, config: config.clone(), data: &data, source, output: &out };
    let outcome = start(request, &mut losses, &AtomicBool::new(false)).unwrap();
    assert!(outcome.finished && outcome.step == STEPS as u64);
    for file in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(out.join(file), shell.path(&init).join(file)).unwrap();
    }

    let mut steps: Vec<Vec<usize>> = Vec::new();
    for epoch in 0.. {
        let left = STEPS - steps.len();
        let order = order(config.seed, epoch, train.len());
        steps.extend(order.chunks(BATCH).take(left).map(<[usize]>::to_vec));
        if steps.len() == STEPS {
            break;
        }
    }
    assert!(train.len() % BATCH == 0 && train.len() < STEPS * BATCH, "whole batches, several epochs");
    let objective = match data.task {
        Task::MultiLabel => "labels",
        Task::Regression => "values",
        _ => "classes",
    };
    let job = json!({
        "init": shell.path(&init), "tuned": out, "k": 3, "stride": 1, "objective": objective, "order": steps,
        "train": train.iter().map(|example| row(example)).collect::<Vec<_>>(),
        "test": test.iter().map(|example| row(example)).collect::<Vec<_>>(),
        "weights": class_weights(&train, &data.task, outputs, config.train.class_weights == "balanced"),
        "smoothing": config.train.label_smoothing, "learning_rate": 2e-3, "warmup": 5, "weight_decay": 0.1,
        "max_grad_norm": config.train.optimizer.max_grad_norm,
    });
    let job = shell.write(&format!("{name}.json"), job.to_string());
    let test = test.into_iter().cloned().collect();
    Tuned { name, task: data.task, test, losses: losses.0, job }
}

fn compare(shell: &Shell, tuned: &Tuned, theirs: &Value) {
    let Tuned { name, task, test, losses, .. } = tuned;
    let numbers = |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<f64>>();
    let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= TOLERANCE * (1.0 + theirs.abs());
    let expected = numbers(&theirs["losses"]);
    assert_eq!(losses.len(), STEPS);
    for (step, (ours, theirs)) in losses.iter().zip(&expected).enumerate() {
        assert!(near(*ours, *theirs), "{name}, step {}: loss {ours} here, {theirs} in transformers", step + 1);
    }
    assert!(expected[STEPS - 1] < 0.9 * expected[0], "{name}: something is learnt: {expected:?}");

    // The weights that Tatabox wrote, asked by both; and those that PyTorch came to.
    let mut classifier = Classifier::open(&shell.path(&format!("{name}-tuned")), Precision::F32).unwrap();
    let queries: Vec<Query<'_>> = test.iter().map(Query::from).collect();
    let answers = classifier.predict(&queries).unwrap();
    for (at, answer) in answers.iter().enumerate() {
        for which in ["logits", "tuned"] {
            let expected = meaning(*task, &numbers(&theirs[which][at]));
            for (ours, theirs) in answer.iter().zip(&expected) {
                let ours = f64::from(*ours);
                assert!(
                    near(ours, *theirs),
                    "{name}, {which}, example {at}: {answer:?} here, {expected:?} in transformers"
                );
            }
        }
    }
    let names: Vec<&str> =
        theirs["id2label"].as_object().unwrap().values().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, classifier.outputs());
}

/// An example as the peer reads it.
fn row(example: &Example) -> Value {
    let text = |codes: &[u8]| codes.iter().map(|&code| char::from(LETTERS[code as usize])).collect::<String>();
    let answer = match &example.target {
        Target::Class(class) => json!(class),
        Target::Labels(labels) => json!(labels.iter().map(|&label| u8::from(label)).collect::<Vec<_>>()),
        Target::Values(values) => json!(values),
    };
    json!({"sequence": text(&example.codes), "second": example.second.as_deref().map(text), "answer": answer})
}

/// `balanced` as scikit-learn has it: all / (classes x a class's own); for labels, no to yes.
fn class_weights(train: &[&Example], task: &Task, outputs: usize, balanced: bool) -> Option<Vec<f64>> {
    let has = |example: &Example, output: usize| match &example.target {
        Target::Class(class) => *class as usize == output,
        Target::Labels(labels) => labels[output],
        Target::Values(_) => false,
    };
    let all = train.len() as f64;
    let count = |output| train.iter().filter(|example| has(example, output)).count() as f64;
    let weight = |output| match task {
        Task::MultiLabel => (all - count(output)) / count(output),
        _ => all / (outputs as f64 * count(output)),
    };
    balanced.then(|| (0..outputs).map(weight).collect())
}

/// What logits mean.
fn meaning(task: Task, logits: &[f64]) -> Vec<f64> {
    match task {
        Task::Binary | Task::MultiClass => {
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            logits.iter().map(|logit| logit.exp() / total).collect()
        }
        Task::MultiLabel => logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
        Task::Regression => logits.to_vec(),
    }
}
