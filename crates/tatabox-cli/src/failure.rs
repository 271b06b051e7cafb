//! How a failure reaches the user: what, why, and what to type; and with which exit code.
//!
//! ```text
//! error: could not start `recipes/pretrain.toml`
//!   cause: `data.max_length` is 1024, but the model has 512 positions
//!
//! hint: set `data.max_length = 512`, or `model.max_position_embeddings = 1024` in a new run
//! ```

use std::fmt;
use std::io::ErrorKind;

/// A refusal of the program itself, for what no library can know (a command line that contradicts itself, a demo that ran already).
#[derive(Debug)]
pub struct Refusal {
    /// What was asked, what was expected, what was found.
    pub what: String,
    /// What to type instead, empty if there is nothing to say.
    pub hint: String,
}

impl Refusal {
    /// A refusal with its hint.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

/// The whole message: the outermost error, its causes, one a line, and the innermost hint after an empty line.
pub fn render(error: &anyhow::Error, error_word: &str, hint_word: &str) -> String {
    let mut text = String::new();
    let mut above = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let words = cause.to_string();
        // Some errors tell their cause in their own words; nobody needs to read it twice.
        if depth > 0 && above.ends_with(&words) {
            continue;
        }
        text.push_str(&if depth == 0 { format!("{error_word} {words}\n") } else { format!("  cause: {words}\n") });
        above = words;
    }
    if let Some(hint) = hint(error) {
        text.push_str(&format!("\n{hint_word} {hint}\n"));
    }
    text
}

/// 2 where the command line or the recipe is at fault, 1 where the work failed.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.chain().any(|cause| {
        cause.downcast_ref::<tatabox::Error>().is_some_and(tatabox::Error::is_usage)
            || cause.downcast_ref::<tatabox_core::Error>().is_some_and(tatabox_core::Error::is_usage)
            || cause.is::<Refusal>()
    });
    if usage { 2 } else { 1 }
}

/// True where the reader of stdout went away (`tatabox inspect runs/x | head -1`), which is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn hint(error: &anyhow::Error) -> Option<String> {
    let said = error.chain().filter_map(|cause| {
        let library = cause.downcast_ref::<tatabox::Error>().and_then(tatabox::Error::hint);
        let core = cause.downcast_ref::<tatabox_core::Error>().and_then(tatabox_core::Error::hint);
        let own = cause.downcast_ref::<Refusal>().map(|refusal| refusal.hint.as_str()).filter(|hint| !hint.is_empty());
        library.or(core).or(own)
    });
    if let Some(hint) = said.last() {
        return Some(hint.to_string());
    }
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(tatabox::Error::Recipe { .. }))) {
        return Some("all keys, with what they take, are in docs/reference/recipe.md, those of fine-tuning in docs/reference/finetune-keys.md".to_string());
    }
    let system = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last()?;
    let hint = match system.kind() {
        ErrorKind::NotFound => "check the path; nothing is there",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space on that device, or write to another with `-o`"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "check the permissions, or write to another directory with `-o`"
        }
        ErrorKind::IsADirectory => "give a file, not a directory",
        ErrorKind::NotADirectory => "a part of this path is a file, not a directory",
        _ => return None,
    };
    Some(hint.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn missing() -> anyhow::Error {
        let source = std::io::Error::from(ErrorKind::NotFound);
        let error = tatabox_core::Error::File { action: "read", path: "x.fa".into(), source };
        Err::<(), _>(error).context("could not pretrain on `x.fa`").unwrap_err()
    }

    #[test]
    fn shows_the_error_its_cause_once_and_a_hint() {
        assert_eq!(
            render(&missing(), "error:", "hint:"),
            "error: could not pretrain on `x.fa`\n  cause: cannot read `x.fa`: entity not found\n\nhint: check the path; nothing is there\n"
        );
        assert_eq!(exit_code(&missing()), 1);
    }

    #[test]
    fn a_value_out_of_range_and_a_refusal_exit_with_two() {
        let value = tatabox_core::Error::Value {
            key: "train.steps".into(),
            got: "0".into(),
            expected: "it must be at least 1".into(),
            hint: "set `train.steps = 1000`".into(),
        };
        let error = anyhow::Error::new(tatabox::Error::from(value)).context("could not start `x.toml`");
        assert_eq!(exit_code(&error), 2);
        assert!(render(&error, "error:", "hint:").ends_with("\n\nhint: set `train.steps = 1000`\n"));
        assert_eq!(exit_code(&anyhow::Error::new(Refusal::new("no", ""))), 2);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let error = anyhow::Error::new(std::io::Error::from(ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&missing()));
    }
}
