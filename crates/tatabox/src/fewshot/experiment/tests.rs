use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use tatabox_core::labelled::Example;

use super::super::design::tests::design;
use super::*;
use crate::learner::{Learner, Learnt, Lesson};
use crate::settings::Settings;
use crate::trial::Model;

/// Answers class 1 to what begins with the base that most examples of class 1 begin with; its second name is a switch to stop at a run.
struct Toy {
    name: &'static str,
    fits: &'static AtomicU32,
    stop_at: Option<(u32, &'static AtomicBool)>,
    fails: Option<fn() -> Error>,
}

struct ToyLearner {
    stop: Option<&'static AtomicBool>,
    fails: Option<fn() -> Error>,
}

impl Learner for ToyLearner {
    fn name(&self) -> &str {
        "toy"
    }

    fn learn(&mut self, lesson: &Lesson<'_>, stop: &AtomicBool) -> Result<Option<Learnt>> {
        if let Some(stop) = self.stop {
            stop.store(true, Ordering::Relaxed);
        }
        if let Some(error) = self.fails {
            return Err(error());
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut votes = [0i32; 5];
        for one in lesson.train {
            votes[one.codes[0] as usize] += if one.target.class() == Some(1) { 1 } else { -1 };
        }
        let answer = |one: &&Example| {
            let p = 0.5 + 0.4 * f64::from(votes[one.codes[0] as usize].signum());
            vec![1.0 - p, p]
        };
        let scores = lesson.test.iter().map(answer).collect();
        Ok(Some(Learnt { scores, epochs: 2, best_epoch: 2, collapsed: false }))
    }
}

impl Contestant for Toy {
    fn name(&self) -> &str {
        self.name
    }
    fn settings(&self, keys: &Settings) -> Result<serde_json::Value> {
        Ok(json!({"preset": keys.given().map(|(_, value)| value).collect::<Vec<_>>()}))
    }
    fn learner(&self, _: &Settings) -> Result<Box<dyn Learner>> {
        let number = self.fits.fetch_add(1, Ordering::Relaxed) + 1;
        let stop = self.stop_at.filter(|(at, _)| *at == number).map(|(_, stop)| stop);
        Ok(Box::new(ToyLearner { stop, fails: self.fails }))
    }
    fn bytes(&self, _: &Settings, _: &Exam<'_>) -> Result<u64> {
        Ok(1)
    }
}

fn data(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    for (part, count) in [("train", 60), ("test", 40)] {
        let mut text = String::from("sequence,label\n");
        for index in 0..count {
            let tail: String =
                (0..20).map(|base| ["A", "C", "G", "T"][(index * 7 + base * base + base * index) % 4]).collect();
            text += &format!("{}{tail},{}\n", if index % 2 == 0 { "A" } else { "G" }, index % 2);
        }
        fs::write(data.join(format!("{part}.csv")), text).unwrap();
    }
    data
}

fn tables_of(dir: &Path) -> Vec<Vec<u8>> {
    ["table.txt", "table.csv", "table.md", "table.tex", "fewshot.json", "report.html", "draws.json"]
        .map(|name| fs::read(dir.join(name)).unwrap())
        .into()
}

fn runs(dir: &Path) -> BTreeMap<PathBuf, SystemTime> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), found);
            } else {
                found.insert(entry.path(), entry.metadata().unwrap().modified().unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&dir.join("runs"), &mut found);
    found
}

/// Evaluates the two baselines and toys of these names.
fn go(design: Design, dir: &Path, toys: &[Toy], stop: &AtomicBool) -> Result<Outcome<FewShot>> {
    let make = |_: &mut [Model]| -> Result<Vec<Box<dyn Contestant>>> {
        Ok(toys
            .iter()
            .map(|toy| {
                Box::new(Toy { name: toy.name, fits: toy.fits, stop_at: toy.stop_at, fails: toy.fails })
                    as Box<dyn Contestant>
            })
            .collect())
    };
    begin(design, &Place { dir, cache: dir, contestants: &make }, &mut (), stop)
}

