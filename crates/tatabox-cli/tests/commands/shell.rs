//! A place to type commands: a temporary directory with the built `tatabox` in front of the PATH and a cache of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The program under test.
pub const TATABOX: &str = env!("CARGO_BIN_EXE_tatabox");

/// A temporary directory to work in; removed at the end.
pub struct Shell {
    dir: tempfile::TempDir,
}

/// What a command left.
#[derive(Debug)]
pub struct Seen {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and gives its name back.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).unwrap();
        name.to_string()
    }

    /// A command that will run in the directory, without anything of the tester's own settings.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let folder = Path::new(TATABOX).parent().unwrap().display().to_string();
        command
            .current_dir(self.dir.path())
            .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()))
            .env("TATABOX_CACHE", self.path(".cache"))
            // What is seen shall not depend on the tester's graphics card.
            .env("CUDA_VISIBLE_DEVICES", "")
            .env_remove("NO_COLOR")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `tatabox` with these arguments to its end.
    pub fn tatabox(&self, args: &[&str]) -> Seen {
        seen(self.command(TATABOX).args(args))
    }

    /// As [`Shell::tatabox`], for a command that must work; gives stdout.
    pub fn works(&self, args: &[&str]) -> String {
        let seen = self.tatabox(args);
        assert_eq!(seen.code, 0, "tatabox {}: {seen:#?}", args.join(" "));
        seen.stdout
    }

    /// As [`Shell::works`], for a command that prints one JSON object; the reference must name each of its keys.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let stdout = self.works(args);
        let object: serde_json::Value = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("tatabox {}: {error}: {stdout}", args.join(" ")));
        let described = described(args);
        for key in object.as_object().unwrap().keys() {
            assert!(described.contains(&format!("`{key}`")), "{key} of {} is not in json.md", args.join(" "));
        }
        object
    }

    /// A small simulated genome, 120,000 bases in 3 contigs.
    pub fn genome(&self) -> String {
        self.works(&["simulate", "--bases", "120k", "--contigs", "3", "--seed", "1", "-o", "sim"]);
        "sim/genome.fa".to_string()
    }

    /// The names of all files and folders below, sorted, the cache left out.
    pub fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let name = entry.path().strip_prefix(root).unwrap().display().to_string();
                if name == ".cache" {
                    continue;
                }
                found.push(name);
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), root, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), self.dir.path(), &mut found);
        found.sort();
        found
    }
}

/// Runs a command to its end.
pub fn seen(command: &mut Command) -> Seen {
    let output = command.output().unwrap();
    Seen {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits for the end of a command that was started.
pub fn end(child: Child) -> Seen {
    let output = child.wait_with_output().unwrap();
    Seen {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal (`INT`, `TERM`) to a command that was started.
pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap().success());
}

impl Seen {
    /// Asserts a failure as the project writes them: an `error:`, every part named, and nothing on stdout.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(self.stderr.lines().any(|line| line.starts_with("error: ")), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing: {self:#?}");
        }
        assert_eq!(self.stdout, "", "{self:#?}");
    }
}

/// The root of the project.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The section of the reference on the JSON of a command, given by its arguments: `pmi rank` has one beside that of `pmi`.
pub fn described(args: &[&str]) -> String {
    let reference = fs::read_to_string(project().join("docs/reference/json.md")).unwrap();
    let on = |verb: &str| {
        let heading = format!("`{verb} --json`");
        reference.split("\n## ").find(|section| section.lines().next().unwrap().contains(&heading))
    };
    let verbs = [args.get(..2).unwrap_or_default().join(" "), args[0].to_string()];
    verbs.iter().find_map(|verb| on(verb)).unwrap_or_else(|| panic!("no section on {verbs:?}")).to_string()
}

/// A recipe of the project.
pub fn recipe(name: &str) -> String {
    project().join("recipes").join(name).display().to_string()
}

/// Arguments of a run that takes a second or two: the smoke recipe, 40 steps, saved every 5.
pub const QUICK: [&str; 10] = [
    "--set",
    "train.steps=40",
    "--set",
    "checkpoint.every=5",
    "--set",
    "log.every=1",
    "--set",
    "train.batch_tokens=256",
    "--set",
    "evaluate.sequences=4",
];

impl Shell {
    /// A finished quick run of the simulated genome in `run`, which is `output`.
    pub fn quick_run(&self, output: &str) {
        let genome = if self.path("sim/genome.fa").exists() { "sim/genome.fa".to_string() } else { self.genome() };
        let smoke = recipe("smoke.toml");
        let mut args = vec!["pretrain", &genome, "--recipe", &smoke, "-o", output];
        args.extend(QUICK);
        self.works(&args);
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The steps of a run's checkpoints, increasing.
    pub fn checkpoints(&self, run: &str) -> Vec<u64> {
        let entries = fs::read_dir(self.path(run).join("checkpoints")).unwrap().flatten();
        let mut steps: Vec<u64> =
            entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok()).collect();
        steps.sort_unstable();
        steps
    }
}

/// Past the capture of the test harness: a test that was skipped must not look like one that passed.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
