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
        // Of kept tokens the model sees more, unless whole runs are kept.
        let input_leak = |report: &serde_json::Value| report["input_leak"].as_f64().unwrap();
        assert!(input_leak(&report) > 0.2, "{set:?}: {report}");
        let span = inspect(&shell, &[set, &["mask.corruption_unit=span"]].concat());
        if !leaks {
            assert!((input_leak(&span) - 0.1).abs() < 0.001, "{set:?}: {span}");
        }
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
    let seen = shell.tatabox(&[&args[..], &["--set", "tokenizer.stride=6"]].concat());
    assert!(seen.code == 0 && seen.stdout.contains("kmer-span") && !seen.stdout.contains("pmi"), "{seen:?}");
    for part in
        ["note: left out: `pmi`, `pmi, constant`, `pmi, constant, permuted`, `pmi, position-bug`: ", "side by side"]
    {
        assert!(seen.stderr.contains(part), "{part}: {seen:?}");
    }
}

#[test]
fn masks_side_by_side_have_the_keys_of_the_recipe() {
    let shell = Shell::new();
    shell.genome();
    shell.works(&["pmi", "sim/genome.fa", "-o", "six.tsv"]);
    let smoke = recipe("smoke.toml");
    let all = |set: &[&str]| {
        let mut args = vec!["mask", "inspect", "sim/genome.fa", "--recipe", &smoke, "--all", "--step", "1", "--json"];
        args.extend(set.iter().flat_map(|assignment| ["--set", assignment]));
        shell.json(&args)
    };
    let row = |json: &serde_json::Value, name: &str| {
        let rows = json["masks"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {json}")).clone()
    };
    let plain = all(&[]);
    assert_eq!(
        (row(&plain, "random-mask")["described"].as_str(), &plain["left_out"]),
        (Some("random-mask"), &serde_json::json!([]))
    );
    let wide = all(&["mask.strategy=random-mask", "mask.schedule=fixed-wide", "mask.center_rate=0.01"]);
    let described = "random-mask (center_rate = 0.01, schedule = fixed-wide)";
    assert_eq!(row(&wide, "random-mask")["described"], described);
    assert!(row(&wide, "random-mask")["spans"]["14"].is_u64() && row(&plain, "random-mask")["spans"]["14"].is_null());
    for (name, less) in
        [("token", true), ("kmer-span", true), ("pmi", true), ("kmer-span, constant", false), ("pmi-vocab", false)]
    {
        let rate = |json| row(json, name)["mask_rate"].as_f64().unwrap();
        assert_eq!(rate(&wide) < 0.75 * rate(&plain), less, "{name}");
    }
    // Scores of 6-mers are no vocabulary.
    let scored = all(&["mask.strategy=pmi", "mask.scores=six.tsv"]);
    assert_eq!(row(&scored, "pmi, position-bug")["described"], "pmi (scores = six.tsv, selection = position-bug)");
    let left_out = &scored["left_out"];
    assert_eq!((left_out.as_array().unwrap().len(), left_out[0]["name"].as_str()), (1, Some("pmi-vocab")));
    assert!(left_out[0]["reason"].as_str().unwrap().contains("scores of 6-mers only"), "{left_out}");
}

#[test]
fn a_step_past_the_end_is_refused() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let at = |step| ["mask", "inspect", &genome, "--recipe", &smoke, "--step", step].map(str::to_string);
    let args = |step| at(step).to_vec();
    let refused = args("61");
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    shell.tatabox(&refused).fails(2, &["`--step 61` is past the end", "60 steps", "from 1 to 60", "train.steps=61"]);
    let taken = args("60");
    shell.works(&taken.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_run_says_which_masks_it_has() {
    let shell = Shell::new();
    shell.genome();
    let smoke = recipe("smoke.toml");
    let described = "pmi (permuted = true, scorer = ai21, selection = position-bug)";
    let mut set = vec!["--recipe", &smoke];
    for assignment in ["mask.strategy=pmi", "mask.permuted=true", "mask.scorer=ai21", "mask.selection=position-bug"] {
        set.extend(["--set", assignment]);
    }
    let text = shell.works(&[&["mask", "inspect", "sim/genome.fa"][..], &set].concat());
    assert!(text.contains(&format!("strategy         {described}, step 60")), "{text}");
    assert!(text.contains("input leak "), "{text}");
    let steps = ["--set", "train.steps=2", "-o", "run"];
    shell.works(&[&["pretrain", "sim/genome.fa"][..], &set, &steps].concat());
    let text = shell.works(&["inspect", "run"]);
    assert!(text.contains(&format!("{described}, 0.15 asked for")), "{text}");
    let report = String::from_utf8(shell.bytes("run/report.html")).unwrap();
    assert!(report.contains(&format!("{described}, 15.0 % asked for")));
    let seen = shell.tatabox(&["pretrain", "--resume", "run"]);
    assert!(seen.code == 0 && seen.stderr.contains("all 2 steps are done, and nothing is left to do"), "{seen:?}");
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
        (2, &["mask.strategy=pmi-vocab", "mask.scores=five.tsv"], &["five.tsv", "scores of 5-mers only", "-k 1..10"]),
        (2, &["mask.schedule=fixed-wide"], &["mask.schedule", "kmer-span", "random-mask"]),
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