#[test]
fn everybody_learns_from_the_same_draws_and_the_tables_say_what_the_runs_hold() {
    static FITS: AtomicU32 = AtomicU32::new(0);
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let out = folder.path().join("few");
    let toy = Toy { name: "toy", fits: &FITS, stop_at: None, fails: None };
    let outcome = go(design(&[2, 5], 3, &data), &out, &[toy], &AtomicBool::new(false)).unwrap();
    assert_eq!((outcome.finished, outcome.runs, outcome.runs_finished), (true, 18, 18));
    let result = outcome.result.unwrap();
    assert_eq!((result.pool, result.test, result.seeds, result.against.as_str()), (60, 40, vec![0, 1, 2], "toy"));
    let names: Vec<&str> = result.learners.iter().map(|one| one.learner.as_str()).collect();
    assert_eq!(names, ["toy", "kmer-regression", "cnn"]);
    for (at, _) in result.shots.iter().enumerate() {
        let hashes = |learner: usize| -> Vec<&str> {
            result.learners[learner].by_shots[at].runs.iter().map(|run| run.train_sha256.as_str()).collect()
        };
        assert_eq!((hashes(0), hashes(0)), (hashes(1), hashes(2)));
        assert_ne!(hashes(0)[0], hashes(0)[1]);
    }
    let toy = &result.learners[0].by_shots[1];
    assert_eq!(toy.metrics[&Metric::Accuracy].summary.mean, 1.0);
    assert_eq!(fs::read_to_string(out.join("table.csv")).unwrap().lines().count(), 1 + 3 * 2 * (5 + 2 * 3));
    // The draws that were recorded are those that were learnt from.
    let draws: serde_json::Value = serde_json::from_slice(&fs::read(out.join("draws.json")).unwrap()).unwrap();
    let first = &draws["draws"][1]["draws"][2];
    assert_eq!(
        (first["sha256"].as_str().unwrap(), first["indices"].as_array().unwrap().len()),
        (toy.runs[2].train_sha256.as_str(), 10)
    );
}

#[test]
fn stopped_anywhere_and_started_again_it_ends_with_the_same_bytes_and_computes_nothing_twice() {
    static FITS: AtomicU32 = AtomicU32::new(0);
    static STOP: AtomicBool = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let whole = folder.path().join("whole");
    let toy = |stop_at| Toy { name: "toy", fits: &FITS, stop_at, fails: None };
    go(design(&[2, 5], 4, &data), &whole, &[toy(None)], &AtomicBool::new(false)).unwrap();
    let cut = folder.path().join("cut");
    for at in [1, 3, 6] {
        FITS.store(0, Ordering::Relaxed);
        STOP.store(false, Ordering::Relaxed);
        let before = runs(&cut);
        let outcome = go(design(&[2, 5], 4, &data), &cut, &[toy(Some((at, &STOP)))], &STOP).unwrap();
        assert!(!outcome.finished && outcome.runs_finished < 24, "{outcome:?}");
        let after = runs(&cut);
        assert!(before.iter().all(|(file, when)| after[file] == *when), "a finished run was made again");
        assert_eq!(after.len(), outcome.runs_finished);
    }
    let before = runs(&cut);
    let make = |_: &mut [Model]| -> Result<Vec<Box<dyn Contestant>>> { Ok(vec![Box::new(toy(None))]) };
    let place = Place { dir: &cut, cache: &cut, contestants: &make };
    let outcome = resume(&place, None, None, &mut (), &AtomicBool::new(false)).unwrap();
    assert!(outcome.finished);
    let after = runs(&cut);
    assert!(before.iter().all(|(file, when)| after[file] == *when));
    assert!(tables_of(&cut) == tables_of(&whole));
    // Compared with another, and led by another metric, nothing is fitted.
    FITS.store(0, Ordering::Relaxed);
    let other = resume(&place, Some(Metric::Auroc), Some("cnn".into()), &mut (), &AtomicBool::new(false)).unwrap();
    let other = other.result.unwrap();
    assert_eq!((other.metric, other.against.as_str(), FITS.load(Ordering::Relaxed)), (Metric::Auroc, "cnn", 0));
}

