//! `tatabox bench step`.

use crate::shell::Shell;

const SMALL: [&str; 12] =
    ["bench", "step", "--model", "tiny", "--seq", "64", "--batch", "2", "--steps", "2", "--precision", "f32"];

#[test]
fn bench_step_prints_its_speed_and_a_profile() {
    let text = Shell::new().works(&SMALL);
    for word in ["tokens/s", "FLOP/s", "% of the", "forward ms", "attention"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn bench_step_json_has_the_documented_keys() {
    let json = Shell::new().json(&[&SMALL[..], &["--json"]].concat());
    for key in ["tokens_per_second", "gflops", "matrix_gflops", "share_of_matrix_rate", "loss", "step_seconds_median"] {
        assert!(json[key].as_f64().is_some_and(|number| number > 0.0), "{key}: {json}");
    }
    assert!(!json["profile"].as_array().unwrap().is_empty());
}

#[test]
fn bench_step_refuses_what_it_cannot_time() {
    let shell = Shell::new();
    shell.tatabox(&["bench", "step", "--model", "bert-maxi"]).fails(2, &["bert-maxi", "bert-mini", "hint: "]);
    shell.tatabox(&["bench", "step", "--seq", "3"]).fails(2, &["--seq"]);
    shell.tatabox(&["bench", "step", "--batch", "0"]).fails(2, &["--batch"]);
}
