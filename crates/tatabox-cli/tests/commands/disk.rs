//! A device without space and a directory that cannot be written, in a mount namespace of their own.

use crate::shell::{Seen, Shell, recipe, seen};

/// Runs a script as root of a user namespace with its own mounts, so that nothing of the machine changes. `None`, with a printed word, where
/// the system does not allow it.
fn with_own_mounts(shell: &Shell, script: &str) -> Option<Seen> {
    let unshare = |script: &str| {
        let mut command = shell.command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command
    };
    let allowed = unshare("mkdir -p probe && mount -t tmpfs -o size=64k tmpfs probe").output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system does not let a test mount a file system of its own");
        return None;
    }
    Some(seen(&mut unshare(script)))
}

#[test]
fn no_space_left_is_said_and_leaves_nothing_half_written() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    // Enough for the small files of a run, not for its weights.
    let script = format!(
        "mkdir full && mount -t tmpfs -o size=400k tmpfs full && tatabox pretrain {genome} --recipe {smoke} -o full/run; \
         code=$?; find full -type f -size +0 -name '*.safetensors*'; find full -name '.tmp*'; exit $code"
    );
    let Some(seen) = with_own_mounts(&shell, &script) else { return };
    seen.fails(1, &["full/run", "No space left on device", "hint: ", "space"]);
}

#[test]
fn no_space_in_the_cache_is_said() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let script = format!(
        "mkdir full && mount -t tmpfs -o size=8k tmpfs full && tatabox --cache full/cache pretrain {genome} --recipe {smoke} -o run"
    );
    let Some(seen) = with_own_mounts(&shell, &script) else { return };
    seen.fails(1, &["full/cache", "No space left on device", "hint: "]);
    assert!(!shell.path("run").exists());
}

#[test]
fn a_read_only_directory_is_said() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let read_only = "mkdir -p frozen && mount --bind frozen frozen && mount -o remount,ro,bind frozen";
    for verb in [
        format!("tatabox pretrain {genome} --recipe {smoke} -o frozen/run"),
        format!("tatabox mask freeze {genome} --recipe {smoke} --sequences 2 -o frozen/masks.jsonl"),
        "tatabox simulate --bases 100k --contigs 2 -o frozen/sim".to_string(),
    ] {
        let Some(seen) = with_own_mounts(&shell, &format!("{read_only} && {verb}")) else { return };
        seen.fails(1, &["frozen/", "Read-only file system", "hint: ", "`-o`"]);
    }
}

#[test]
fn a_full_stdout_is_said() {
    let shell = Shell::new();
    let seen = seen(shell.command("sh").args(["-c", "tatabox simulate --bases 100k --contigs 2 -o sim > /dev/full"]));
    seen.fails(1, &["No space left on device"]);
}
