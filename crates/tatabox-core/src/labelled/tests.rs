use super::*;
use crate::genome::Genome;
use crate::seq::Sequence;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use std::path::Path;

/// A folder with these files; those that end in `.gz` are packed.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::File::create(&path).unwrap();
        if name.ends_with(".gz") {
            let mut packed = GzEncoder::new(file, Compression::fast());
            packed.write_all(text.as_bytes()).unwrap();
            packed.finish().unwrap();
        } else {
            file.write_all(text.as_bytes()).unwrap();
        }
    }
    folder
}

fn with(files: &[(&str, &str)], options: &ReadOptions) -> crate::Result<Labelled> {
    let folder = folder(files);
    read(&[folder.path().to_path_buf()], options)
}

fn of(files: &[(&str, &str)]) -> Labelled {
    with(files, &ReadOptions::default()).unwrap()
}

#[track_caller]
fn refused(files: &[(&str, &str)], options: &ReadOptions, part: &str) {
    let error = with(files, options).unwrap_err();
    assert!(error.to_string().contains(part), "{error} (hint: {:?})", error.hint());
}

/// Sequence and label of each example of a part.
fn rows(data: &Labelled, split: SplitName) -> Vec<(String, String)> {
    let text = |codes: &Vec<u8>| Sequence { codes: codes.clone() }.to_string();
    data.split(split).unwrap().examples.iter().map(|one| (text(&one.codes), data.label(&one.target))).collect()
}

fn row(sequence: &str, label: &str) -> (String, String) {
    (sequence.into(), label.into())
}

fn problem<'a>(data: &'a Labelled, id: &str) -> &'a Problem {
    data.problems.iter().find(|problem| problem.id == id).unwrap_or_else(|| panic!("no {id}: {:?}", data.problems))
}

#[test]
fn gue_folders_have_three_parts_and_whole_numbers_as_classes() {
    let data = of(&[
        ("train.csv.gz", "sequence,label\nACGT,1\nGGTT,0\n"),
        ("dev.csv", "sequence,label\nACGA,0\n"),
        ("test.csv", "sequence,label\nacgN,1\nTTTT,0"),
    ]);
    assert_eq!((data.task, data.id2label.join(" "), data.pairs()), (Task::Binary, "0 1".into(), false));
    assert_eq!(rows(&data, SplitName::Train), [row("ACGT", "1"), row("GGTT", "0")]);
    assert_eq!(rows(&data, SplitName::Test), [row("ACGN", "1"), row("TTTT", "0")]);
    assert_eq!(problem(&data, "unknown-bases").count, 1);
    assert_eq!(problem(&data, "unmeasured-label").severity, Severity::Warning);
    assert_eq!(data.files.len(), 3);
}

#[test]
fn spaced_kmers_with_quoted_headers_are_undone() {
    let data = of(&[("train.tsv", "\"sequence\"\t\"label\"\n\"ACGTA CGTAG\"\t\"2\"\nACG CGT\t0\nTTT TTA\t1\n")]);
    assert_eq!(rows(&data, SplitName::Train), [row("ACGTAG", "2"), row("ACGT", "0"), row("TTTA", "1")]);
    assert_eq!((data.task, data.id2label.len()), (Task::MultiClass, 3));
}

#[test]
fn pairs_words_and_several_labels_are_understood() {
    let data = of(&[("train.csv", "sequence1,sequence2,label\nACGT,TTTT,same\nAC,GG,other\n")]);
    assert!(data.pairs());
    assert_eq!(data.id2label, ["other", "same"]);
    let data = of(&[("x.csv", "sequence,label\nACGT,liver;brain\nACGA,\nACGG,skin\n")]);
    assert_eq!((data.task, data.id2label.join(" ")), (Task::MultiLabel, "brain liver skin".into()));
    assert_eq!(data.split(SplitName::All).unwrap().examples[0].target, Target::Labels(vec![true, true, false]));
    let flags = ReadOptions { label_columns: vec!["a".into(), "b".into()], ..ReadOptions::default() };
    let data = with(&[("x.csv", "sequence,a,b\nACGT,0,1\nACGA,1,1\n")], &flags).unwrap();
    assert_eq!((data.task, data.id2label.join(" ")), (Task::MultiLabel, "a b".into()));
    let data = of(&[(
        "x.jsonl",
        "{\"sequence\": \"ACGT\", \"label\": [0.5, -1]}\n{\"sequence\": \"ACGA\", \"label\": [2, 3]}\n",
    )]);
    assert_eq!((data.task, data.targets.len()), (Task::Regression, 2));
}

