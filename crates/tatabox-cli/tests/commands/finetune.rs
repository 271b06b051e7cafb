//! `tatabox finetune`: it learns, it goes on after a kill, it reads long sequences whole, and it says what is wrong with data and models.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::shell::{Shell, TATABOX, end, signal};

/// An encoder of 3-mers that was hardly trained: the tests are about what comes after.
fn encoder(shell: &Shell) {
    let genome = shell.genome();
    let mut args = vec!["pretrain", &genome, "-o", "encoder"];
    for set in [
        "tokenizer.k=3",
        "model.preset=tiny",
        "model.hidden_size=32",
        "model.intermediate_size=64",
        "model.max_position_embeddings=128",
        "data.max_length=128",
        // Small models with small numbers learn slowly.
        "model.initializer_range=0.05",
        "train.steps=2",
        "train.batch_tokens=256",
        "evaluate.sequences=0",
    ] {
        args.extend(["--set", set]);
    }
    shell.works(&args);
}

/// Two classes that a count of letters tells apart: rich in A and T, or in C and G. `bases` long; train, dev and test.
fn data(shell: &Shell, folder: &str, bases: usize) {
    fs::create_dir(shell.path(folder)).unwrap();
    for (part, rows) in [("train", 96), ("dev", 24), ("test", 32)] {
        let row =
            |at: usize| format!("{},{}\n", sequence(part.len() * 1000 + at, bases, at % 2), ["poor", "rich"][at % 2]);
        let table: String = std::iter::once("sequence,label\n".to_string()).chain((0..rows).map(row)).collect();
        shell.write(&format!("{folder}/{part}.csv"), table);
    }
}

fn sequence(seed: usize, bases: usize, rich: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as usize
    };
    (0..bases)
        .map(|_| {
            let common = draw() % 5 < 3;
            let letters = if common == (rich == 1) { "CG" } else { "AT" };
            letters.as_bytes()[draw() % 2] as char
        })
        .collect()
}

const FAST: [&str; 12] = [
    "--set",
    "train.epochs=20",
    "--set",
    "train.batch_size=16",
    "--set",
    "train.learning_rate=2e-3",
    "--set",
    "model.hidden_dropout_prob=0",
    "--set",
    "model.attention_probs_dropout_prob=0",
    "--set",
    "seed=4",
];

fn tune<'a>(data: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["finetune", "encoder", "--data", data, "-o", output][..], &FAST, more].concat()
}

/// The accuracy on test.
fn accuracy(outcome: &Value) -> f64 {
    outcome["test"]["metrics"]["accuracy"]["value"].as_f64().unwrap_or_else(|| panic!("{outcome}"))
}

