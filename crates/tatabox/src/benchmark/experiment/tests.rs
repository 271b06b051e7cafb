use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use tatabox_core::assess::Metric;

use super::*;
use crate::trial::Model;

/// Two classification sets in GUE's layout, one without a train part, and a regression.
fn data(dir: &Path) -> PathBuf {
    let root = dir.join("GUE");
    let rows = |count: usize, seed: usize, label: &dyn Fn(usize) -> String| {
        let mut text = String::from("sequence,label\n");
        for index in 0..count {
            let tail: String = (0..16)
                .map(|base| ["A", "C", "G", "T"][(index * 7 + base * base + base * (index + seed)) % 4])
                .collect();
            text += &format!("{}{tail},{}\n", if index % 2 == 0 { "AATATA" } else { "GGCGCG" }, label(index));
        }
        text
    };
    let class = |index: usize| (index % 2).to_string();
    let value = |index: usize| format!("{}.5", index % 2 + index % 3);
    for (place, parts, label) in [
        ("mouse/0", ["train", "dev", "test"].as_slice(), &class as &dyn Fn(usize) -> String),
        ("EMP/H3", &["dev", "test"], &class),
        ("EAP", &["train", "test"], &value),
    ] {
        fs::create_dir_all(root.join(place)).unwrap();
        for (seed, part) in parts.iter().enumerate() {
            fs::write(root.join(place).join(format!("{part}.csv")), rows(24, seed, label)).unwrap();
        }
    }
    root
}

fn design(root: &Path) -> Design {
    Design {
        suite: "gue".into(),
        data: root.into(),
        seeds: vec![1, 2],
        dev_share: 25,
        learn_from_dev: true,
        baselines: true,
        genome: Vec::new(),
        set: Vec::new(),
        missing: Vec::new(),
        models: Vec::new(),
        datasets: Vec::new(),
    }
}

fn nobody(_: &mut [Model]) -> Result<Vec<Box<dyn Contestant>>> {
    Ok(Vec::new())
}

fn go(design: Design, dir: &Path, stop: &AtomicBool, watcher: &mut dyn Watcher) -> Result<Outcome<Benchmark>> {
    let suite = Suite::open("gue").unwrap();
    begin(design, &suite, &Place { dir, cache: dir, contestants: &nobody }, watcher, stop)
}

fn tables_of(dir: &Path) -> Vec<Vec<u8>> {
    ["table.txt", "table.csv", "table.md", "table.tex", "benchmark.json", "report.html"]
        .map(|name| fs::read(dir.join(name)).unwrap())
        .into()
}

#[test]
fn what_is_there_is_measured_and_what_is_not_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = data(folder.path());
    let out = folder.path().join("bench");
    let outcome = go(design(&root), &out, &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!((outcome.finished, outcome.runs, outcome.runs_finished), (true, 12, 12));
    let result = outcome.result.unwrap();
    let names: Vec<&str> = result.datasets.iter().map(|one| one.dataset.as_str()).collect();
    assert_eq!((names, result.missing.len()), (vec!["EMP-H3", "TF-M-0", "EAP"], 26));
    let h3 = &result.datasets[0];
    assert_eq!(h3.records, [18, 6, 24], "a quarter of the dev part, which is learnt from, chooses");
    assert!(h3.partial.as_ref().unwrap().contains("learnt from the dev part") && h3.notes.len() == 2, "{h3:?}");
    assert_eq!((result.datasets[2].metric, result.datasets[2].outputs.len()), (Metric::Pearson, 1));
    assert!(result.datasets[1].learners[0].runs[0].interval.is_some());
    let text = fs::read_to_string(out.join("table.txt")).unwrap();
    for words in [
        "EMP: MCC, percent",
        "H3 †",
        "77.62",
        "the data has no train part",
        "EAP: Pearson, percent",
        "Not there",
        "SSP",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

/// Sets the flag after so many runs.
struct Stopper<'a>(usize, &'a AtomicBool);

impl Watcher for Stopper<'_> {
    fn ended(&mut self, _: usize, _: &str) {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn stopped_anywhere_and_resumed_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let root = data(folder.path());
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    go(design(&root), &whole, &AtomicBool::new(false), &mut ()).unwrap();
    let stop = AtomicBool::new(false);
    let outcome = go(design(&root), &cut, &stop, &mut Stopper(1, &stop)).unwrap();
    assert!(!outcome.finished && outcome.runs_finished < 12, "{outcome:?}");
    let stop = AtomicBool::new(false);
    let place = Place { dir: &cut, cache: &cut, contestants: &nobody };
    resume(&place, &mut Stopper(3, &stop), &stop).unwrap();
    let outcome = resume(&place, &mut (), &AtomicBool::new(false)).unwrap();
    assert!(outcome.finished);
    assert!(tables_of(&cut) == tables_of(&whole));
    // One more seed is added, nothing else may change.
    let more = Design { seeds: vec![3], ..design(&root) };
    let outcome = go(more, &cut, &AtomicBool::new(false), &mut ()).unwrap();
    assert_eq!((outcome.runs, outcome.result.unwrap().seeds), (18, vec![1, 2, 3]));
    let error = go(Design { dev_share: 10, ..design(&root) }, &cut, &AtomicBool::new(false), &mut ()).unwrap_err();
    assert!(error.to_string().contains("`--dev-share` is 25 there, and 10 here") && error.is_usage(), "{error}");
    let test = root.join("mouse/0/test.csv");
    fs::write(&test, fs::read_to_string(&test).unwrap().replacen("AATATA", "AATATT", 1)).unwrap();
    fs::remove_file(cut.join("runs/TF-M-0/cnn/seed-1.json")).unwrap();
    let error = resume(&place, &mut (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("mouse/0") && error.to_string().contains("SHA-256"), "{error}");
}

#[test]
fn a_part_that_is_not_there_is_never_replaced_silently() {
    let folder = tempfile::tempdir().unwrap();
    let root = data(folder.path());
    let out = folder.path().join("bench");
    let error =
        go(Design { learn_from_dev: false, ..design(&root) }, &out, &AtomicBool::new(false), &mut ()).unwrap_err();
    assert!(
        error.to_string().contains("data set EMP-H3") && error.hint().unwrap().contains("--learn-from-dev"),
        "{error}"
    );
    fs::remove_file(root.join("mouse/0/test.csv")).unwrap();
    let error = go(design(&root), &out, &AtomicBool::new(false), &mut ()).unwrap_err();
    assert!(error.to_string().contains("data set TF-M-0: the data has no test part"), "{error}");
    let error =
        go(design(folder.path().join("nowhere").as_path()), &out, &AtomicBool::new(false), &mut ()).unwrap_err();
    assert!(error.to_string().contains("no data set of suite gue") && error.hint().is_some(), "{error}");
    assert!(!out.exists());
}