#[test]
fn parquet_is_read_as_any_table() {
    let of = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        read(&[path], &ReadOptions { label_columns: columns(name), ..ReadOptions::default() })
    };
    fn columns(name: &str) -> Vec<String> {
        if name == "zstd.parquet" { vec!["liver".into(), "brain".into()] } else { Vec::new() }
    }
    let data = of("snappy.parquet").unwrap();
    assert_eq!((data.task, rows(&data, SplitName::All)[1].clone()), (Task::Binary, row("GGTTACGTNN", "0")));
    let data = of("zstd.parquet").unwrap();
    let all: Vec<&Target> = data.examples().map(|one| &one.target).collect();
    assert_eq!((data.task, all[2]), (Task::MultiLabel, &Target::Labels(vec![true, true])));
    assert_eq!(data.examples().nth(3).unwrap().id, "d");
    let data = of("lists.parquet").unwrap();
    assert_eq!(
        (data.task, &data.examples().next().unwrap().target),
        (Task::Regression, &Target::Values(vec![0.5, -1.25]))
    );
    let error = of("null.parquet").unwrap_err().to_string();
    assert!(error.ends_with("line 4: expected a label, got nothing"), "{error}");
}

#[test]
fn deepstarr_rows_stand_in_the_order_of_the_fasta() {
    let files = [
        ("Sequences_Train.fa", ">chr2R_1_5_+_positive_peaks\nAC\nGT\n>chr2R_7_9_-_negative\nTTTT\n"),
        (
            "Sequences_activity_Train.txt",
            "Dev_log2_enrichment\tHk_log2_enrichment\tDev_log2_enrichment_scaled\n1.5\t-0.25\t9\n0\t2\t9\n",
        ),
        ("Sequences_Test.fa", ">a\nGGGG\n"),
        (
            "Sequences_activity_Test.txt",
            "Dev_log2_enrichment\tHk_log2_enrichment\tDev_log2_enrichment_scaled\n1\t1\t9\n",
        ),
    ];
    let data = of(&files);
    assert_eq!(
        (data.task, data.targets.join(" ")),
        (Task::Regression, "Dev_log2_enrichment Hk_log2_enrichment".into())
    );
    assert_eq!(rows(&data, SplitName::Train), [row("ACGT", "1.5;-0.25"), row("TTTT", "0;2")]);
    let torn = [files[0], ("Sequences_activity_Train.txt", "Dev_log2_enrichment\tHk_log2_enrichment\n1\t2\n")];
    refused(&torn, &ReadOptions::default(), "expected 2 rows, one a sequence");
}

