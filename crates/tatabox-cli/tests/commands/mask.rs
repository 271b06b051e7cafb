//! `tatabox mask inspect` for every strategy, and masks that go by scores which do not fit.

use crate::shell::{Shell, recipe};

fn inspect(shell: &Shell, set: &[&str]) -> serde_json::Value {
    let smoke = recipe("smoke.toml");
    let mut args = vec!["mask", "inspect", "sim/genome.fa", "--recipe", &smoke, "--json"];
    args.extend(set.iter().flat_map(|assignment| ["--set", assignment]));
    shell.json(&args)
}

#[test]
fn every_strategy_is_drawn_and_measured() {
    let shell = Shell::new();
    shell.genome();
    for (set, leaks) in [
        (&["mask.strategy=token"][..], true),
        (&["mask.strategy=kmer-span"], false),
        (&["mask.strategy=random-mask"], false),
        (&["mask.strategy=pmi"], false),
        (&["mask.strategy=pmi", "mask.rate=constant", "mask.permuted=true"], false),
        (&["mask.strategy=pmi", "mask.selection=position-bug", "mask.scorer=ai21"], false),
        (&["mask.strategy=pmi-vocab", "mask.scorer=genemask-release"], false),
    ] {
        let report = inspect(&shell, set);
        let sum = |key: &str| -> u64 {
            let counts = report[key].as_object().unwrap_or_else(|| panic!("{key}: {report}"));
            counts.iter().map(|(value, count)| value.parse::<u64>().unwrap() * count.as_u64().unwrap()).sum()
        };
        assert_eq!(sum("runs"), report["masked_tokens"].as_u64().unwrap(), "{set:?}");
        assert_eq!(sum("hidden_by_run"), report["hidden_bases"].as_u64().unwrap(), "{set:?}");
        assert!(sum("spans") >= sum("runs"), "{set:?}");
        assert_eq!(report["leak"].as_f64().unwrap() > 0.5, leaks, "{set:?}");
        assert!(report["drawing"].as_str().unwrap().contains('#') && report["drawn"].is_string());
        assert!((0.1..0.25).contains(&report["mask_rate"].as_f64().unwrap()), "{set:?}: {report}");
    }
}

#[test]
fn all_masks_stand_side_by_side() {
    let shell = Shell::new();
    shell.genome();
    let smoke = recipe("smoke.toml");
    let args = ["mask", "inspect", "sim/genome.fa", "--recipe", &smoke, "--all"];
    let text = shell.works(&args);
    for name in ["token", "kmer-span, constant", "random-mask", "pmi, position-bug", "pmi-vocab", "leak"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    let json = shell.json(&[&args[..], &["--json"]].concat());
    assert_eq!(json["masks"].as_array().unwrap().len(), 10);
    // Tokens side by side have no masks of overlapping ones.
    let text = shell.works(&[&args[..], &["--set", "tokenizer.stride=6"]].concat());
    assert!(text.contains("kmer-span") && !text.contains("pmi"), "{text}");
}

#[test]
fn scores_that_do_not_fit_are_refused_before_anything_is_written() {
    let shell = Shell::new();
    shell.genome();
    shell.works(&["pmi", "sim/genome.fa", "-k", "5", "-o", "five.tsv"]);
    shell.works(&["count", "sim/genome.fa", "-k", "6", "-o", "six.tsv"]);
    shell.write("torn.tsv", "kmer\tcount\nAAAAAA\t-3\n");
    let files = shell.files();
    let smoke = recipe("smoke.toml");
    for (code, set, parts) in [
        (2, &["mask.strategy=pmi", "mask.scores=five.tsv"][..], &["five.tsv", "5-mers", "6-mers", "-k 6"][..]),
        (1, &["mask.strategy=pmi-vocab", "mask.scores=six.tsv"], &["length", "-k 1..10"]),
        (2, &["mask.strategy=pmi", "mask.scores=torn.tsv"], &["`mask.scores`: ", "torn.tsv`, line 2: expected", "got"]),
        (2, &["mask.strategy=pmi", "mask.scores=nowhere.tsv"], &["`mask.scores`: cannot read ", "nowhere.tsv`"]),
        (2, &["mask.strategy=pmi", "mask.scores=\"\""], &["mask.scores=\"\": `mask.scores` is empty", "leave"]),
        (
            2,
            &["mask.strategy=pmi", "mask.scores=sim/genome.fa"],
            &["`mask.scores`: ", "sim/genome.fa` looks like a genome"],
        ),
        (2, &["mask.strategy=pmi", "mask.min_count=quartile"], &["must be a whole number", "`mask.min_count = 100`"]),
        (2, &["mask=pmi"], &["--set mask=pmi: expected a known key", "mask.strategy, mask.mask_rate"]),
        (1, &["mask.strategy=pmi", "mask.min_count=100000000"], &["100,000,000 times", "mask.min_count"]),
        (2, &["mask.strategy=pmi", "mask.scores=five.tsv", "mask.min_count=3"], &["mask.min_count", "scored already"]),
        (2, &["mask.strategy=pmi", "mask.scores=five.tsv", "mask.scorer=ai21"], &["mask.scorer", "scored already"]),
        (2, &["mask.strategy=pmi", "tokenizer.stride=6"], &["mask.strategy", "side by side", "token"]),
        (2, &["mask.strategy=pmi-vocab", "mask.permuted=true"], &["mask.permuted", "pmi-vocab"]),
        (2, &["mask.permuted=true"], &["mask.permuted", "kmer-span"]),
        (2, &["mask.strategy=pmi", "mask.selection=bug"], &["mask.selection", "position-bug"]),
    ] {
        let mut args = vec!["pretrain", "sim/genome.fa", "--recipe", &smoke, "-o", "run"];
        args.extend(set.iter().flat_map(|assignment| ["--set", assignment]));
        shell.tatabox(&args).fails(code, parts);
        assert_eq!(shell.files(), files, "{set:?}");
    }
}
