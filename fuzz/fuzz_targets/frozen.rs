//! Any bytes as frozen masks: an error that names the file, or a set that is written and read again as the same set and that the engine can be given.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tatabox::data::frozen_batches;
use tatabox_core::mask::frozen::FrozenMasks;
use tatabox_engine::Capacity;

fuzz_target!(|data: &[u8]| {
    let set = match FrozenMasks::parse(data, Path::new("fuzz")) {
        Ok(set) => set,
        Err(error) => {
            assert!(error.to_string().starts_with("`fuzz`"), "{error}");
            assert!(error.hint().is_some(), "{error}");
            return;
        }
    };
    let mut written = Vec::new();
    set.write_to(&mut written).expect("memory can be written");
    assert_eq!(FrozenMasks::parse(&written[..], Path::new("written")).expect("it was written"), set);

    let tokens = set.sequences.iter().map(|one| one.masked.input_ids.len()).max().unwrap_or(1);
    let masked = set.sequences.iter().map(|one| one.masked.targets.len()).sum::<usize>();
    let batches = frozen_batches(&set, &Capacity { tokens, masked, sequences: 0 }).expect("each sequence fits");
    assert_eq!(batches.iter().map(|batch| batch.labels.len()).sum::<usize>(), masked);
    assert_eq!(set.sequences.iter().map(|one| one.hidden.len()).sum::<usize>(), masked);
});
