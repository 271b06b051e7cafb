//! `tatabox compare`.

#[path = "../../../tatabox-core/tests/chromium/mod.rs"]
mod chromium;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::shell::{Shell, TATABOX, described, end, seen, signal, skipped};

/// A model that trains in a moment, and two arms.
const RECIPE: &str = r#"
[model]
preset = "tiny"
num_hidden_layers = 1
hidden_size = 32
intermediate_size = 64
[tokenizer]
k = 3
[data]
max_length = 48
[train]
steps = 12
batch_tokens = 256
learning_rate = 3e-3
[checkpoint]
every = 4
[evaluate]
every = 2
sequences = 12
[log]
every = 4
[arms.kmer-span]
mask.strategy = "kmer-span"
[arms.token]
mask.strategy = "token"
mask.mask_rate = 0.3
"#;

const TABLES: [&str; 6] = ["table.txt", "table.csv", "table.md", "table.tex", "compare.json", "report.html"];

/// A shell with a genome and the recipe.
fn shell() -> Shell {
    let shell = Shell::new();
    shell.genome();
    shell.write("arms.toml", RECIPE);
    shell
}

fn args<'a>(output: &'a str, seeds: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["compare", "sim/genome.fa", "--recipe", "arms.toml", "--seeds", seeds, "-o", output];
    args.extend(more);
    args
}

/// When each file below the runs was written last.
fn written(shell: &Shell, output: &str) -> BTreeMap<String, SystemTime> {
    let ours = |file: &String| file.starts_with(&format!("{output}/runs/")) && shell.path(file).is_file();
    shell
        .files()
        .into_iter()
        .filter(ours)
        .map(|file| (file.clone(), fs::metadata(shell.path(&file)).unwrap().modified().unwrap()))
        .collect()
}

fn tables(shell: &Shell, output: &str) -> Vec<Vec<u8>> {
    TABLES.map(|name| shell.bytes(&format!("{output}/{name}"))).into()
}

#[test]
fn all_runs_are_kept_and_asked_the_same_and_the_tables_say_what_they_answered() {
    let shell = shell();
    let json = shell.json(&args("cmp", "1,2,3", &["--json"]));
    assert_eq!((&json["finished"], &json["runs"], &json["runs_finished"]), (&true.into(), &6.into(), &6.into()));
    assert_eq!(json["against"], "kmer-span");
    let csv = String::from_utf8(shell.bytes("cmp/table.csv")).unwrap();
    assert!(csv.lines().next().unwrap().ends_with(",windows_p_holm,against"), "{csv}");
    assert!(csv.lines().filter(|line| line.starts_with("token,")).all(|line| line.ends_with(",kmer-span")), "{csv}");
    let described = described(&["compare"]);
    fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(inside) => {
                inside.iter().filter(|(key, _)| !key.contains('.')).for_each(|(key, value)| {
                    found.push(key.clone());
                    keys(value, found);
                })
            }
            serde_json::Value::Array(inside) => inside.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    keys(&json, &mut found);
    for key in found {
        assert!(described.contains(&format!("`{key}`")), "{key}");
    }

    let saved: serde_json::Value = serde_json::from_slice(&shell.bytes("cmp/compare.json")).unwrap();
    for (key, value) in saved.as_object().unwrap() {
        assert_eq!(*value, json[key], "{key}");
    }
    let frozen = shell.bytes("cmp/frozen.jsonl");
    for (arm, rate) in [("kmer-span", 0.14), ("token", 0.3)] {
        let of_arm = json["arms"].as_array().unwrap().iter().find(|one| one["arm"] == arm).unwrap();
        let measured = of_arm["mask_rate"]["mean"].as_f64().unwrap();
        assert!((measured - rate).abs() < 0.03, "{arm}: {measured}");
        for run in of_arm["runs"].as_array().unwrap() {
            let name = format!("cmp/{}", run["run"].as_str().unwrap());
            assert!(shell.bytes(&format!("{name}/frozen.jsonl")) == frozen, "{name} was asked other questions");
            // What the table says is what `evaluate` says of the run that was kept.
            let alone = shell.json(&["evaluate", &name, "--masks", "cmp/frozen.jsonl", "--json"]);
            let (here, there) =
                (run["scores"]["overall"]["nats_per_token"].as_f64().unwrap(), alone["loss"].as_f64().unwrap());
            assert!((here - there).abs() < 1e-9, "{name}: {here} {there}");
            let curve = run["curve"].as_array().unwrap();
            assert_eq!(
                curve.iter().map(|point| point["step"].as_u64().unwrap()).collect::<Vec<_>>(),
                [2, 4, 6, 8, 10, 12]
            );
            assert!((curve[5]["nats_per_token"].as_f64().unwrap() - here).abs() < 1e-3, "{name}");
        }
    }
    // The windows of a seed are the same in every arm: tokens of every step, and so their sum.
    let tokens = |arm: usize| json["arms"][arm]["tokens"].clone();
    assert_eq!(tokens(0), tokens(1));

    let text = String::from_utf8(shell.bytes("cmp/table.txt")).unwrap();
    for word in ["kmer-span", "token", "markov-5", "Against kmer-span", "mask.strategy", "cannot bring below 0.25"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.contains("(120,000 bases)"), "{text}");
    for (file, note) in [("table.md", "neighbours. `masked %`: the"), ("table.tex", "\\texttt{masked \\%}: the")] {
        let table = String::from_utf8(shell.bytes(&format!("cmp/{file}"))).unwrap();
        assert!(table.contains(note), "{file}: {table}");
    }
    let printed = shell.works(&args("cmp", "1,2,3", &[]));
    assert!(printed.starts_with(&text) && printed.contains("cmp/report.html"), "{printed}");
    chromium_shows(&shell.path("cmp/report.html"));
}