#[test]
fn a_fit_that_fails_is_told_and_everything_else_is_kept() {
    static FITS: AtomicU32 = AtomicU32::new(0);
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let out = folder.path().join("few");
    let toy = |fails| Toy { name: "toy", fits: &FITS, stop_at: None, fails };
    let gone =
        || Error::Weights { path: "model.safetensors".into(), problems: "\n  it is torn".into(), hint: String::new() };
    let error = go(design(&[2], 2, &data), &out, &[toy(Some(gone))], &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("it is torn"), "{error}");
    assert!(go(design(&[2], 2, &data), &out, &[toy(None)], &AtomicBool::new(false)).unwrap().finished);
}

#[test]
fn a_fit_that_diverges_counts_as_one_that_learnt_nothing() {
    static FITS: AtomicU32 = AtomicU32::new(0);
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let out = folder.path().join("few");
    let diverged = || Error::Diverged { step: 3, what: "loss", hint: "lower it".into() };
    let toy = Toy { name: "toy", fits: &FITS, stop_at: None, fails: Some(diverged) };
    let outcome = go(design(&[2], 3, &data), &out, &[toy], &AtomicBool::new(false)).unwrap();
    assert!(outcome.finished);
    let result = outcome.result.unwrap();
    let toys = &result.learners.iter().find(|one| one.learner == "toy").unwrap().by_shots[0];
    assert_eq!((toys.collapsed, toys.metrics[&Metric::Mcc].summary.mean), (3, 0.0));
    let text = fs::read_to_string(out.join("runs/toy/shots-2/draw-0.json")).unwrap();
    assert!(text.contains("\"epochs\":0"), "{text}");
}

#[test]
fn what_cannot_be_learnt_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let out = folder.path().join("few");
    let refused = |design: Design, parts: &[&str]| {
        let error = go(design, &out, &[], &AtomicBool::new(false)).unwrap_err();
        for part in parts {
            assert!(
                error.to_string().contains(part) || error.hint().is_some_and(|hint| hint.contains(part)),
                "{part}: {error} {:?}",
                error.hint()
            );
        }
        assert!(!out.exists());
    };
    refused(design(&[10, 31], 2, &data), &["shots", "31", "30 examples", "--shots 10"]);
    refused(design(&[200], 2, &data), &["--shots 30"]);
    refused(Design { metric: Some(Metric::Pearson), ..design(&[2], 2, &data) }, &["pearson", "--metric mcc"]);
    fs::remove_file(data.join("train.csv")).unwrap();
    fs::rename(data.join("test.csv"), data.join("dev.csv")).unwrap();
    refused(design(&[2], 2, &data), &["no train part", "--learn-from-dev"]);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "x").unwrap();
    let error = go(design(&[2], 2, &data), &out, &[], &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("not empty") && error.is_usage(), "{error}");
}

#[test]
fn changed_data_and_other_settings_are_never_mixed_in() {
    static FITS: AtomicU32 = AtomicU32::new(0);
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let out = folder.path().join("few");
    let toy = || Toy { name: "toy", fits: &FITS, stop_at: None, fails: None };
    go(design(&[2], 2, &data), &out, &[toy()], &AtomicBool::new(false)).unwrap();
    let before = tables_of(&out);
    let train = fs::read_to_string(data.join("train.csv")).unwrap();
    fs::write(data.join("train.csv"), train.replacen("A", "T", 1)).unwrap();
    let error = go(design(&[2], 2, &data), &out, &[toy()], &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("hash of the data"), "{error}");
    let make = |_: &mut [Model]| -> Result<Vec<Box<dyn Contestant>>> { Ok(vec![Box::new(toy())]) };
    let place = Place { dir: &out, cache: &out, contestants: &make };
    let error = resume(&place, None, None, &mut (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("expected the data with SHA-256"), "{error}");
    fs::write(data.join("train.csv"), train).unwrap();
    // A run made under other settings, put there by hand.
    let file = out.join("runs/cnn/shots-2/draw-0.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"epochs\":20,\"least_steps\"", "\"epochs\":21,\"least_steps\"")).unwrap();
    let error = resume(&place, None, None, &mut (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("`epochs` 20") && error.hint().unwrap().contains("remove this file"), "{error}");
    fs::remove_file(&file).unwrap();
    resume(&place, None, None, &mut (), &AtomicBool::new(false)).unwrap();
    assert!(tables_of(&out) == before);
}
