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
fn every_link_between_the_pages_leads_to_a_file() {
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !link.contains("://") {
                assert!(path.parent().unwrap().join(file).exists(), "{}: {link}", path.display());
            }
        }
    }
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

#[test]
fn every_key_of_a_run_is_in_the_reference() {
    let shell = Shell::new();
    shell.quick_run("run");
    let reference = fs::read_to_string(project().join("docs/reference/recipe.md")).unwrap();
    let mut section = String::new();
    let config = String::from_utf8(shell.bytes("run/config.toml")).unwrap();
    let mut keys = 0;
    for line in config.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_string() + ".";
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(reference.contains(&format!("`{section}{key}`")), "{section}{key}");
            keys += 1;
        }
    }
    assert!(keys > 30, "{config}");
}

#[test]
fn every_key_of_a_json_object_is_in_the_reference() {
    let shell = Shell::new();
    shell.quick_run("run");
    let reference = fs::read_to_string(project().join("docs/reference/json.md")).unwrap();
    let freeze = [
        "mask",
        "freeze",
        "sim/genome.fa",
        "--sequences",
        "5",
        "--set",
        "data.max_length=64",
        "-o",
        "frozen.jsonl",
        "--json",
    ];
    let bench = ["bench", "step", "--model", "tiny", "--seq", "32", "--batch", "1", "--steps", "1", "--json"];
    for args in [
        &["inspect", "run", "--json"][..],
        &freeze,
        &["evaluate", "run", "--masks", "frozen.jsonl", "--json"],
        &["mask", "inspect", "sim/genome.fa", "--sequences", "5", "--json"],
        &["simulate", "--bases", "100k", "--contigs", "2", "-o", "again", "--json"],
        &bench,
        &["count", "sim/genome.fa", "-o", "counts.tsv", "--json"],
        &["pmi", "counts.tsv", "-o", "pmi.tsv", "--json"],
        &["pmi", "rank", "TATAAA", "--scores", "pmi.tsv", "--json"],
        &["pmi", "compare", "pmi.tsv", "pmi.tsv", "--json"],
        &["data", "card", "sim/promoters", "--json"],
        &["data", "audit", "sim/promoters", "--json"],
        &["data", "intervals", "sim/promoters", "-o", "tables", "--json"],
    ] {
        for key in shell.json(args).as_object().unwrap().keys() {
            assert!(reference.contains(&format!("`{key}`")), "{}: {key}", args.join(" "));
        }
    }
}