/// The page as headless Chromium builds it, where one is installed.
fn chromium_shows(page: &Path) {
    let Some(browser) = chromium::browser() else { return skipped("no Chromium found") };
    let dom = chromium::shown(&browser, page);
    // Curves over all masks and under each of five, wide and narrow; three thin lines an arm in the first.
    assert_eq!(dom.matches("<svg ").count(), 2 * 6, "{dom}");
    assert_eq!(dom.matches("opacity=\"0.45\"").count(), 2 * 6, "{dom}");
    assert_eq!(dom.matches("stroke-width=\"2\"").count(), 2 * 6 * 2, "{dom}");
    for heading in
        ["Held-out loss over all frozen masks", "Against kmer-span", "Held-out loss by step", "In what the arms differ"]
    {
        assert!(dom.contains(&format!("<h2>{heading}</h2>")), "{heading}: {dom}");
    }
}

fn spawn(shell: &Shell, output: &str) -> Child {
    shell.command(TATABOX).args(args(output, "1,2", &[])).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_a_comparison_ends_with_the_same_tables() {
    let shell = shell();
    let begun = Instant::now();
    shell.works(&args("whole", "1,2", &[]));
    let whole = begun.elapsed();
    for (round, fractions) in [[0.1, 0.5, 0.3, 0.2], [0.35, 0.15, 0.45, 0.25]].iter().enumerate() {
        let output = format!("killed{round}");
        for fraction in fractions {
            let mut child = spawn(&shell, &output);
            sleep(whole.mul_f64(*fraction));
            let _ = child.kill();
            child.wait().unwrap();
        }
        let last = end(spawn(&shell, &output));
        assert_eq!(last.code, 0, "{last:#?}");
        assert!(tables(&shell, &output) == tables(&shell, "whole"), "{output}");
        for run in ["kmer-span/seed-1", "token/seed-1", "kmer-span/seed-2", "token/seed-2"] {
            let model = |output: &str| shell.bytes(&format!("{output}/runs/{run}/model.safetensors"));
            assert!(model(&output) == model("whole"), "{output}: {run}");
        }
    }
}

#[test]
fn side_by_side_or_one_after_the_other_the_runs_are_the_same() {
    let shell = shell();
    let alone = shell.tatabox(&args("alone", "1,2", &["--threads", "1"]));
    assert!(alone.code == 0 && alone.stderr.contains("1, each on one thread"), "{alone:#?}");
    let beside = shell.tatabox(&args("beside", "1,2", &["--threads", "3"]));
    assert!(beside.code == 0 && beside.stderr.contains("3, each on one thread"), "{beside:#?}");
    assert!(tables(&shell, "alone") == tables(&shell, "beside"));
    for run in ["kmer-span/seed-1", "token/seed-1", "kmer-span/seed-2", "token/seed-2"] {
        let model = |output: &str| shell.bytes(&format!("{output}/runs/{run}/model.safetensors"));
        assert!(model("alone") == model("beside"), "{run}");
    }
}

#[test]
fn a_run_killed_after_its_last_checkpoint_is_shown_whole() {
    let shell = shell();
    shell.works(&args("cmp", "1", &[]));
    let before = tables(&shell, "cmp");
    let model = shell.bytes("cmp/runs/token/seed-1/model.safetensors");
    // As a kill leaves it: the checkpoint is there, what the directory shows and the answers are not.
    for file in ["token/seed-1.json", "token/seed-1/model.safetensors", "token/seed-1/report.html"] {
        fs::remove_file(shell.path("cmp/runs").join(file)).unwrap();
    }
    shell.works(&args("cmp", "1", &[]));
    assert!(shell.bytes("cmp/runs/token/seed-1/model.safetensors") == model);
    assert!(shell.path("cmp/runs/token/seed-1/report.html").is_file());
    assert!(tables(&shell, "cmp") == before);
}

#[test]
fn a_signal_stops_it_saved_and_resume_needs_no_command_line() {
    let shell = shell();
    shell.works(&args("whole", "1,2", &[]));
    let child = spawn(&shell, "stopped");
    let patience = Instant::now();
    while !shell.path("stopped/runs/token/seed-1/metrics.jsonl").exists() {
        assert!(patience.elapsed() < Duration::from_secs(120), "the second run did not begin");
        sleep(Duration::from_millis(2));
    }
    signal(&child, "INT");
    let stopped = end(child);
    // On a fast machine it may have been over before the signal came.
    if stopped.code != 0 {
        assert_eq!((stopped.code, stopped.stdout.as_str()), (130, ""), "{stopped:#?}");
        assert!(stopped.stderr.contains("go on with: tatabox compare --resume stopped"), "{stopped:#?}");
        assert!(stopped.stderr.contains("run 2 of 4: token, seed 1"), "{stopped:#?}");
    }
    let resumed = shell.tatabox(&["compare", "--resume", "stopped"]);
    assert_eq!(resumed.code, 0, "{resumed:#?}");
    assert!(tables(&shell, "stopped") == tables(&shell, "whole"));
}

#[test]
fn what_is_finished_is_not_computed_again_and_arms_and_seeds_are_added() {
    let shell = shell();
    shell.works(&args("cmp", "1", &["--only", "kmer-span"]));
    let before = written(&shell, "cmp");
    let again = shell.tatabox(&args("cmp", "1", &["--only", "kmer-span"]));
    assert!(again.code == 0 && again.stderr.contains("1 arm x 1 seed = 1 run, all finished"), "{again:#?}");
    assert_eq!(written(&shell, "cmp"), before);

    let more = ["--arm", "wide:mask.strategy=random-mask,mask.schedule=fixed-wide", "--against", "token", "--json"];
    let json = shell.json(&args("cmp", "2,1", &more));
    let now = written(&shell, "cmp");
    assert!(before.iter().all(|(file, when)| now[file] == *when), "a finished run was touched");
    let arms: Vec<&str> = json["arms"].as_array().unwrap().iter().map(|arm| arm["arm"].as_str().unwrap()).collect();
    assert_eq!((arms, &json["seeds"]), (vec!["kmer-span", "token", "wide"], &serde_json::json!([1, 2])));
    assert_eq!(json["against"], "token");
    assert_eq!(json["differences"].as_array().unwrap().len(), 2 * 6);
    // Compared with another arm, nothing is trained, and the same numbers have another sign.
    let other = shell.json(&["compare", "--resume", "cmp", "--against", "kmer-span", "--json"]);
    let difference = |json: &serde_json::Value, arm: &str| {
        let of = json["differences"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["arm"] == arm && one["mask"] == "all")
            .unwrap();
        of["nats_per_token"].as_f64().unwrap()
    };
    assert!((difference(&json, "kmer-span") + difference(&other, "token")).abs() < 1e-12);
    assert_eq!(written(&shell, "cmp"), now);
}

#[test]
fn another_recipe_or_genome_or_arm_is_never_mixed_in() {
    let shell = shell();
    shell.works(&args("cmp", "1", &[]));
    let before = (shell.files(), written(&shell, "cmp"), tables(&shell, "cmp"));
    let refused = |more: &[&str], parts: &[&str]| shell.tatabox(&args("cmp", "1", more)).fails(2, parts);
    refused(
        &["--set", "train.steps=14"],
        &["arm `kmer-span`", "`train.steps` is 12 there, and 14 here", "--resume cmp"],
    );
    refused(&["--set", "evaluate.sequences=13"], &["`evaluate.sequences` is 12 there, and 13 here"]);
    shell.write("arms.toml", RECIPE.replace("mask_rate = 0.3", "mask_rate = 0.2"));
    refused(&[], &["arm `token`", "`mask.mask_rate` is 0.3 there, and 0.2 here", "hint: "]);
    shell.write("arms.toml", RECIPE);
    shell.works(&["simulate", "--bases", "120k", "--contigs", "3", "--seed", "2", "-o", "other"]);
    shell
        .tatabox(&["compare", "other/genome.fa", "--recipe", "arms.toml", "--seeds", "1", "-o", "cmp"])
        .fails(2, &["another genome", "SHA-256", "hint: "]);
    let frozen = shell.bytes("cmp/frozen.jsonl");
    fs::write(shell.path("cmp/frozen.jsonl"), &frozen[..frozen.iter().rposition(|&byte| byte == b'{').unwrap()])
        .unwrap();
    shell.tatabox(&["compare", "--resume", "cmp"]).fails(1, &["cmp/frozen.jsonl", "SHA-256", "hint: "]);
    fs::write(shell.path("cmp/frozen.jsonl"), frozen).unwrap();
    assert_eq!(
        (
            shell.files().into_iter().filter(|file| !file.starts_with("other")).collect::<Vec<_>>(),
            written(&shell, "cmp"),
            tables(&shell, "cmp")
        ),
        before
    );
}

#[test]
fn a_wrong_command_is_refused_before_anything_is_written() {
    let shell = shell();
    let before = shell.files();
    let refused = |more: &[&str], parts: &[&str]| shell.tatabox(&args("cmp", "1,2", more)).fails(2, parts);
    refused(&["--arm", "a:mask.stategy=token"], &["arm `a`", "mask.stategy", "mask.strategy"]);
    refused(&["--arm", "a:msk.strategy=token"], &["arm `a`", "msk.strategy"]);
    refused(&["--arm", "a:mask.strategy=tokne"], &["arm `a`", "`token`"]);
    refused(&["--arm", "a:mask.strategy"], &["--arm", "key=value", "hint: "]);
    refused(&["--arm", "../a:mask.strategy=token"], &["../a", "letters, digits"]);
    refused(&["--arm", "token:mask.mask_rate=0.2"], &["two arms have the same name", "hint: "]);
    refused(&["--arm", "a:tokenizer.k=4"], &["arm `a`", "one tokenizer"]);
    refused(&["--arm", "a:data.max_length=32"], &["arm `a`", "same windows"]);
    refused(&["--against", "kmer-spam"], &["kmer-spam", "`kmer-span`"]);
    refused(&["--only", "tokn"], &["--only", "`token`"]);
    refused(&["--set", "data.holdout=none"], &["data.holdout", "held-out", "hint: "]);
    refused(&["--set", "evaluate.sequences=0"], &["evaluate.sequences", "hint: "]);
    shell.write("more.toml", "[train]\nsteps = 5\n[arms.a]\n");
    refused(&["--arms", "more.toml"], &["more.toml, line 2", "train.steps", "[arms.NAME]"]);
    refused(&["--arms", "nowhere.toml"], &["--arms nowhere.toml: there is no such file", "[arms.NAME]"]);
    refused(&["--arm", "a:"], &["--arm a:: expected keys after `:`", "`--arm a` for the common recipe"]);
    refused(&["--arm", "a:train.steps=many"], &["error: --arm a:train.steps=many, arm `a`"]);
    refused(
        &["--arm", "a:mask.strategy=pmi,mask.scores=nowhere.tsv"],
        &["`mask.scores`, arm `a`: cannot read", "nowhere.tsv", "leave `mask.scores` out"],
    );
    shell.tatabox(&args("cmp", "1,1", &[])).fails(2, &["seed 1", "twice"]);
    shell.tatabox(&args("cmp", "1..3", &[])).fails(2, &["--seeds", "1..3", "whole numbers with commas: 1,2,3"]);
    shell.tatabox(&["compare", "sim/genome.fa", "-o", "cmp"]).fails(2, &["arms", "[arms.NAME]"]);
    shell.tatabox(&["compare", "sim/genome.fa", "--arm", "a", "-o", "cmp"]).fails(2, &["train.steps", "hint: "]);
    shell.tatabox(&["compare", "--resume", "cmp"]).fails(2, &["cmp", "does not exist", "hint: "]);
    shell.tatabox(&["compare", "nowhere.fa", "--recipe", "arms.toml", "-o", "cmp"]).fails(1, &["nowhere.fa", "hint: "]);
    shell.tatabox(&args("sim", "1", &[])).fails(2, &["sim", "is not empty and holds no comparison", "hint: "]);
    // A recipe of a comparison is none of a run.
    shell
        .tatabox(&["pretrain", "sim/genome.fa", "--recipe", "arms.toml", "-o", "run"])
        .fails(2, &["arms.toml", "tatabox compare"]);
    let after: Vec<String> = shell.files().into_iter().filter(|file| file != "more.toml").collect();
    assert_eq!(after, before);
}

#[test]
fn an_arm_may_change_the_model_and_is_told_where_it_learns_from_more() {
    let shell = shell();
    let more = ["--only", "token,deep,long", "--arm", "deep:model.num_hidden_layers=2", "--arm", "long:train.steps=14"];
    let seen = seen(shell.command(TATABOX).args(args("cmp", "1", &more)));
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.stderr.contains("note: arm `long` sets train.steps"), "{seen:#?}");
    let config = String::from_utf8(shell.bytes("cmp/runs/deep/seed-1/config.json")).unwrap();
    assert!(config.contains("\"num_hidden_layers\": 2"), "{config}");
    for key in ["model.num_hidden_layers", "train.steps", "mask.mask_rate"] {
        assert!(seen.stdout.contains(key), "{key}: {seen:#?}");
    }
}
