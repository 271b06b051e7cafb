//! The book and the README: their commands run, their links lead somewhere.
//!
//! A block of shell commands is run if the line before it is `<!-- run -->`. The blocks of one page run one after the other in one directory, beside
//! the project's `recipes/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{Shell, project, seen};

fn pages() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![project().join("README.md")];
    walk(&project().join("docs"), &mut found);
    found.sort();
    found
}

/// The marked blocks of a page, each with the line it begins on.
fn commands(page: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = page.lines().collect();
    let starts =
        lines.windows(2).enumerate().filter(|(_, pair)| pair[0].trim() == "<!-- run -->").map(|(at, _)| at + 1);
    starts
        .map(|start| {
            assert_eq!(lines[start].trim(), "```sh", "line {}: a mark without a block of commands", start + 1);
            let block: Vec<&str> = lines[start + 1..].iter().take_while(|line| line.trim() != "```").copied().collect();
            (start + 2, block.join("\n"))
        })
        .collect()
}

/// Runs all marked blocks of a page; gives how many there were.
fn run_page(path: &Path) -> usize {
    let blocks = commands(&fs::read_to_string(path).unwrap());
    if blocks.is_empty() {
        return 0;
    }
    let shell = Shell::new();
    std::os::unix::fs::symlink(project().join("recipes"), shell.path("recipes")).unwrap();
    for (line, block) in &blocks {
        let seen = seen(shell.command("sh").args(["-eu", "-c", block]));
        assert_eq!(seen.code, 0, "{}, line {line}:\n{block}\n{seen:#?}", path.display());
    }
    blocks.len()
}

#[test]
fn every_command_of_the_book_and_the_readme_works() {
    let run: usize = pages().iter().map(|page| run_page(page)).sum();
    assert!(run >= 6, "only {run} blocks are marked");
}

#[test]
fn every_link_between_the_pages_leads_to_a_file_and_to_a_heading_in_it() {
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if let Some(anchor) = anchor {
                let page = fs::read_to_string(&target).unwrap();
                assert!(anchors(&page).any(|one| one == anchor), "{}: {link}", path.display());
            }
        }
    }
}

/// What mdBook and GitHub call the headings of a page.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| {
        let kept = heading.chars().filter(|one| one.is_alphanumeric() || [' ', '-', '_'].contains(one));
        kept.map(|one| if one == ' ' { '-' } else { one.to_ascii_lowercase() }).collect()
    })
}

#[test]
fn every_page_is_in_the_summary_and_every_dependency_has_its_reason() {
    let docs = project().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    for page in
        pages().iter().filter_map(|page| page.strip_prefix(&docs).ok()).filter(|page| *page != Path::new("SUMMARY.md"))
    {
        assert!(summary.contains(&format!("({})", page.display())), "{}", page.display());
    }
    let reasons = fs::read_to_string(docs.join("dependencies.md")).unwrap();
    let rows = reasons.lines().filter(|line| line.starts_with('|')).skip(2);
    let explained: BTreeSet<&str> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split(',')).map(str::trim).collect();
    let manifests: Vec<String> = manifests().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(explained, manifests.iter().flat_map(|manifest| dependencies(manifest)).collect());
}

/// All manifests: the workspace's, those of its crates, and that of the fuzz targets.
fn manifests() -> Vec<PathBuf> {
    let crates = fs::read_dir(project().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let folders = crates.chain(["", "benches", "fuzz"].map(|name| project().join(name)));
    folders.map(|folder| folder.join("Cargo.toml")).collect()
}

/// The crates that a manifest names under any kind of dependencies, the project's own left out.
fn dependencies(manifest: &str) -> Vec<&str> {
    let sections = manifest.split("\n[").filter_map(|section| section.split_once("]\n"));
    let lines = sections.filter(|(name, _)| name.ends_with("dependencies")).flat_map(|(_, lines)| lines.lines());
    let names = lines.filter_map(|line| line.split_once('=')).map(|(key, _)| key.split('.').next().unwrap().trim());
    names.filter(|name| !name.starts_with("tatabox")).collect()
}

/// The keys that the tables of a page explain: what stands in their first column.
fn explained(page: &str) -> BTreeSet<String> {
    let page = fs::read_to_string(project().join("docs/reference").join(page)).unwrap();
    let tables = page.split("\n\n").filter(|block| block.starts_with("| key |"));
    let rows = tables.flat_map(|table| table.lines().skip(2)).map(|row| row.split('|').nth(1).unwrap());
    rows.flat_map(|cell| cell.split(',').map(|key| key.trim().trim_matches('`').to_string())).collect()
}

/// The keys of a TOML file as we write them: a value a line.
fn keys(toml: &[u8]) -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in std::str::from_utf8(toml).unwrap().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_string() + ".";
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.insert(format!("{section}{key}"));
        }
    }
    keys
}

/// Asserts that a command takes each of these keys: it refuses a value that none can have, not the key.
fn takes(shell: &Shell, command: &[&str], keys: impl Iterator<Item = String>) {
    for key in keys {
        let set = format!("{key}=[[]]");
        shell.tatabox(&[command, &["--set", &set]].concat()).fails(2, &[&format!("`{key}` is [[]]")]);
    }
}

#[test]
fn the_reference_names_every_key_of_a_run_and_no_other() {
    let shell = Shell::new();
    shell.quick_run("run");
    let (explained, used) = (explained("recipe.md"), keys(&shell.bytes("run/config.toml")));
    assert!(used.is_subset(&explained), "{:?}", used.difference(&explained));
    // What only other masks have, or what stands for another key.
    takes(&shell, &["pretrain", "sim/genome.fa", "-o", "other"], explained.difference(&used).cloned());
}

#[test]
fn the_reference_names_every_key_of_a_fine_tuning_and_no_other() {
    let shell = Shell::new();
    shell.quick_run("run");
    let finetune = ["finetune", "run", "--data", "sim/promoters", "-o", "tuned"];
    let short = ["--set", "train.max_steps=1", "--set", "train.batch_size=2", "--set", "data.max_length=16"];
    shell.works(&[&finetune[..], &short].concat());
    let used = keys(&shell.bytes("tuned/finetune.toml"));
    let mut used: BTreeSet<String> =
        used.iter().filter_map(|key| key.strip_prefix("config.")).map(String::from).collect();
    for models_own in ["kind", "k", "dnabert_compat"] {
        assert!(used.remove(&format!("tokenizer.{models_own}")));
    }
    let explained = explained("finetune-keys.md");
    assert!(used.is_subset(&explained), "{:?}", used.difference(&explained));
    takes(&shell, &[&finetune[..5], &["other"]].concat(), explained.difference(&used).cloned());
}
