//! Any bytes as a .2bit file: an error, or a file that can be read everywhere.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tatabox_core::io::twobit::TwoBit;

fuzz_target!(|data: &[u8]| {
    let file = match TwoBit::from_bytes(Path::new("fuzz"), data.to_vec()) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().starts_with("`fuzz` at byte"), "{error}");
            return;
        }
    };
    let mut codes = Vec::new();
    for contig in 0..file.contigs() {
        let bases = file.bases(contig);
        file.read(contig, 0..bases, &mut codes);
        let unknown: u64 = file.n_blocks(contig).map(|run| run.end - run.start).sum();
        assert_eq!(codes.iter().filter(|&&code| code == 4).count() as u64, unknown);
        assert!(file.masked(contig, 0..bases).all(|run| run.start < run.end && run.end <= bases));
        assert!(file.gc(contig, bases / 3..bases) <= bases);
        file.read(contig, bases / 3..bases / 2, &mut codes);
        assert_eq!(codes.len() as u64, bases / 2 - bases / 3);
    }
});
