use super::*;
use crate::count::{Strands, count_sequences};
use crate::rng::{Purpose, SeededRng};
use proptest::prelude::*;
use std::path::PathBuf;
use tempfile::TempDir;

fn file(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.tsv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(text: &str) -> Result<KmerCounts> {
    let (_folder, path) = file(text);
    KmerCounts::read(&path)
}

/// The error of a table, without the folder's name.
fn refused(text: &str) -> String {
    let (folder, path) = file(text);
    let error = KmerCounts::read(&path).unwrap_err();
    assert!(error.hint().is_some() && !error.is_usage(), "{error}");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

fn codes() -> Vec<u8> {
    let mut rng = SeededRng::new(4, Purpose::Test, 0, 0);
    (0..5_000).map(|_| rng.below(4) as u8).collect()
}

fn counts(lengths: std::ops::RangeInclusive<usize>, strands: Strands) -> KmerCounts {
    count_sequences(&[&codes()], lengths, strands).unwrap()
}

/// As `jellyfish dump` prints: FASTA, only what occurs.
fn dump(counts: &KmerCounts, columns: bool, keep: impl Fn(usize, usize) -> bool) -> String {
    let mut text = String::new();
    for k in counts.lengths() {
        for (number, &count) in counts.of(k).unwrap().iter().enumerate() {
            if count > 0 && keep(number, k) {
                let word = kmer::spell(number, k);
                text += &if columns { format!("{word} {count}\n") } else { format!(">{count}\n{word}\n") };
            }
        }
    }
    text
}

#[test]
fn what_is_written_is_read_back_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.tsv");
    for counts in [counts(1..=6, Strands::Forward), counts(7..=7, Strands::Both)] {
        counts.write(&path).unwrap();
        assert!(KmerCounts::read(&path).unwrap() == counts);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut gzip, &std::fs::read(&path).unwrap()).unwrap();
        let (_folder, packed) = file(gzip.finish().unwrap());
        assert!(KmerCounts::read(&packed).unwrap() == counts);
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("kmer\tcount\nAAAAAAA\t"), "{}", &text[..40]);
}

#[test]
fn jellyfishs_dumps_are_read_in_both_forms() {
    let counts = counts(1..=6, Strands::Forward);
    for columns in [false, true] {
        assert!(read(&dump(&counts, columns, |_, _| true)).unwrap() == counts);
    }
    assert!(read(&dump(&counts, true, |_, _| true).replace(' ', "\t")).unwrap() == counts);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let counts = counts(1..=2, Strands::Forward);
    let (_folder, path) = file("");
    counts.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(read(&format!("\u{feff}{text}")).unwrap() == counts);
}

#[test]
fn counts_that_are_cut_or_of_several_texts_are_doubted() {
    let all = counts(1..=4, Strands::Forward);
    assert_eq!(all.doubt(), None);
    assert_eq!(counts(3..=3, Strands::Forward).doubt(), None);
    // 30 % of the 3-mers left out; cut after 50 lines; the 4-mers of a longer text.
    let thinned = read(&dump(&counts(1..=3, Strands::Forward), true, |kmer, k| k < 3 || kmer % 10 >= 3)).unwrap();
    let doubt = thinned.doubt().unwrap();
    assert!(doubt.starts_with("the counts do not fit together: 4999 2-mers in all, but 3"), "{doubt}");
    let text: Vec<String> = dump(&all, true, |_, _| true).lines().take(50).map(str::to_string).collect();
    assert!(read(&(text.join("\n") + "\n")).unwrap().doubt().is_some());
    let mut mixed = all.clone();
    mixed.set(4, all.of(4).unwrap().iter().map(|count| count * 2).collect());
    assert!(mixed.doubt().unwrap().contains("4998 3-mers in all, but 9994 4-mers"));
    // Two lengths alone: more than half of them are gone.
    let mut two = counts(1..=2, Strands::Forward);
    two.set(2, all.of(2).unwrap().iter().map(|count| count / 3).collect());
    assert!(two.doubt().is_some());
    // Many short contigs lose a k-mer each with every length, until they are too short.
    let codes = codes();
    let contigs: Vec<&[u8]> = codes.chunks(7).chain(codes.chunks(30)).collect();
    for strands in [Strands::Forward, Strands::Both] {
        assert_eq!(count_sequences(&contigs, 1..=10, strands).unwrap().doubt(), None);
    }
}

#[test]
fn a_dump_of_canonical_kmers_is_spread_over_both_strands() {
    let both = counts(1..=6, Strands::Both);
    let canonical =
        |number: usize, k: usize| kmer::spell(number, k) <= kmer::spell(kmer::reverse_complement(number, k), k);
    // jellyfish count -C counts a place once, whichever strand: a palindrome has half of what both strands have.
    let mut once = both.clone();
    for k in 1..=6 {
        let palindrome = |number: usize| kmer::reverse_complement(number, k) == number;
        let table = both.of(k).unwrap().iter().enumerate();
        once.set(k, table.map(|(number, &count)| if palindrome(number) { count / 2 } else { count }).collect());
    }
    assert!(read(&dump(&once, false, canonical)).unwrap() == both);
    // One k-mer that is not canonical, and it is a table of one strand; so is a table too small to tell.
    let one_more = dump(&once, false, canonical) + ">1\nTTTTTT\n";
    assert_eq!(read(&one_more).unwrap().of(6).unwrap()[kmer::number(b"TTTTTT").unwrap()], 1);
    assert_eq!(read("AC 3\nAG 2\n").unwrap().of(2).unwrap().iter().sum::<u64>(), 5);
}