#[test]
fn learns_from_labels_and_leaves_a_model_a_report_and_its_measures() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    let outcome = shell.json(&tune("gc", "run", &["--json"]));
    assert_eq!((outcome["finished"].as_bool(), outcome["collapsed"].as_bool()), (Some(true), Some(false)));
    assert_eq!((outcome["step"].as_u64(), outcome["steps"].as_u64()), (Some(120), Some(120)));
    assert!(accuracy(&outcome) > 0.8, "{}", outcome["epochs"]);
    let config: Value = serde_json::from_slice(&shell.bytes("run/config.json")).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!((&config["id2label"]["1"], &config["label2id"]["poor"]), (&"rich".into(), &0.into()));
    let losses: Vec<f64> = String::from_utf8(shell.bytes("run/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["dev_loss"].as_f64().unwrap())
        .collect();
    let best = outcome["best_epoch"].as_u64().unwrap() as usize;
    assert_eq!(losses.len(), 20);
    assert!(losses.iter().all(|loss| *loss >= losses[best - 1]), "{losses:?}, best {best}");
    let names = shell.files().into_iter().filter_map(|name| Some(name.strip_prefix("run/")?.to_string()));
    let expected = [
        ".lock",
        "config.json",
        "dataset.json",
        "finetune.toml",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "report.json",
        "result.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let looked = shell.json(&["inspect", "run", "--json"]);
    assert_eq!((&looked["result"], looked["record"]["task"].as_str()), (&outcome, Some("binary")));
    let shown = shell.works(&["inspect", "run"]);
    for part in ["binary: poor, rich", "20 of 20, complete", "accuracy 0.", "96 train, 24 dev, 32 test"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Again from the resolved record: the same run. A complete run is left alone.
    let before = shell.bytes("run/model.safetensors");
    assert_eq!(shell.json(&["finetune", "--resume", "run", "--json"]), outcome);
    shell.json(&tune("gc", "again", &["--json"]));
    assert!(shell.bytes("again/model.safetensors") == before, "the same seed gives the same bytes");
    shell.json(&tune("gc", "threads", &["--threads", "1", "--json"]));
    assert!(shell.bytes("threads/model.safetensors") == before, "whatever the number of threads");
}

#[test]
fn killed_at_any_moment_a_fine_tuning_ends_with_the_same_bytes() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    // LoRA has the most to remember: matrices, updates, the merged best.
    let more = ["--set", "lora.rank=4", "--set", "checkpoint.every=4", "--set", "model.hidden_dropout_prob=0.1"];
    let begun = Instant::now();
    shell.works(&tune("gc", "whole", &more));
    let whole = begun.elapsed();
    for fractions in [[0.2, 0.5, 0.7], [0.6, 0.3, 0.9]] {
        let run = format!("killed-{}", fractions[0]);
        let start = || {
            let mut command = shell.command(TATABOX);
            if shell.path(&run).join("finetune.toml").exists() {
                command.args(["finetune", "--resume", &run]);
            } else {
                command.args(tune("gc", &run, &more));
            }
            command.spawn().unwrap()
        };
        for fraction in fractions {
            let mut child = start();
            sleep(whole.mul_f64(fraction));
            let _ = child.kill();
            child.wait().unwrap();
        }
        let last = end(start());
        assert_eq!(last.code, 0, "{last:#?}");
        for file in ["model.safetensors", "metrics.jsonl", "report.html", "report.json", "config.json"] {
            let (one, other) = (shell.bytes(&format!("whole/{file}")), shell.bytes(&format!("{run}/{file}")));
            let name = |bytes: Vec<u8>, from: &str| String::from_utf8_lossy(&bytes).replace(from, "RUN");
            assert!(one == other || name(one, "whole") == name(other, &run), "{run}: {file} differs");
        }
        assert!(!shell.path(&run).join("checkpoints").exists(), "a complete run needs no checkpoints");
    }
}

#[test]
fn sigterm_saves_within_an_epoch_and_says_how_to_go_on() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    let more = ["--set", "train.epochs=200", "--set", "train.batch_size=4"];
    let child = shell.command(TATABOX).args(tune("gc", "run", &more)).spawn().unwrap();
    let patience = Instant::now();
    while fs::metadata(shell.path("run/metrics.jsonl")).map_or(0, |file| file.len()) == 0 {
        assert!(patience.elapsed() < Duration::from_secs(120), "the first epoch did not end");
        sleep(Duration::from_millis(2));
    }
    signal(&child, "TERM");
    let seen = end(child);
    assert_eq!(seen.code, 143, "{seen:#?}");
    assert!(seen.stderr.contains("go on with: tatabox finetune --resume run"), "{seen:#?}");
    assert!(!shell.checkpoints("run").is_empty());
}

/// A tensor of a safetensors file.
fn tensor(shell: &Shell, file: &str, name: &str) -> Vec<u8> {
    let bytes = shell.bytes(file);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let at =
        |end: usize| header + json[name]["data_offsets"][end].as_u64().unwrap_or_else(|| panic!("{name}")) as usize;
    bytes[at(0)..at(1)].to_vec()
}

#[test]
fn lora_and_a_frozen_encoder_change_what_they_may_and_nothing_else() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    let lora =
        shell.json(&tune("gc", "lora", &["--set", "lora.rank=4", "--set", "train.learning_rate=2e-2", "--json"]));
    shell.json(&tune("gc", "frozen", &["--set", "train.freeze=encoder", "--json"]));
    assert!(accuracy(&lora) > 0.7, "{}", lora["epochs"]);
    let layer = "bert.encoder.layer.1.attention.self";
    let same = |run: &str, name: &str| {
        tensor(&shell, &format!("{run}/model.safetensors"), name) == tensor(&shell, "encoder/model.safetensors", name)
    };
    for (name, in_lora) in [
        (format!("{layer}.query.weight"), false),
        (format!("{layer}.value.weight"), false),
        (format!("{layer}.key.weight"), true),
        (format!("{layer}.query.bias"), true),
        ("bert.embeddings.word_embeddings.weight".to_string(), true),
    ] {
        assert_eq!(same("lora", &name), in_lora, "lora: {name}");
        assert!(same("frozen", &name), "frozen: {name}");
    }
}

