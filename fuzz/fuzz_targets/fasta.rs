//! Any bytes as a FASTA file: an error with a file name in it, or a genome that reads back what an obvious reader sees.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tatabox_core::genome::Converter;
use tatabox_core::io::input::Input;
use tatabox_core::io::twobit::TwoBit;
use tatabox_core::seq::Sequence;

fuzz_target!(|data: &[u8]| {
    let failed = |_| unreachable!("memory can be written");
    let mut converter = Converter::new(Vec::new());
    let read = Input::from_reader("fuzz".into(), Cursor::new(data.to_vec()))
        .and_then(|input| converter.read(input, "fuzz".into(), &failed));
    if let Err(error) = read {
        assert!(error.to_string().contains("`fuzz`"), "{error}");
        assert!(error.hint().is_some(), "{error}");
        return;
    }
    let done = converter.finish();
    let file =
        TwoBit::from_bytes(Path::new("fuzz.2bit"), [done.head, done.records].concat()).expect("it was just written");
    if data.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let mut contigs: Vec<Vec<u8>> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        match (line.first(), contigs.last_mut()) {
            (Some(b'>'), _) => contigs.push(Vec::new()),
            (_, Some(contig)) => contig.extend(line),
            (_, None) => {}
        }
    }
    assert_eq!(file.contigs(), contigs.len());
    let mut codes = Vec::new();
    for (i, letters) in contigs.iter().enumerate() {
        let (sequence, composition) = Sequence::parse(letters).expect("the reader took these letters");
        file.read(i, 0..file.bases(i), &mut codes);
        assert_eq!(codes, sequence.codes);
        assert_eq!(done.contigs[i].composition, composition);
    }
});