#[test]
fn classes_come_from_headers_files_or_folders() {
    let data = of(&[("x.fa", ">a|1|training\nACGT\n>b|0|testing\nACGA\n>c|0|training\nGG\n")]);
    assert_eq!(rows(&data, SplitName::Test), [row("ACGA", "0")]);
    let data = of(&[
        ("enhancer.cv.fa", ">Chr1_5_9\nACGT\n"),
        ("non.cv.fa", ">Chr2_5_9\nGGGG\n"),
        ("non.ind.fa", ">x\nGGGA\n"),
    ]);
    assert_eq!(rows(&data, SplitName::Train), [row("ACGT", "enhancer"), row("GGGG", "non")]);
    assert_eq!(rows(&data, SplitName::Test), [row("GGGA", "non")]);
    let many: Vec<(String, &str)> =
        (0..30).map(|at| (format!("train/{}/{at}.txt", ["pos", "neg"][at % 2]), "ACGTACGT")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let data = of(&many);
    assert_eq!((data.id2label.join(" "), data.examples().count(), data.files.len()), ("neg pos".into(), 30, 2));
    assert!(data.files[0].path.ends_with("neg (15 files)"));
    let data = of(&[("data.csv", "+,S10,\ttactagcaatacg\n-,S11,tactagcaatacc\n-,S12,tactagcaatacc\n")]);
    assert_eq!((data.id2label.join(" "), data.examples().next().unwrap().id.as_str()), ("+ -".into(), "S10"));
}

#[test]
fn intervals_take_their_bases_from_the_genome() {
    let genome = folder(&[("g.fa", ">chr1\nAACCGGTACG\n")]);
    let genome = Genome::open(&[genome.path().join("g.fa")], genome.path()).unwrap();
    let options = ReadOptions { genome: Some(genome), ..ReadOptions::default() };
    let table = "id,region,start,end,strand\n0,chr1,0,4,+\n";
    let minus = "id,region,start,end,strand\n0,chr1,0,4,-\n";
    let data = with(&[("train/positive.csv.gz", table), ("train/negative.csv.gz", minus)], &options).unwrap();
    assert_eq!(rows(&data, SplitName::Train), [row("GGTT", "negative"), row("AACC", "positive")]);
    let data = with(&[("peaks.bed", "chr1\t0\t4\n"), ("others.bed", "chr1\t2\t6\n")], &options).unwrap();
    assert_eq!(rows(&data, SplitName::All), [row("CCGG", "others"), row("AACC", "peaks")]);
    refused(&[("train/positive.csv", table)], &ReadOptions::default(), "holds intervals and no sequences");
    refused(&[("a.bed", "chr9\t0\t4\n"), ("b.bed", "chr1\t0\t4\n")], &options, "no contig `chr9`; it has `chr1`");
    refused(&[("a.bed", "chr1\t8\t12\n"), ("b.bed", "chr1\t0\t4\n")], &options, "does not lie on contig `chr1`");
}

#[test]
fn bad_input_is_named_with_its_line() {
    let sniffed = ReadOptions::default();
    let asked = |task| ReadOptions { task: Some(task), ..ReadOptions::default() };
    for (text, options, part) in [
        (
            "sequence,value,note\nACGT,1,x\n",
            &sniffed,
            "expected labels (a column `label`, `class`, `target`…), got sequences alone",
        ),
        ("bases,label\nAC,1\n", &sniffed, "labels alone"),
        ("name,note\na,b\n", &sniffed, "labels alone"),
        (
            "sequence,label\nACGT,1\nAEGT,0\n",
            &sniffed,
            "line 3: expected nucleotides (A, C, G, T, U, N or another IUPAC code), got `E` at position 2",
        ),
        ("sequence,label\nACGT,1\n,0\n", &sniffed, "line 3: expected a sequence, got none"),
        ("sequence,label\nACGT,1\nACGA,\n", &sniffed, "line 3: expected a label, got nothing"),
        ("sequence,label\nACGT,1\nACGA,NaN\n", &sniffed, "line 3: expected a label or a number, got `NaN`"),
        ("sequence,label\nACGT,0.5\nACGA,inf\n", &sniffed, "line 3: expected a label or a number, got `inf`"),
        (
            "sequence,label\nACGT,1\nACGA,0.53\n",
            &asked(Task::Binary),
            "line 3: expected a class (the task is binary), got `0.53`",
        ),
        (
            "sequence,label\nACGT,1\nACGA,x\n",
            &asked(Task::Regression),
            "line 3: expected a number (the task is regression), got `x`",
        ),
        ("sequence,label\nA,1\nC,2\nG,3\n", &asked(Task::Binary), "there are 3 classes: `1`, `2`, `3`"),
        (
            "sequence,label\nA,1;2\n",
            &asked(Task::MultiClass),
            "expected one class (the task is multi-class), got 2 labels",
        ),
        (
            "sequence,label\nACGT CGTA GTAC TTTT TTTA,1\n",
            &sniffed,
            "line 2: expected k-mers that overlap by all letters but one, got `GTAC` and then `TTTT`",
        ),
        ("sequence,label,split\nACGT,1,tset\n", &sniffed, "line 2: expected train, dev or test, got `tset`"),
        ("PAR1\u{15}\u{4}", &sniffed, "expected whole Parquet data"),
    ] {
        refused(&[("train.csv", text)], options, part);
    }
    refused(&[], &sniffed, "there is no labelled data in");
    refused(&[("train.fa", ">a\nACGT\n>b\nACGA\n")], &sniffed, "got sequences alone");
}

#[test]
fn what_is_odd_is_counted() {
    let data = of(&[
        ("train.csv", "id,sequence,label\na,ACGU,0\n\na,ACGT,0\n"),
        ("test.csv", "id,sequence,label\nb,ACGT,1\n"),
        ("notes.csv", "id,sequence,label\nb,ACGT,1\n"),
    ]);
    for (id, count) in
        [("unseen-label", 1), ("blank-rows", 1), ("mixed-alphabets", 1), ("duplicate-ids", 1), ("files-left-out", 1)]
    {
        assert_eq!(problem(&data, id).count, count, "{id}");
    }
    assert_eq!(problem(&data, "unseen-label").what, "label `1` has 1 records in test and none in train");
    assert_eq!(
        problem(&of(&[("train.csv", "sequence,label\nACGU,0\nACGA,0\n")]), "one-class").severity,
        Severity::Serious
    );
    assert_eq!(Problem::shorter_than(&data, 5).unwrap().count, 3);
    assert!(Problem::shorter_than(&data, 4).is_none());
}

#[test]
fn what_is_written_is_read_again_with_the_same_hashes() {
    let data = of(&[("train.csv", "sequence,label\nACGT,\"a,b\"\nGGTN,c\n"), ("test.csv", "sequence,label\nTTT,c\n")]);
    let folder = tempfile::tempdir().unwrap();
    let card = write(&data, folder.path(), None).unwrap();
    let again = read(&[folder.path().to_path_buf()], &ReadOptions::default()).unwrap();
    // printf 'ACGT\ta,b\nGGTN\tc\n' | sha256sum
    assert_eq!(card.splits[0].sha256, "01efab18485fcb779f161042e75b4e63ea6164a904098e35c7f46eb111e27444");
    let hashes = |card: &Card| card.splits.iter().map(|split| split.sha256.clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&card), hashes(&Card::of(&again, None)));
    let stored: Card = serde_json::from_slice(&std::fs::read(folder.path().join("dataset.json")).unwrap()).unwrap();
    assert_eq!(stored, card);
    assert!(write(&data, folder.path(), None).unwrap_err().to_string().contains("already holds a data set"));
}