#[test]
fn a_canonical_dump_whose_doubled_sum_is_too_large_is_refused() {
    let all = counts(1..=4, Strands::Both);
    let smaller =
        |number: usize, k: usize| kmer::spell(number, k) <= kmer::spell(kmer::reverse_complement(number, k), k);
    let text = dump(&all, true, smaller);
    let line = text.lines().find(|line| line.starts_with("AACC ")).unwrap().to_string();
    let error = refused(&text.replace(&line, "AACC 9223372036854775813"));
    assert!(error.contains("counts of length 4 whose sum is below 2^64"), "{error}");
}

#[test]
fn what_is_no_table_of_counts_names_the_line() {
    let header = "kmer\tcount\n";
    for (text, message) in [
        (
            "kmer,count\n",
            "`counts.tsv`, line 1: expected the header `kmer<TAB>count`, or Jellyfish's dump, got `kmer,count`",
        ),
        ("A 1\nT x\n", "`counts.tsv`, line 2: expected a count: a whole number of 0 or more, got `x`"),
        ("A 1\nT -5\n", "`counts.tsv`, line 2: expected a count: a whole number of 0 or more, got `-5`"),
        ("A 1\nT 1.5\n", "`counts.tsv`, line 2: expected a count: a whole number of 0 or more, got `1.5`"),
        ("A 18446744073709551616\n", "`counts.tsv`, line 1: expected a count below 2^64, got `18446744073709551616`"),
        (
            "A 18446744073709551615\nT 1\n",
            "`counts.tsv`: expected counts of length 1 whose sum is below 2^64, got more",
        ),
        ("A 1\nT\n", "`counts.tsv`, line 2: expected a k-mer and its count, got `T`"),
        ("A 1\nT 1 1\n", "`counts.tsv`, line 2: expected a k-mer and its count, got `T 1 1`"),
        ("ACGT 1\nACGN 1\n", "`counts.tsv`, line 2: expected a k-mer of 1 to 10 letters A, C, G, T, got `ACGN`"),
        (
            "ACGTACGTACG 1\n",
            "`counts.tsv`, line 1: expected a k-mer of 1 to 10 letters A, C, G, T, got `ACGTACGTACG` of 11 letters",
        ),
        ("ACGT 1\nacgt 2\n", "`counts.tsv`, line 2: expected each k-mer once, got `acgt` again"),
        (">5\nACGT\n>6\n", "`counts.tsv`, line 3: expected a k-mer under its count, got the end of the file"),
        (">5\nACGT\nACGT\n", "`counts.tsv`, line 3: expected a count after `>`, got `ACGT`"),
        (">chr1\nACGT\n", "`counts.tsv`, line 1: expected a count: a whole number of 0 or more, got `chr1`"),
        ("A 1\nT 12", "`counts.tsv`, line 2: expected a line end, got the end of the file; it was cut short"),
        ("", "`counts.tsv`: expected k-mer counts, got an empty file"),
    ] {
        assert_eq!(refused(text), message);
    }
    assert_eq!(
        refused(&format!("{header}A\t1\nT\t2\nC\t3\n")),
        "`counts.tsv`: expected all 4 k-mers of length 1, got 3; `G` is missing"
    );
    assert_eq!(refused(header), "`counts.tsv`: expected k-mer counts, got a header and nothing else");
}

#[test]
fn a_genome_is_no_table() {
    for (text, expected) in [
        (&b"kmer\tcount\n"[..], true),
        (b"ACGT 12\n", true),
        (b">12\nACGT\n>3\nACGA\n", true),
        (b"\xef\xbb\xbfkmer\tcount\n", true),
        (b">5\nA\n>6\nC\n>2\nAC\n>3\nCA\n", true),
        (b">12\nACGT\n>3\nAC", true),                   // cut: the reader says so
        (b">12\nACGTACGTACG\n>3\nACGTACGTACC\n", true), // too long: as well
        (b">1\nACGTACGGTTACGAC\n", false),
        (b">1\nACGTAC\n", false),
        (b">1\nACGTAC\n>2\nACGTACG\n", false),
        (b">1\nACGT\n>2\nACGA\n>3\nACG\n>4\nCGT\n>5\nACCA\n", false),
        (b">1\nACGT\n>2\nACGT\n", false),
        (b">1\nACGT\n>2\nACGN\n", false),
        (b"\xef\xbb\xbf>chr1\nACGT\n", false),
        (b">1\nACGTACGTACGTACGTACGTACGT\n", false),
        (b">1\nACGTACGT\nACGTACGT\n", false),
        (b">chr1\nACGT\n", false),
        (b"\n>chr1\nACGT\n", false),
        (b"\x43\x27\x41\x1a\0\0\0\0", false),
    ] {
        assert_eq!(is_table(&file(text).1).unwrap_or(!expected), expected, "{}", String::from_utf8_lossy(text));
    }
    assert!(!is_table(Path::new("-")).unwrap());
    let error = is_table(&file("").1).unwrap_err();
    assert!(error.to_string().ends_with("expected a genome or k-mer counts, got an empty file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_read_or_refused(lines in prop::collection::vec("(kmer\tcount|>?[0-9-]{0,4}|[ACGTNacé]{0,12}[ \t]?[0-9x-]{0,3})", 0..6)) {
        // What is taken for a table gives counts or an error, never a panic.
        let (_folder, path) = file(lines.join("\n") + "\n");
        let _ = is_table(&path);
        if let Ok(counts) = KmerCounts::read(&path) {
            prop_assert!(counts.lengths().next().is_some());
        }
    }
}
