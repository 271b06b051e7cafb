//! `tatabox demo`, with few steps: what it does is the same.

use crate::shell::Shell;

#[test]
fn the_demo_compares_two_masks_and_goes_on_where_it_was() {
    let shell = Shell::new();
    let json = shell.json(&["demo", "--steps", "4", "--json"]);
    assert_eq!(json["evaluations"].as_array().unwrap().len(), 2);
    let text = shell.works(&["demo", "--steps", "4"]);
    for word in
        ["kmer-span", "random-mask", "markov-5", "uniform", "bits a hidden base", "runs/demo/random-mask/report.html"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(shell.path("runs/demo/genome/truth.json").is_file());
    // Again: everything is there, and the table is the same.
    assert_eq!(shell.works(&["demo", "--steps", "4"]), text);
    shell.tatabox(&["demo", "--steps", "5"]).fails(2, &["has 4 steps, not 5", "--steps"]);
}

#[test]
fn the_demo_keeps_what_is_not_its_own() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("thesis")).unwrap();
    shell.write("thesis/chapter1.txt", "x");
    shell.tatabox(&["demo", "-o", "thesis"]).fails(2, &["thesis", "hint: "]);
    assert_eq!(shell.files(), ["thesis", "thesis/chapter1.txt"]);
    std::fs::create_dir(shell.path("thesis/genome")).unwrap();
    shell.write("thesis/genome/genome.fa", ">mine\nACGT\n");
    shell.tatabox(&["demo", "-o", "thesis"]).fails(2, &["thesis", "holds no demo"]);
    assert_eq!(shell.bytes("thesis/genome/genome.fa"), b">mine\nACGT\n");
}