#[test]
fn what_is_written_keeps_places_and_groups() {
    let table = "id,sequence,label,group,region,start,end,strand\n\
                 a,ACGT,1,g,chr1,5,9,-\nb,ACGA,0,g,chr1,6,10,+\nc,GGGT,0,h,chr2,0,4,+\n";
    let data = of(&[("train.csv", table)]);
    let folder = tempfile::tempdir().unwrap();
    write(&data, folder.path(), None).unwrap();
    let again = read(&[folder.path().to_path_buf()], &ReadOptions::default()).unwrap();
    assert_eq!(again.splits[0].examples, data.splits[0].examples);
    assert_eq!(again.splits[0].examples[1].group.as_deref(), Some("g"));
    // A table that was changed afterwards does not fit its places.
    for (text, part) in [
        ("sequence,label\nACGT,1\nACGA,0\n", "line 4: expected a row of the table"),
        ("sequence,label\nACGT,1\nACGA,0\nGG,0\n", "line 4: expected a place of 2 bases"),
        ("sequence,label\nACGT,1\nACGA,1\nGGGT,0\n", "line 3: expected label `1`"),
    ] {
        std::fs::write(folder.path().join("train.csv"), text).unwrap();
        let error = read(&[folder.path().to_path_buf()], &ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains(part) && error.hint().unwrap().contains("origins.tsv"), "{error}");
    }
}

#[test]
fn a_column_of_parts_wins_over_the_name_of_the_file() {
    let data = of(&[("test_promoters.csv", "sequence,label,split\nACGT,1,train\nACGA,0,train\nGGGT,0,test\n")]);
    assert_eq!([SplitName::Train, SplitName::Test].map(|name| rows(&data, name).len()), [2, 1]);
}

#[test]
fn two_data_sets_in_one_folder_are_no_data_set() {
    let table = "sequence,label\nACGT,1\nACGA,0\n";
    let files = [("H3/train.csv", table), ("H3/test.csv", table), ("H4/train.csv", table), ("H4/test.csv", table)];
    refused(&files, &ReadOptions::default(), "are both labelled and of part");
    let both = folder(&files);
    let given = ["H3", "H4"].map(|name| both.path().join(name));
    assert_eq!(rows(&read(&given, &ReadOptions::default()).unwrap(), SplitName::Train).len(), 4);
    let parts = of(&[("train/data.csv", table), ("test/data.csv", table)]);
    assert_eq!(parts.splits.len(), 2);
}

#[test]
fn spellings_of_one_number_are_one_class() {
    let data = of(&[
        ("train.csv", "sequence,label\nACGT,1\nACGA,0\n"),
        ("test.csv", "sequence,label\nACGT,1.0\nACGA,0.0\nACGC,-0\n"),
    ]);
    assert_eq!((data.task, &data.id2label), (Task::Binary, &vec!["0".to_string(), "1".to_string()]));
    let labels: Vec<String> = rows(&data, SplitName::Test).into_iter().map(|row| row.1).collect();
    assert_eq!(labels, ["1", "0", "0"]);
}

