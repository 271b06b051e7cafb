//! What can go wrong in a run: which key, file or step, what was expected, what was found, and what to do.

use std::io::ErrorKind;
use std::path::PathBuf;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error of the data side: genome, tokeniser, masks, frozen masks, report.
    #[error(transparent)]
    Core(#[from] tatabox_core::Error),
    /// An error of the engine: a kernel path that this machine lacks, or a model whose shapes do not fit each other.
    #[error(transparent)]
    Engine(#[from] tatabox_engine::Error),
    /// A recipe, or a `--set`, says what it may not say.
    #[error("{place}: {what}")]
    Recipe {
        /// Where it is written: `recipes/x.toml, line 3` or `--set train.steps=0`.
        place: String,
        /// What was expected and what was found.
        what: String,
        /// What to write instead, empty if there is nothing to say.
        hint: String,
    },
    /// The output directory cannot take a run, or a directory is not a run.
    #[error("`{path}` {what}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to type instead.
        hint: String,
    },
    /// Weights and configuration do not belong together, or the weights are not those of a BERT.
    #[error("`{path}` does not hold the weights that its configuration describes:{problems}", path = path.display())]
    Weights {
        /// The file of weights.
        path: PathBuf,
        /// One line a tensor, each begun by a line feed and two spaces.
        problems: String,
        /// What to do.
        hint: String,
    },
    /// The run does not fit this machine's memory.
    #[error("this run needs {needed} of memory, but {available} are free ({limit})")]
    Memory {
        /// What the smallest form of this run needs, in words (`12.3 GB`).
        needed: String,
        /// What the machine gives, in words.
        available: String,
        /// What sets the limit: the machine, or a control group.
        limit: &'static str,
        /// Which keys make it smaller.
        hint: String,
    },
    /// The run's checkpoints do not fit its device.
    #[error("this run needs {needed} for its checkpoints, but {available} are free where `{path}` lies", path = path.display())]
    Space {
        /// The run directory.
        path: PathBuf,
        /// What all checkpoints that are kept at once need, in words.
        needed: String,
        /// What is free, in words.
        available: String,
        /// What makes it smaller.
        hint: String,
    },
    /// The loss or the gradient is no longer a number.
    #[error("training diverged at step {step}: the {what} is not a finite number")]
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// Which number.
        what: &'static str,
        /// What to change.
        hint: String,
    },
}

impl Error {
    /// The hint of this error, if it has one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Core(tatabox_core::Error::File { source, .. }) => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(
                    "free some space on that device; a run that had begun goes on with `--resume`, and what it saved is kept",
                ),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    Some("check the permissions, or write to another directory with `-o`")
                }
                _ => None,
            },
            Error::Core(error) => error.hint(),
            Error::Engine(tatabox_engine::Error::Cuda { hint, .. }) => Some(hint),
            Error::Engine(tatabox_engine::Error::GpuMemory { .. }) => Some(
                "lower `train.micro_batch_tokens` or the batch size, close other programs on the GPU (`nvidia-smi` lists them), or use `--device cpu`",
            ),
            Error::Engine(_) => None,
            Error::Recipe { hint, .. }
            | Error::Directory { hint, .. }
            | Error::Weights { hint, .. }
            | Error::Memory { hint, .. }
            | Error::Space { hint, .. }
            | Error::Diverged { hint, .. } => (!hint.is_empty()).then_some(hint.as_str()),
        }
    }

    /// True where the command line or the recipe is at fault (exit code 2), false where the work failed (exit code 1).
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Core(error) => error.is_usage(),
            Error::Engine(error) => matches!(error, tatabox_engine::Error::Isa { .. }),
            Error::Recipe { .. } | Error::Directory { .. } => true,
            Error::Weights { .. } | Error::Memory { .. } | Error::Space { .. } | Error::Diverged { .. } => false,
        }
    }

    /// A file that could not be read or written, made from what the system said.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| tatabox_core::Error::File { action, path, source }.into()
    }

    /// A file whose content is not what its format asks for.
    pub(crate) fn format(
        path: impl Into<PathBuf>,
        place: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
        hint: impl Into<String>,
    ) -> Error {
        tatabox_core::Error::Format {
            path: path.into(),
            place: place.into(),
            expected: expected.into(),
            got: got.into(),
            hint: hint.into(),
        }
        .into()
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_device_says_how_to_go_on() {
        let error = Error::file("write", "runs/rice/model.safetensors")(std::io::Error::from(ErrorKind::StorageFull));
        assert!(error.to_string().contains("cannot write `runs/rice/model.safetensors`"), "{error}");
        assert!(error.hint().unwrap().contains("--resume"));
        assert!(!error.is_usage());
    }

    #[test]
    fn a_read_only_directory_says_where_else_to_write() {
        let error = Error::file("create", "/usr/run")(std::io::Error::from(ErrorKind::ReadOnlyFilesystem));
        assert!(error.hint().unwrap().contains("-o"));
    }
}
