//! Labels in FASTA headers: one rule for all records of a file.

use super::SplitName;
use super::folder::split_word;

/// What a header says besides the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The label.
    pub label: String,
    /// The part, where the header names one.
    pub split: Option<SplitName>,
}

/// The rules, in their order.
pub(super) const RULES: [fn(&str) -> Option<Said>; 4] = [keyed, with_split, last_field, second_word];

/// The labels of a file's headers, by the first of these rules that holds for all of them:
///
/// 1. `label=…` or `class=…` among the words;
/// 2. `name|label|training` or `|testing` (iLearn);
/// 3. `name|…|label`;
/// 4. `name label`, two words; a second word that is a strand (`+`, `-`, `.`) or has `=` or `:` in it is no label.
///
/// None where no rule holds, or where one gives every record a label of its own.
pub(super) fn labels(headers: &[String]) -> Option<Vec<Said>> {
    RULES.into_iter().find_map(|rule| {
        let said: Vec<Said> = headers.iter().map(|header| rule(header)).collect::<Option<_>>()?;
        let mut distinct: Vec<&str> = said.iter().map(|one| one.label.as_str()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        // What differs in every record is a name or a place, no label; numbers of a regression are given with `label=`.
        let names = distinct.len() > 2 && 2 * distinct.len() > said.len();
        (!names || keyed(&headers[0]).is_some()).then_some(said)
    })
}

fn said(label: &str) -> Option<Said> {
    let label = label.trim();
    (!label.is_empty()).then(|| Said { label: label.into(), split: None })
}

fn keyed(header: &str) -> Option<Said> {
    let words = header.split([' ', '\t', '|', ';']);
    let value = |word: &str| {
        let (key, value) = word.split_once(['=', ':'])?;
        ["label", "class"].iter().any(|name| key.eq_ignore_ascii_case(name)).then(|| value.to_owned())
    };
    words.into_iter().find_map(value).and_then(|value| said(&value))
}

fn with_split(header: &str) -> Option<Said> {
    let fields: Vec<&str> = header.split('|').collect();
    let [_, .., label, split] = fields.as_slice() else { return None };
    Some(Said { split: Some(split_word(split.trim())?), ..said(label)? })
}

fn last_field(header: &str) -> Option<Said> {
    header.rsplit_once('|').and_then(|(_, label)| said(label))
}

fn second_word(header: &str) -> Option<Said> {
    match header.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
        [_, label] if !matches!(*label, "+" | "-" | ".") && !label.contains(['=', ':']) => said(label),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[&str]) -> Option<Vec<String>> {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        labels(&headers).map(|said| said.into_iter().map(|one| one.label).collect())
    }

    #[test]
    fn the_first_rule_that_holds_for_all_is_taken() {
        assert_eq!(of(&["a label=x len=5", "b label=y"]).unwrap(), ["x", "y"]);
        assert_eq!(of(&["a|chr1|1", "b|chr2|0"]).unwrap(), ["1", "0"]);
        assert_eq!(of(&["a 1", "b 0", "c 0"]).unwrap(), ["1", "0", "0"]);
        assert_eq!(of(&["a label=0.25", "b label=1.5", "c label=3"]).unwrap(), ["0.25", "1.5", "3"]);
        let said = labels(&["a|1|training".into(), "b|0|testing".into()]).unwrap();
        assert_eq!((said[0].split, said[1].split), (Some(SplitName::Train), Some(SplitName::Test)));
        assert_eq!(said[1].label, "0");
    }

    #[test]
    fn names_are_no_labels() {
        assert_eq!(of(&["chr1_5_9", "chr1_7_12"]), None);
        assert_eq!(of(&["a 1", "b"]), None);
        assert_eq!(of(&["s1 geneA", "s2 geneB", "s3 geneC"]), None);
        assert_eq!(of(&["s1 +", "s2 -", "s3 +"]), None);
        assert_eq!(of(&["s1 len=30", "s2 len=30"]), None);
        assert_eq!(of(&["s1 chr1:5-9", "s2 chr1:5-9"]), None);
    }
}
