use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::seq::Sequence;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn open(&self, files: &[(&str, &[u8])]) -> Result<Genome> {
        let paths: Vec<PathBuf> = files.iter().map(|(name, content)| self.write(name, content)).collect();
        Genome::open(&paths, &self.cache())
    }

    /// The error of opening files, without the folder's name, and its hint.
    fn refused(&self, files: &[(&str, &[u8])]) -> (String, String) {
        let error = self.open(files).err().expect("the input is refused");
        let text = error.to_string().replace(&format!("{}/", self.folder.path().display()), "");
        (text, error.hint().unwrap_or_default().to_owned())
    }

    /// Names of what lies in the cache, by ending.
    fn cached(&self, ending: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.cache()).map(|files| files.map(|file| file.unwrap().path()).collect());
        let files: Vec<PathBuf> = files.unwrap_or_default();
        files.into_iter().filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn codes(genome: &Genome, contig: usize) -> Vec<u8> {
    let mut out = Vec::new();
    genome.read(contig, 0..genome.contigs()[contig].bases, &mut out);
    out
}

const TWO: &[u8] = b">chr1 first\nACGTacgtNN\nRYAC\n>chr2\r\nGGGCCC\r\nuU\r\n";

#[test]
fn counts_what_the_letters_were() {
    let genome = Place::new().open(&[("g.fa", TWO)]).unwrap();
    assert_eq!(genome.contigs()[0], Contig { name: "chr1".into(), bases: 14 });
    assert_eq!(genome.contigs()[1], Contig { name: "chr2".into(), bases: 8 });
    assert_eq!(genome.acgt_segments(0), [0..8, 12..14]);
    assert_eq!((genome.masked_share(0, 2..6), genome.masked_share(1, 4..8)), (0.5, 0.25));
    assert_eq!(codes(&genome, 1), [3, 3, 3, 2, 2, 2, 1, 1]);
    let card = genome.card();
    assert_eq!((card.total.n, card.total.other[&'R'], card.total.other[&'Y']), (2, 1, 1));
    assert_eq!((card.total.soft_masked, card.total.gc, card.known()), (5, 4 + 1 + 6, 18));
    let json = serde_json::to_value(card).unwrap();
    assert_eq!(json["contigs"][0]["other"]["R"], 1);
    assert_eq!(json["files"][0]["bytes"], TWO.len());
}

