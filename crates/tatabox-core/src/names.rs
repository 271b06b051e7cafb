//! Names that a user types: the nearest known one to a name nobody knows, and choices that have names.

use crate::error::Error;

/// The known name with the fewest edits from `word` (insert, delete, replace or swap of neighbours; case and `_` against `-` do not
/// count), if it is near enough to be what was meant: at most a third of the longer word, and at least one edit is allowed.
///
/// # Examples
/// ```
/// use tatabox_core::names::nearest;
/// assert_eq!(nearest("kmer_span", ["token", "kmer-span", "random-mask"]), Some("kmer-span"));
/// assert_eq!(nearest("ramdom-mask", ["token", "kmer-span", "random-mask"]), Some("random-mask"));
/// assert_eq!(nearest("whatever", ["token", "kmer-span", "random-mask"]), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    known
        .into_iter()
        .map(|name| (edits(&word, &folded(name)), name))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, name)| distance <= (word.len().max(name.len()) / 3).max(1))
        .map(|(_, name)| name)
}

/// What a name must be that becomes a folder on every system, for errors.
pub const FOLDER_RULE: &str =
    "use letters, digits, `-`, `_` and `.`, a letter or digit first, at most 64 of them: `random-mask`";

/// Whether a name can be a folder's on every system: see [`FOLDER_RULE`]; it does not end with a dot either.
///
/// # Examples
/// ```
/// use tatabox_core::names::is_folder;
/// assert!(is_folder("random_mask.v2"));
/// assert!(!is_folder("../up") && !is_folder("a b") && !is_folder(""));
/// ```
pub fn is_folder(name: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    begins && name.chars().all(allowed) && !name.ends_with('.') && name.len() <= 64
}

/// `word` as it is compared: lower case, one kind of dash.
fn folded(word: &str) -> Vec<char> {
    word.chars().map(|letter| if letter == '_' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// The optimal string alignment distance of two words.
fn edits(left: &[char], right: &[char]) -> usize {
    let mut rows = vec![vec![0usize; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                    best.min(rows[i - 2][j - 2] + 1)
                } else {
                    best
                }
            };
        }
    }
    rows[left.len()][right.len()]
}

/// Writes an enum's names once: `Display`, `FromStr` (refusing an unknown name with the nearest known one) and serde through both.
macro_rules! named {
    ($type:ident, $key:literal, $($variant:ident = $name:literal),+) => {
        impl $type {
            /// The names in recipes.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($type::$variant => $name),+ })
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            fn from_str(name: &str) -> $crate::error::Result<Self> {
                match name {
                    $($name => Ok($type::$variant),)+
                    _ => Err($crate::names::unknown_name($key, name, Self::NAMES)),
                }
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::error::Error;

            fn try_from(name: String) -> $crate::error::Result<Self> {
                name.parse()
            }
        }
    };
}
pub(crate) use named;

/// The error of a name that is not known. The nearest one stands in the message too, because serde keeps only that.
pub(crate) fn unknown_name(key: &str, name: &str, known: &[&str]) -> Error {
    let all = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = nearest(name, known.iter().copied());
    Error::Value {
        key: key.into(),
        got: format!("`{name}`"),
        expected: match near {
            Some(near) => format!("the nearest known name is `{near}` (known: {all})"),
            None => format!("the known names are {all}"),
        },
        hint: near.map_or(String::new(), |near| format!("set `{key} = \"{near}\"`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        let distance = |left: &str, right: &str| edits(&folded(left), &folded(right));
        assert_eq!(distance("tokne", "token"), 1);
        assert_eq!(distance("", "token"), 5);
        assert_eq!(distance("span", "kmer-span"), 5);
    }

    #[test]
    fn says_nothing_where_there_is_nothing_to_choose_from() {
        assert_eq!(nearest("token", []), None);
    }
}
