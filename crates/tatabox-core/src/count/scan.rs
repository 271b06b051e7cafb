//! Counting along a stretch of bases, 32 of them a word.

/// Bases in a word.
const WORD: usize = 32;
/// Every lower bit of a base.
const LOW: u64 = 0x5555_5555_5555_5555;

/// Counts the k-mers of a stretch into `table`, `[4^k]` with k of 1..=16: the `bases` bases after the first `skip` of `words`, each word with its first
/// base in the highest bits.
pub fn scan(table: &mut [u32], words: impl Iterator<Item = u64>, skip: usize, bases: usize) {
    let k = table.len().ilog2() as usize / 2;
    if bases < k {
        return;
    }
    let mask = table.len() - 1;
    // Positions of the last base of the first and the last k-mer, the latter exclusive.
    let (first, end) = (skip + k - 1, skip + bases);
    let mut before = 0u64;
    for (start, word) in (0..end).step_by(WORD).zip(words) {
        // Sixteen bases and the sixteen before them: enough for sixteen k-mers, with shifts that do not depend on the data.
        let halves = [before << WORD | word >> WORD, word];
        if start >= first && start + WORD <= end {
            for half in halves {
                for at in 0..WORD / 2 {
                    table[(half >> (WORD - 2 - 2 * at)) as usize & mask] += 1;
                }
            }
        } else {
            for at in (0..WORD).filter(|at| (first..end).contains(&(start + at))) {
                let half = halves[at / (WORD / 2)];
                table[(half >> (WORD - 2 - 2 * (at % (WORD / 2)))) as usize & mask] += 1;
            }
        }
        before = word;
    }
}

/// Words in the order A, T, C, G of the packed bytes of a .2bit file.
pub fn packed_words(packed: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (whole, rest) = packed.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    whole.iter().copied().chain((!rest.is_empty()).then_some(last)).map(|bytes| reordered(u64::from_be_bytes(bytes)))
}

/// Words of base codes 0..=3, one a byte.
pub fn code_words(codes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let word = |codes: &[u8]| codes.iter().fold(0, |word, &code| word << 2 | u64::from(code & 3));
    codes.chunks(WORD).map(move |codes| word(codes) << (2 * (WORD - codes.len())))
}

/// From UCSC's order to ours: T 00 to 01, C 01 to 10, A 10 to 00, G 11 to 11.
fn reordered(word: u64) -> u64 {
    let (high, low) = (word >> 1 & LOW, word & LOW);
    low << 1 | (!(high ^ low) & LOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, SeededRng};
    use crate::seq::CODE_OF_TWOBIT;

    #[test]
    fn reordering_is_that_of_every_reader_of_2bit() {
        for (base, &code) in CODE_OF_TWOBIT.iter().enumerate() {
            let word = (0..32).fold(0, |word, _| word << 2 | base as u64);
            assert_eq!(reordered(word) & 3, u64::from(code));
            assert_eq!(reordered(word) >> 62, u64::from(code));
        }
    }

    #[test]
    fn counts_what_windows_give_for_every_length_start_and_end() {
        let mut rng = SeededRng::new(1, Purpose::Test, 0, 0);
        let codes: Vec<u8> = (0..150).map(|_| rng.below(4) as u8).collect();
        for k in [1, 2, 6, 10] {
            for skip in [0, 1, 3, 31] {
                for bases in [0, 1, k - 1, k, 31, 32, 33, 64, 65, 100] {
                    let mut table = vec![0; 1 << (2 * k)];
                    scan(&mut table, code_words(&codes), skip, bases);
                    let mut expected = vec![0; 1 << (2 * k)];
                    for window in codes[skip..skip + bases].windows(k) {
                        expected[window.iter().fold(0, |number, &code| number << 2 | usize::from(code))] += 1;
                    }
                    assert!(table == expected, "k {k}, skip {skip}, bases {bases}");
                }
            }
        }
    }
}