#[test]
fn finds_gzip_by_its_content_and_joins_several_files() {
    let place = Place::new();
    let genome = place.open(&[("a.txt", &gzip(b">a\nACGT\n")), ("b.fa.gz", b">b\nTTTT\n")]).unwrap();
    let names: Vec<&str> = genome.contigs().iter().map(|contig| contig.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(place.cached(".2bit").len(), 1);
}

#[test]
fn reuses_what_it_converted_while_the_input_is_the_same() {
    let place = Place::new();
    place.open(&[("g.fa", TWO)]).unwrap();
    let stored = place.cached(".2bit");
    let marked = fs::metadata(&stored[0]).unwrap().modified().unwrap();
    // The same file again, then a copy elsewhere under another name.
    let copy = place.write("copy.fa", TWO);
    for path in [place.folder.path().join("g.fa"), copy] {
        let genome = Genome::open(std::slice::from_ref(&path), &place.cache()).unwrap();
        assert_eq!(genome.card().files[0].path, path.display().to_string());
        assert_eq!(genome.card().total.other[&'R'], 1);
    }
    assert_eq!(place.cached(".2bit"), stored);
    assert_eq!(fs::metadata(&stored[0]).unwrap().modified().unwrap(), marked);
}

#[test]
fn sees_that_an_input_of_the_same_size_has_changed() {
    let place = Place::new();
    assert_eq!(codes(&place.open(&[("g.fa", b">a\nACGT\n")]).unwrap(), 0), [0, 2, 3, 1]);
    assert_eq!(codes(&place.open(&[("g.fa", b">a\nTTTT\n")]).unwrap(), 0), [1, 1, 1, 1]);
}

#[test]
fn makes_a_torn_cache_anew() {
    let place = Place::new();
    let expected = codes(&place.open(&[("g.fa", TWO)]).unwrap(), 0);
    let stored = place.cached(".2bit").remove(0);
    let whole = fs::read(&stored).unwrap();
    let mut wrong_name = whole.clone();
    wrong_name[17] = b'X';
    for torn in [&whole[..whole.len() - 1], &whole[..3], b"", &wrong_name] {
        fs::write(&stored, torn).unwrap();
        assert_eq!(codes(&place.open(&[("g.fa", TWO)]).unwrap(), 0), expected);
        assert_eq!(fs::read(&stored).unwrap(), whole);
    }
    fs::remove_file(&stored).unwrap();
    assert_eq!(codes(&place.open(&[("g.fa", TWO)]).unwrap(), 0), expected);
    fs::write(place.cached(".json").remove(0), "{\"format\": 1, ").unwrap();
    assert_eq!(codes(&place.open(&[("g.fa", TWO)]).unwrap(), 0), expected);
}

#[test]
fn maps_a_twobit_file_as_it_is() {
    let place = Place::new();
    let made = place.open(&[("g.fa", TWO)]).unwrap();
    let content = fs::read(place.cached(".2bit").remove(0)).unwrap();
    let other = Place::new();
    for _ in 0..2 {
        let genome = other.open(&[("any.name", &content)]).unwrap();
        assert_eq!((codes(&genome, 0), codes(&genome, 1)), (codes(&made, 0), codes(&made, 1)));
        let total = &genome.card().total;
        assert_eq!((total.bases, total.n, total.soft_masked, total.gc), (22, 4, 5, 11));
    }
    assert!(other.cached(".2bit").is_empty());
    let (error, hint) = other.refused(&[("any.name", &content), ("g.fa", TWO)]);
    assert!(error.contains("got 2 files of which 1 are .2bit"), "{error}");
    assert!(hint.contains("alone"));
}

#[test]
fn tells_where_a_protein_letter_stands() {
    let (error, hint) = Place::new().refused(&[("p.fa", b">sp|P1\nMKVA\nACLE\n")]);
    let expected = "`p.fa`, line 3, column 3 (contig `sp|P1`): expected a nucleotide (A, C, G, T, U, N or another IUPAC code), got `L`";
    assert_eq!(error, expected);
    assert!(hint.contains("protein"));
}

#[test]
fn refuses_a_contig_name_given_twice() {
    let place = Place::new();
    let (error, hint) = place.refused(&[("a.fa", b">c\nAC\n>d\nAC\n"), ("b.fa", b">d\nAC\n")]);
    assert_eq!(error, "`b.fa`, line 1: expected each contig name once, got `d` again (first in `a.fa`, line 3)");
    assert!(hint.contains("rename"));
    assert!(place.refused(&[("a.fa", b">c\nAC\n>c\nAC\n")]).0.contains("line 3: expected each contig name once"));
}

#[test]
fn refuses_bad_files_and_leaves_nothing_behind() {
    let place = Place::new();
    let long_name = [b">", "x".repeat(256).as_bytes(), b"\nAC\n"].concat();
    let gzipped = gzip(&TWO.repeat(100));
    for (content, expected) in [
        (&b""[..], "got an empty file"),
        (b"hello\n", "got `hello`"),
        (b"\x00\x01\x02", "got binary data"),
        (b">only a header\n", "got the end of the file"),
        (b">a\n\n>b\nAC\n", "got the next record"),
        (b">a\nAC\x00GT\n", "got byte 0x00"),
        (b">a\nAC-GT\n", "got `-`"),
        (&gzipped[..gzipped.len() / 2], "got the end of the file"),
        (&gzip(b""), "got an empty file"),
        (&long_name, "got 256 bytes"),
        (b">a\nNNNN\n>b\nnnRY\n", "holds 8 bases, and all are N"),
    ] {
        let (error, hint) = place.refused(&[("g.fa", content)]);
        assert!(error.contains("g.fa") && error.contains(expected), "{error}");
        assert!(!hint.is_empty(), "{error}");
        assert!(place.cached(".tmp").is_empty());
    }
    assert!(place.open(&[("g.fa", b">a\nNNNN\n>b\nAC\n")]).is_ok(), "a contig of N beside another is fine");
}

#[test]
fn names_a_path_that_is_not_there_and_a_cache_that_cannot_be_made() {
    let place = Place::new();
    let missing = place.folder.path().join("none.fa");
    assert!(Genome::open(&[missing], &place.cache()).err().unwrap().to_string().contains("cannot read"));
    assert!(Genome::open(&[], &place.cache()).err().unwrap().is_usage());
    let path = place.write("g.fa", TWO);
    let error = Genome::open(std::slice::from_ref(&path), &path.join("cache")).err().unwrap();
    assert!(error.to_string().contains("cannot create"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn gives_back_what_an_obvious_reader_reads(
        contigs in proptest::collection::vec(("[ACGT]{1,90}|[acgt]{1,40}|N{1,70}|[ACGTNRYacgtnuU]{1,200}", 1usize..80), 1..6),
        crlf in any::<bool>(), packed in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::new();
        for (i, (bases, width)) in contigs.iter().enumerate() {
            text += &format!(">c{i} any words{end}");
            for line in bases.as_bytes().chunks(*width) {
                text += std::str::from_utf8(line).unwrap();
                text += end;
            }
        }
        let expected: Vec<Sequence> =
            contigs.iter().map(|(bases, _)| Sequence::parse(bases.as_bytes()).unwrap().0).collect();
        prop_assume!(expected.iter().any(|sequence| sequence.codes.iter().any(|&code| code < 4)));
        let content = if packed { gzip(text.as_bytes()) } else { text.into_bytes() };
        let genome = Place::new().open(&[("g", &content)]).unwrap();
        prop_assert_eq!(genome.contigs().len(), contigs.len());
        for (i, (letters, _)) in contigs.iter().enumerate() {
            prop_assert_eq!(&codes(&genome, i), &expected[i].codes);
            let known = expected[i].codes.iter().filter(|&&code| code < 4).count() as u64;
            prop_assert_eq!(genome.acgt_segments(i).iter().map(|s| s.end - s.start).sum::<u64>(), known);
            let lower = letters.bytes().filter(u8::is_ascii_lowercase).count() as f64 / letters.len() as f64;
            prop_assert_eq!(genome.masked_share(i, 0..letters.len() as u64), lower);
        }
    }
}
