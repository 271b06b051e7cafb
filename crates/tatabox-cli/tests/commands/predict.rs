//! `tatabox predict`: tables and tracks, labels measured, stops and kills, and what cannot be asked.

use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::shell::{Shell, TATABOX, end, signal};

/// A small genome, and a model in `ft` that was fine-tuned on its promoters for one epoch.
fn tuned() -> Shell {
    let shell = Shell::new();
    shell.quick_run("run");
    shell.works(&["finetune", "run", "--data", "sim/promoters", "--set", "train.epochs=1", "-o", "ft"]);
    shell
}

fn text(shell: &Shell, name: &str) -> String {
    String::from_utf8(shell.bytes(name)).unwrap()
}

/// The cells of a table below its header.
fn cells(text: &str) -> Vec<Vec<String>> {
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn sequences_are_answered_in_their_order_and_measured_by_their_labels() {
    let shell = tuned();
    let stdout = shell.works(&["predict", "ft", "sim/promoters/test.csv", "-o", "scores.tsv"]);
    assert!(
        stdout.contains("scores.html") && stdout.contains("AUROC") && stdout.contains("taken for which"),
        "{stdout}"
    );
    let table = text(&shell, "scores.tsv");
    assert!(table.starts_with("id\tprediction\t0\t1\n"), "{table}");
    let json = shell.json(&["predict", "ft", "sim/promoters/test.csv", "-o", "again.tsv", "--json"]);
    assert_eq!(json["records"].as_u64(), Some(cells(&table).len() as u64));
    assert_eq!(
        json["assessment"],
        serde_json::from_slice::<serde_json::Value>(&shell.bytes("scores.assessment.json")).unwrap()
    );
    assert!(text(&shell, "scores.html").contains("ROC (predictions)"));
    // FASTA of the same sequences, the longest first, gets the same numbers; both strands get others.
    let rows = text(&shell, "sim/promoters/test.csv");
    let records =
        rows.lines().skip(1).enumerate().map(|(at, row)| format!(">s{at}\n{}\n", row.split(',').next().unwrap()));
    shell.write("x.fa", records.collect::<String>());
    shell.works(&["predict", "ft", "x.fa", "-o", "fasta.tsv"]);
    let numbers = |name: &str| cells(&text(&shell, name)).into_iter().map(|row| row[2..].to_vec()).collect::<Vec<_>>();
    assert_eq!(numbers("fasta.tsv"), numbers("scores.tsv"));
    assert_eq!(cells(&text(&shell, "fasta.tsv"))[3][0], "s3");
    // Through a pipe too, and no copy of it stays.
    let piped = std::fs::File::open(shell.path("x.fa")).unwrap();
    let status = shell.command(TATABOX).args(["predict", "ft", "-", "-o", "piped.tsv"]).stdin(piped).status().unwrap();
    assert!(status.success());
    assert_eq!(shell.bytes("piped.tsv"), shell.bytes("fasta.tsv"));
    assert!(!shell.path("piped.tsv.partial").exists());
    shell.works(&["predict", "ft", "x.fa", "-o", "both.tsv", "--strands", "both"]);
    assert_ne!(numbers("both.tsv"), numbers("scores.tsv"));
}

#[test]
fn windows_of_a_genome_are_a_table_and_tracks() {
    let shell = tuned();
    let predict = |output: &str, more: &[&str]| {
        let args = ["predict", "ft", "sim/genome.fa", "--windows", "300", "--step", "150", "-o", output];
        shell.works(&[&args, more].concat())
    };
    shell.write("part.bed", "chr1\t600\t3000\nchr2\t0\t1500\n");
    let regions = ["--regions", "part.bed"];
    predict("w.tsv", &regions);
    let table = cells(&text(&shell, "w.tsv"));
    assert_eq!(
        (table.len(), &table[0][..3], &table[15][..3]),
        (24, &["chr1", "600", "900"].map(String::from)[..], &["chr2", "0", "300"].map(String::from)[..])
    );
    predict("w.bedgraph", &regions);
    let graph: Vec<Vec<String>> =
        text(&shell, "w.bedgraph").lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    assert_eq!((graph.len(), graph[0][3].as_str()), (26, table[0][5].as_str()));
    let mean = (table[0][5].parse::<f64>().unwrap() + table[1][5].parse::<f64>().unwrap()) / 2.0;
    assert!((graph[1][3].parse::<f64>().unwrap() - mean).abs() < 1e-6, "{graph:?} {mean}");
    predict("w.bed", &[&regions[..], &["--class", "0", "--threshold", "0"]].concat());
    let bed = text(&shell, "w.bed");
    assert_eq!(bed.lines().count(), 24);
    let score: f64 = bed.split('\t').nth(4).unwrap().parse().unwrap();
    assert_eq!(score, (1000.0 * table[0][4].parse::<f64>().unwrap()).round());
    predict("w.bw", &regions);
    assert_eq!(shell.bytes("w.bw")[..4], 0x888F_FC26u32.to_le_bytes());
}

/// Starts a prediction, or goes on with it, and does not wait for it.
fn start(shell: &Shell) -> Child {
    let args = ["predict", "ft", "sim/genome.fa", "--windows", "300", "--step", "100", "-o", "w.tsv", "--resume"];
    shell.command(TATABOX).args(args).spawn().unwrap()
}

/// Waits until a chunk more than `before` bytes of lines is safe.
fn wait_for_a_chunk(shell: &Shell, before: u64) -> u64 {
    let (chunks, patience) = (shell.path("w.tsv.partial/chunks.txt"), Instant::now());
    loop {
        match fs::metadata(&chunks).map(|file| file.len()) {
            Ok(length) if length > before => return length,
            _ => assert!(patience.elapsed() < Duration::from_secs(120), "no chunk was written"),
        }
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_and_stopped_a_prediction_ends_with_the_same_bytes() {
    let shell = tuned();
    let last = end(start(&shell));
    assert_eq!(last.code, 0, "{last:#?}");
    let whole = shell.bytes("w.tsv");
    fs::remove_file(shell.path("w.tsv")).unwrap();
    let mut child = start(&shell);
    let first = wait_for_a_chunk(&shell, 0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!shell.path("w.tsv").exists(), "a table that is not whole");
    let seen = shell.tatabox(&["predict", "ft", "sim/genome.fa", "--windows", "300", "--step", "100", "-o", "w.tsv"]);
    seen.fails(2, &["`w.tsv.partial` holds a prediction that was not finished", "--resume"]);
    let other = ["predict", "ft", "sim/genome.fa", "--windows", "300", "--step", "50", "-o", "w.tsv", "--resume"];
    shell.tatabox(&other).fails(2, &["holds a prediction of something else: `input.step` differ"]);
    let child = start(&shell);
    wait_for_a_chunk(&shell, first);
    signal(&child, "INT");
    let stopped = end(child);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (130, ""), "{stopped:#?}");
    assert!(stopped.stderr.contains("stopped and saved: ") && stopped.stderr.contains("`--resume`"), "{stopped:#?}");
    let last = end(start(&shell));
    assert_eq!(last.code, 0, "{last:#?}");
    assert!(shell.bytes("w.tsv") == whole && !shell.path("w.tsv.partial").exists());
}

#[test]
fn what_cannot_be_asked_is_refused_before_the_work() {
    let shell = tuned();
    shell.write("good.fa", ">a\nACGTACGTACGT\n");
    shell.write("bad.fa", ">a\nACGTACGT\nACG!ACGT\n");
    shell.write("empty.fa", ">a\n>b\nACGT\n");
    shell.write("rows.csv", "id,sequence,label\na,ACGTACGTAC,1\nb,ACGTACGTAC,maybe\n");
    shell.write("blank.csv", "id,sequence\na,ACGTACGTAC\nb,\n");
    shell.write("other.bed", "chrX\t0\t500\n");
    shell.write("long.bed", "chr1\t0\t99999999\n");
    let windows = ["sim/genome.fa", "--windows", "300", "-o", "x.tsv"];
    let cases: [(&[&str], i32, &[&str]); 19] = [
        (&["good.fa", "-o", "x.xlsx"], 2, &["`--output` is `x.xlsx`", ".tsv, .csv, .bed", "--format tsv"]),
        (&["good.fa", "-o", "x.bed"], 2, &["need places on a genome", "--windows"]),
        (&["good.fa", "-o", "no/such/x.tsv"], 2, &["the folder `no/such` is not there"]),
        (&["good.fa", "-o", "x.tsv", "--step", "5"], 2, &["--windows"]),
        (&["gone.fa", "-o", "x.tsv"], 1, &["cannot read `gone.fa`", "check the path"]),
        (&["sim/promoters", "-o", "x.tsv"], 2, &["the directory `sim/promoters`", "give files"]),
        (&["-", "-o", "x.tsv"], 1, &["x.tsv.partial/stdin", "empty"]),
        (&["-", "-", "-o", "x.tsv"], 2, &["`-` twice", "give it once"]),
        (&["bad.fa", "-o", "x.tsv"], 1, &["`bad.fa`, line 3, column 4 (contig `a`)", "`!`"]),
        (&["empty.fa", "-o", "x.tsv"], 1, &["expected a sequence under `>a`", "remove the empty record"]),
        (&["blank.csv", "-o", "x.tsv"], 1, &["`blank.csv`, line 3: expected a sequence, got none"]),
        (&["rows.csv", "-o", "x.tsv", "--label-column", "label"], 1, &["line 3", "knows (0, 1), got `maybe`"]),
        (&["rows.csv", "-o", "x.tsv", "--label-column", "lable"], 2, &["`--label-column label`"]),
        (&[&windows[..], &["--regions", "other.bed"]].concat(), 1, &["no contig `chrX`; it has `chr1`"]),
        (
            &[&windows[..], &["--regions", "long.bed"]].concat(),
            1,
            &["does not lie on contig `chr1`", "another assembly"],
        ),
        (&["sim/genome.fa", "--windows", "5", "-o", "x.tsv"], 2, &["`--windows` is 5", "k-mers of 6 bases"]),
        (
            &["sim/genome.fa", "--windows", "300", "-o", "x.bw", "--class", "one"],
            2,
            &["`--class` is `one`", "knows 0, 1"],
        ),
        (&["good.fa", "-o", "x.tsv", "--class", "1"], 2, &["`--class` is `1`", "a column for each"]),
        (&[&windows[..], &["--threshold", "0.5"]].concat(), 2, &["only BED has a threshold"]),
    ];
    for (args, code, parts) in cases {
        shell.tatabox(&[&["predict", "ft"], args].concat()).fails(code, parts);
    }
    shell
        .tatabox(&["predict", "run", "good.fa", "-o", "x.tsv"])
        .fails(2, &["is no fine-tuned model", "tatabox finetune run"]);
    assert!(!shell.files().iter().any(|name| name.starts_with("x.")), "{:?}", shell.files());
}

#[test]
fn what_is_odd_is_counted_and_said() {
    let shell = tuned();
    shell.write("odd.csv", "id,sequence,label\na,ACGTACGTAC,1\na,ACG,0\nc,NNNNNNNNNN,1\nd,ACGTACGTAR,maybe\n");
    let seen = shell.tatabox(&["predict", "ft", "odd.csv", "-o", "x.tsv"]);
    assert_eq!(seen.code, 0, "{seen:#?}");
    for note in [
        "note: 1 sequences are shorter than k = 6 and have no answer",
        "note: 1 sequences hold no 6 known bases in a row and have no answer",
        "note: 2 sequences hold 11 letters other than A, C, G, T, U; they are read as N",
        "note: 1 sequences have an id that another has before them, `a` the first",
        "note: the column `label` is not used to measure: `odd.csv`, line 5 has `maybe`",
    ] {
        assert!(seen.stderr.contains(note), "{note}: {seen:#?}");
    }
    assert!(text(&shell, "x.tsv").contains("\na\tNA\tNA\tNA\nc\tNA\tNA\tNA\nd\t"));
    assert!(!shell.path("x.html").exists());
}