#[test]
fn what_does_not_fit_the_positions_is_read_in_windows_to_its_end() {
    let shell = Shell::new();
    encoder(&shell);
    fs::create_dir(shell.path("tail")).unwrap();
    // What tells the classes apart is in the last 40 of 160 bases: cut at 62 tokens, nothing could be learnt.
    for (part, rows) in [("train", 96), ("dev", 24), ("test", 32)] {
        let row = |at: usize| {
            let bases = sequence(part.len() * 1000 + at, 160, 0).replace('C', "A").replace('G', "T");
            let end =
                if at % 2 == 1 { bases[120..].replace('A', "C").replace('T', "G") } else { bases[120..].to_string() };
            format!("{}{end},{}\n", &bases[..120], at % 2)
        };
        let table: String = std::iter::once("sequence,label\n".to_string()).chain((0..rows).map(row)).collect();
        shell.write(&format!("tail/{part}.csv"), table);
    }
    for pooling in ["mean", "max", "attention"] {
        let pool = format!("data.pooling={pooling}");
        let more = ["--set", "data.max_length=64", "--set", &pool, "--json"];
        let outcome = shell.json(&tune("tail", pooling, &more));
        assert!(accuracy(&outcome) > 0.75, "{pooling}: {}", outcome["epochs"]);
    }
}

#[test]
fn tokens_side_by_side_can_follow_overlapping_ones_and_both_strands_can_be_read() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    for more in [
        &["--set", "tokenizer.stride=3"][..],
        &["--set", "data.augment_strands=true", "--set", "predict.both_strands=true"],
    ] {
        let outcome = shell.json(&tune("gc", &format!("run{}", more.len()), &[more, &["--json"]].concat()));
        assert!(accuracy(&outcome) > 0.75, "{more:?}: {}", outcome["epochs"]);
    }
}

