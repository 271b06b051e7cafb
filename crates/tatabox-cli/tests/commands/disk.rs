//! A device without space and a directory that cannot be written, in a mount namespace of their own.

use crate::shell::{Seen, Shell, recipe, seen, skipped};

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
        skipped("this system does not let a test mount a file system of its own");
        return None;
    }
    Some(seen(&mut unshare(script)))
}

#[test]
fn a_device_too_small_for_a_run_is_refused_before_anything_is_written() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let script = format!(
        "mkdir full && mount -t tmpfs -o size=400k tmpfs full && \
         {{ tatabox pretrain {genome} --recipe {smoke} -o full/run; code=$?; find full -mindepth 1; exit $code; }}"
    );
    let Some(seen) = with_own_mounts(&shell, &script) else { return };
    seen.fails(1, &["full/run", "free", "hint: ", "space"]);
}

#[test]
fn a_device_that_fills_up_stops_a_run_and_loses_nothing() {
    let shell = Shell::new();
    let genome = shell.genome();
    let smoke = recipe("smoke.toml");
    let pretrain = format!(
        "tatabox pretrain {genome} --recipe {smoke} --set train.batch_tokens=512 --set train.steps=120 --set evaluate.sequences=4 --set log.every=1 -o"
    );
    let script = format!(
        "mkdir full && mount -t tmpfs -o size=100m tmpfs full || exit; {pretrain} full/run & pid=$!; \
         while [ ! -s full/run/metrics.jsonl ] && kill -0 $pid; do sleep 0.02; done; cat /dev/zero > full/zeros 2> /dev/null; \
         wait $pid; code=$?; rm full/zeros; tatabox pretrain --resume full/run 2> resumed.txt > /dev/null && \
         cp full/run/model.safetensors after.safetensors; exit $code"
    );
    let Some(seen) = with_own_mounts(&shell, &script) else { return };
    if seen.code == 0 {
        skipped("the run was over before the device was full");
        return;
    }
    seen.fails(1, &["full/run", "No space left on device", "hint: ", "--resume"]);
    shell.works(&pretrain.split(' ').skip(1).chain(["whole"]).collect::<Vec<_>>());
    assert!(shell.bytes("whole/model.safetensors") == shell.bytes("after.safetensors"));
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
