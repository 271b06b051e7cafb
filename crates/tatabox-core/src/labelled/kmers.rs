//! Sequences written as k-mers with spaces between, as DNABERT's files have them, turned back into bases.

/// The letters of a cell: overlapping k-mers (each begins with the last k - 1 letters of the one before) are undone, any other words are joined.
///
/// # Errors
/// The two words between which an overlap breaks off, where most neighbours overlap.
pub(super) fn undone(cell: &str) -> std::result::Result<String, (String, String)> {
    let words: Vec<&str> = cell.split_ascii_whitespace().collect();
    let joined = || Ok(words.concat());
    let [first, .., _] = words.as_slice() else { return joined() };
    let k = first.len();
    if k < 2 || !cell.is_ascii() || words.iter().any(|word| word.len() != k) {
        return joined();
    }
    let broken: Vec<usize> = (1..words.len()).filter(|&at| words[at - 1][1..] != words[at][..k - 1]).collect();
    match broken.first() {
        None => Ok(words[1..].iter().fold((*first).to_owned(), |text, word| text + &word[k - 1..])),
        Some(&at) if 2 * broken.len() < words.len() - 1 => Err((words[at - 1].into(), words[at].into())),
        Some(_) => joined(),
    }
}

#[cfg(test)]
mod tests {
    use super::undone;

    #[test]
    fn overlapping_words_are_undone_and_others_joined() {
        for (cell, text) in [
            ("ACG CGT GTT", "ACGTT"),
            ("AAA AAA", "AAAA"),
            ("ACG TTT", "ACGTTT"),
            ("A C G", "ACG"),
            ("ACGT AC", "ACGTAC"),
            ("ACGT", "ACGT"),
            ("", ""),
        ] {
            assert_eq!(undone(cell).unwrap(), text, "{cell}");
        }
    }

    #[test]
    fn says_where_an_overlap_breaks_off() {
        assert_eq!(undone("ACG CGT GTT TTA ACC CCG"), Err(("TTA".into(), "ACC".into())));
    }
}