#[test]
fn a_model_that_tells_nothing_apart_is_said_to_have_collapsed() {
    let shell = Shell::new();
    encoder(&shell);
    // One class in eight, and no step that is worth one: the common class is answered to all.
    let rows: String = (0..64).map(|at| format!("{},{}\n", sequence(at, 40, at % 2), u8::from(at % 8 == 0))).collect();
    let table = shell.write("rare.csv", format!("sequence,label\n{rows}"));
    let more = ["--set", "train.learning_rate=1e-9", "--set", "train.epochs=1"];
    let seen = shell.tatabox(&tune(&table, "run", &more));
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.stdout.contains("COLLAPSED"), "{seen:#?}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    let table = |name: &str, text: &str| shell.write(name, text);
    let one = table("one.csv", &format!("sequence,label\n{}", "ACGTACGTACGT,1\n".repeat(20)));
    let short = table(
        "short.csv",
        &format!("id,sequence,label\n{}tiny,AC,1\n", "x,ACGTACGTACGT,0\ny,TTTTACGTACGT,1\n".repeat(20)),
    );
    let unlabelled = table("unlabelled.fa", ">a\nACGTACGTAC\n>b\nACGTTTGTAC\n");
    let nan = table("nan.csv", &format!("sequence,label\n{}", "ACGTACGTACGT,0.5\nACGTACGTTTGT,nan\n".repeat(10)));
    fs::create_dir(shell.path("unseen")).unwrap();
    table("unseen/train.csv", &format!("sequence,label\n{}", "ACGTACGTACGT,a\nTTTTACGTACGT,b\n".repeat(10)));
    table("unseen/test.csv", "sequence,label\nACGTACGTACGT,c\n");
    fs::create_dir(shell.path("testonly")).unwrap();
    table("testonly/test.csv", "sequence,label\nACGTACGTACGT,a\nTTTTACGTACGT,b\n");
    let floats =
        table("floats.csv", &format!("sequence,label\n{}", "ACGTACGTACGT,0.25\nTTTTACGTACGT,1.5\n".repeat(10)));
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["--data", &one], 1, &["one class", "hint: "]),
        (&["--data", &short], 1, &["`tiny` has 2 bases, fewer than the 3 of a token", "hint: "]),
        (&["--data", &unlabelled], 1, &["labels", "hint: "]),
        (&["--data", &nan], 1, &["`nan.csv`, line 3", "`nan`", "hint: "]),
        (&["--data", "unseen"], 1, &["`c`", "train"]),
        (&["--data", "testonly"], 1, &["no train part", "hint: "]),
        (&["--data", &floats, "--task", "binary"], 1, &["floats.csv", "0.25"]),
        (&["--data", "nowhere.csv"], 1, &["nowhere.csv"]),
        (&["--data", "gc", "--preset", "randommask-emq"], 2, &["randommask-emp", "hint: "]),
        (&["--data", "gc", "--set", "train.epoch=3"], 2, &["train.epoch", "`train.epochs`"]),
        (&["--data", "gc", "--set", "data.max_length=129"], 2, &["data.max_length", "129", "from 8 to 128"]),
        (&["--data", "gc", "--set", "tokenizer.stride=2"], 2, &["tokenizer.stride"]),
        (&["--data", "gc", "--set", "lora.rank=2", "--set", "train.freeze=encoder"], 2, &["train.freeze", "hint: "]),
        (&["--data", "gc", "--set", "lora.targets=querry"], 2, &["lora.targets", "query"]),
        (
            &["--data", "gc", "--set", "train.warmup_steps=3", "--set", "train.learning_rate=0"],
            2,
            &["train.learning_rate"],
        ),
        (&[], 2, &["--data"]),
    ];
    for (args, code, parts) in cases {
        let seen = shell.tatabox(&[&["finetune", "encoder", "-o", "run"], *args].concat());
        seen.fails(*code, parts);
        assert!(!shell.path("run").exists(), "{args:?} left something behind");
    }
    shell.tatabox(&["finetune", "gc", "--data", "gc", "-o", "run"]).fails(2, &["`gc`", "config.json"]);
    shell
        .tatabox(&["finetune", "--resume", "encoder"])
        .fails(2, &["is a run of `tatabox pretrain`", "tatabox pretrain --resume"]);
    shell.works(&tune("gc", "run", &["--set", "train.max_steps=2"]));
    shell.tatabox(&tune("gc", "run", &[])).fails(2, &["already holds a run", "tatabox finetune --resume run"]);
    shell.tatabox(&["pretrain", "--resume", "run"]).fails(2, &["is a run of `tatabox finetune`"]);
}

#[test]
fn a_run_whose_data_or_encoder_changed_does_not_go_on() {
    let shell = Shell::new();
    encoder(&shell);
    data(&shell, "gc", 60);
    shell.works(&tune("gc", "run", &["--set", "train.max_steps=2"]));
    fs::remove_file(shell.path("run/result.json")).unwrap();
    let before = shell.bytes("gc/train.csv");
    shell.write("gc/train.csv", [&before[..], b"ACGTACGTACGT,rich\n"].concat());
    shell.tatabox(&["finetune", "--resume", "run"]).fails(1, &["the labelled data", "SHA-256", "hint: "]);
    shell.write("gc/train.csv", &before);
    shell.works(&["finetune", "--resume", "run"]);
    fs::remove_file(shell.path("run/result.json")).unwrap();
    fs::remove_dir_all(shell.path("encoder")).unwrap();
    shell.tatabox(&["finetune", "--resume", "run"]).fails(2, &["encoder", "hint: "]);
}

#[test]
fn presets_are_listed_with_their_sources() {
    let listed = Shell::new().works(&["finetune", "--presets"]);
    for part in ["randommask-emp", "RandomMask, Table 4", "train.epochs=100", "genemask-fs", "train.learning_rate=4e-4"]
    {
        assert!(listed.contains(part), "{part}: {listed}");
    }
}
