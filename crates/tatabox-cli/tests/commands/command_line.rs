//! The command line itself: what is refused, what goes where.

use std::io::Read;
use std::process::Stdio;

use crate::shell::{Shell, TATABOX};

#[test]
fn without_a_verb_the_help_is_shown_and_the_exit_code_is_two() {
    let seen = Shell::new().tatabox(&[]);
    assert_eq!((seen.code, seen.stdout.as_str()), (2, ""));
    for verb in [
        "pretrain",
        "evaluate",
        "finetune",
        "predict",
        "fewshot",
        "benchmark",
        "compare",
        "mask",
        "count",
        "pmi",
        "data",
        "inspect",
        "simulate",
        "bench",
        "devices",
        "demo",
    ] {
        assert!(seen.stderr.contains(&format!("  {verb} ")), "{verb}: {}", seen.stderr);
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let shell = Shell::new();
    assert!(shell.works(&["--help"]).contains("Exit code: 0 done, 1 the work failed, 2"));
    assert_eq!(shell.works(&["--version"]), format!("tatabox {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_mistyped_verb_is_answered_with_the_nearest() {
    Shell::new().tatabox(&["pretrian"]).fails(2, &["pretrian", "pretrain"]);
}

#[test]
fn a_mistyped_option_is_answered_with_the_nearest() {
    Shell::new().tatabox(&["simulate", "-o", "x", "--sed", "1"]).fails(2, &["--sed", "--seed"]);
}

#[test]
fn zero_threads_are_refused() {
    Shell::new().tatabox(&["simulate", "-o", "x", "--threads", "0"]).fails(2, &["--threads"]);
}

#[test]
fn stderr_has_no_colour_where_it_is_no_terminal() {
    let seen = Shell::new().tatabox(&["simulate", "-o", "x", "--bases", "5"]);
    assert!(!seen.stderr.contains('\x1b'), "{seen:#?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let shell = Shell::new();
    let mut child = shell
        .command(TATABOX)
        .args(["simulate", "--bases", "120k", "--contigs", "3", "-o", "sim"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}
