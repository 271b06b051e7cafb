//! Files that are there whole or not at all.
//!
//! A file is written under a temporary name beside its own, synced, and renamed. A process that is killed (SIGKILL, power) in between leaves at most a file
//! whose name begins with [`TEMPORARY`]; every other end leaves nothing, and what was there before is kept. A link is followed, and stays. A pipe or a device
//! is no file that could be replaced: it is written into. `-` and `/dev/stdout` are standard output.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// How names begin of files that are not whole yet.
pub const TEMPORARY: &str = ".writing-";

/// The temporary files of this process: what a signal that ends it must remove.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary file on the list, for as long as it is written.
struct Listed(PathBuf);

impl Listed {
    fn new(path: &Path) -> Self {
        unfinished().push(path.into());
        Self(path.into())
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        unfinished().retain(|path| *path != self.0);
    }
}

/// Removes the files that are being written, for a program that is about to end. Nothing is written whole after this.
pub fn remove_unfinished() {
    for path in unfinished().drain(..) {
        let _ = fs::remove_file(path); // It may have got its name meanwhile.
    }
}

/// True if what is written there goes to standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new("/dev/stdout")
}

/// True if what is written there goes into a pipe or a device, standard output among them: something that cannot be replaced.
pub fn is_stream(path: &Path) -> bool {
    is_stdout(path) || path.metadata().is_ok_and(|data| !data.is_file() && !data.is_dir())
}

/// The file that a link leads to, whether it is there or not; a path that is no link is itself.
fn followed(path: &Path) -> PathBuf {
    let Ok(target) = fs::read_link(path) else { return path.into() };
    path.canonicalize().unwrap_or_else(|_| path.parent().unwrap_or(Path::new("")).join(target))
}

/// Writes a file whole, or leaves what was there: `content` writes it. It gets the permissions of any new file (`0666` less the umask).
///
/// # Errors
/// [`Error::File`] with what could not be done (create, write, rename) and the path; an error of `content` is one of writing.
///
/// # Examples
/// ```
/// use std::io::Write;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("vocab.txt");
/// tatabox_core::io::whole::write(&path, |out| writeln!(out, "[PAD]"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "[PAD]\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = |action| move |source| Error::File { action, path: path.to_path_buf(), source };
    if is_stream(path) {
        let stream: Box<dyn Write> = match is_stdout(path) {
            true => Box::new(io::stdout().lock()),
            false => Box::new(File::options().write(true).open(path).map_err(failed("open"))?),
        };
        let mut out = BufWriter::new(stream);
        content(&mut out).map_err(failed("write"))?;
        return out.flush().map_err(failed("write"));
    }
    let path = &followed(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask
    let file = builder.tempfile_in(folder).map_err(failed("create"))?;
    let _listed = Listed::new(file.path());
    let mut out = BufWriter::with_capacity(1 << 18, file);
    content(&mut out).map_err(failed("write"))?;
    let file = out.into_inner().map_err(|error| failed("write")(error.into_error()))?;
    file.as_file().sync_all().map_err(failed("write"))?;
    file.persist(path).map_err(|error| failed("rename")(error.error))?;
    sync_folder(folder)
}

/// Makes the names in a folder last. Systems and file systems that cannot sync a folder are taken as they are.
///
/// # Errors
/// [`Error::File`] where the device fails.
pub fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written but not read cannot be opened; network file systems refuse to sync one.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        Err(source) if cfg!(unix) => Err(Error::File { action: "write", path: folder.to_path_buf(), source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_is_kept_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masks.jsonl");
        write(&path, |out| out.write_all(b"old")).unwrap();
        let error = write(&path, |out| {
            out.write_all(&[0; 1 << 20])?;
            assert!(names(folder.path())[0].starts_with(TEMPORARY));
            Err(io::ErrorKind::StorageFull.into())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write `{}`: ", path.display())), "{error}");
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (b"old".to_vec(), vec!["masks.jsonl".to_string()])
        );
        write(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (b"new".to_vec(), vec!["masks.jsonl".to_string()])
        );
    }

    #[test]
    fn a_writer_that_panics_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("masks.jsonl");
        let caught = std::panic::catch_unwind(|| write(&path, |_| panic!("halfway")));
        assert!(caught.is_err() && names(folder.path()).is_empty());
    }

    #[test]
    fn the_error_says_what_could_not_be_done_where() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("taken")).unwrap();
        for (name, action) in [("no/such/file", "create"), ("taken", "rename")] {
            let path = folder.path().join(name);
            let error = write(&path, |_| Ok(())).unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot {action} `{}`: ", path.display())), "{error}");
        }
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_into_and_stays() {
        use std::os::unix::fs::FileTypeExt;
        let device = Path::new("/dev/null");
        write(device, |out| out.write_all(b"away")).unwrap();
        assert!(fs::metadata(device).unwrap().file_type().is_char_device());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        // The first time it leads nowhere.
        for text in ["one", "two"] {
            write(&link, |out| out.write_all(text.as_bytes())).unwrap();
            assert_eq!(
                (fs::read_to_string(&file).unwrap().as_str(), fs::read_link(&link).unwrap()),
                (text, "file".into())
            );
        }
        assert_eq!(names(folder.path()), ["file", "link"]);
    }

    #[test]
    fn what_is_being_written_is_on_the_list_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let listed = || unfinished().iter().filter(|path| path.starts_with(folder.path())).count();
        write(&folder.path().join("counts.tsv"), |_| {
            assert_eq!(listed(), 1);
            Ok(())
        })
        .unwrap();
        assert_eq!(listed(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn it_is_as_readable_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, plain) = (folder.path().join("whole"), folder.path().join("plain"));
        write(&path, |_| Ok(())).unwrap();
        File::create(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