#[test]
fn a_word_among_numbers_is_a_mistake_and_no_class() {
    let numbers = (0..30).map(|at| format!("ACGT,{at}.5\n")).collect::<String>();
    let auto = ReadOptions::default();
    refused(
        &[("train.csv", &format!("sequence,label\n{numbers}ACGA,.\n"))],
        &auto,
        "line 32: expected a number, as 30 of 31 labels are, got `.`",
    );
    let names = (0..200).map(|at| format!("ACGT,gene{at}\n")).collect::<String>();
    refused(&[("train.csv", &format!("sequence,label\n{names}"))], &auto, "200 different labels");
    let classes = ReadOptions { task: Some(Task::MultiClass), ..ReadOptions::default() };
    assert_eq!(with(&[("train.csv", &format!("sequence,label\n{names}"))], &classes).unwrap().id2label.len(), 200);
    let sets = ReadOptions { task: Some(Task::MultiLabel), ..ReadOptions::default() };
    refused(
        &[("train.csv", "sequence,label,split\nACGT,,train\nACGA,,train\n")],
        &sets,
        "a label in some row at least",
    );
}

#[test]
fn a_first_row_with_a_wrong_letter_is_no_header() {
    let text = "ACGTACGTAC-ACGTACGT,1\nACGTACGTACGTACGTACG,0\n";
    refused(&[("train.csv", text)], &ReadOptions::default(), "line 1: expected nucleotides");
}

fn pot(records: usize) -> Labelled {
    let mut text = String::from("sequence,label,group,region,start,end\n");
    for at in 0..records {
        let sequence: String = format!("{at:012b}").replace('0', "A").replace('1', "C");
        text += &format!("{sequence},{},{},chr{},{at},{}\n", u8::from(at % 4 == 0), at / 2, at % 7, at + 12);
    }
    of(&[("x.csv", &text)])
}

#[test]
fn shares_hold_in_every_class_and_groups_stay_together() {
    let mut data = pot(2_000);
    divide(&mut data, &"80/10/10".parse().unwrap(), 1).unwrap();
    let count = |data: &Labelled, name| data.split(name).unwrap().examples.len();
    assert_eq!([SplitName::Train, SplitName::Dev, SplitName::Test].map(|name| count(&data, name)), [1600, 200, 200]);
    let positive =
        data.split(SplitName::Test).unwrap().examples.iter().filter(|one| one.target == Target::Class(1)).count();
    assert!(positive.abs_diff(50) <= 2, "{positive}");
    let mut where_is: std::collections::HashMap<String, SplitName> = std::collections::HashMap::new();
    for split in &data.splits {
        for one in &split.examples {
            assert_eq!(*where_is.entry(one.group.clone().unwrap()).or_insert(split.name), split.name);
        }
    }
    let mut other = pot(2_000);
    divide(&mut other, &Division::Shares([80, 10, 10]), 2).unwrap();
    assert_ne!(rows(&data, SplitName::Test), rows(&other, SplitName::Test));
}

#[test]
fn whole_contigs_go_to_one_part() {
    let mut data = pot(700);
    divide(&mut data, &"chromosome:chr3".parse().unwrap(), 1).unwrap();
    let contigs = |data: &Labelled, name| {
        let mut all: Vec<String> =
            data.split(name).unwrap().examples.iter().map(|one| one.origin.clone().unwrap().contig).collect();
        all.dedup();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(
        (contigs(&data, SplitName::Test), contigs(&data, SplitName::Train).len()),
        (vec!["chr3".to_string()], 6)
    );
    let mut data = pot(700);
    divide(&mut data, &"chromosome".parse().unwrap(), 1).unwrap();
    assert_eq!(contigs(&data, SplitName::Test).len(), 1);
    let error = divide(&mut data, &"chromosome:chrX".parse().unwrap(), 1).unwrap_err().to_string();
    assert!(error.starts_with("no record lies on contig `chrX`; they lie on `chr0`, "), "{error}");
    let mut without = of(&[("x.csv", "sequence,label\nACGT,1\nAC,0\n")]);
    assert!(divide(&mut without, &Division::Contigs(Vec::new()), 1).is_err());
    for wrong in ["90/20", "100/0", "x", "50"] {
        assert!(wrong.parse::<Division>().unwrap_err().to_string().contains("shares that sum to 100"), "{wrong}");
    }
    assert_eq!(("90/10".parse::<Division>().unwrap().to_string(), Path::new("x").is_dir()), ("90/10".into(), false));
}
