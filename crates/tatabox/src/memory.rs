//! What is free: memory of the machine and of the control groups that this process runs in, and space on a device.

use std::fs;
use std::path::Path;

/// What is free, and what sets that limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// Bytes.
    pub bytes: u64,
    /// "this machine", or "the memory limit of this process's control group".
    pub limit: &'static str,
}

/// The memory that is free for this process; `None` where the system does not say (it has no `/proc/meminfo`).
pub fn available() -> Option<Available> {
    let machine = mem_available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = fs::read_to_string("/proc/self/cgroup").map(|groups| group_free(Path::new("/sys/fs/cgroup"), &groups));
    match group {
        Ok(Some(group)) if group < machine => {
            Some(Available { bytes: group, limit: "the memory limit of this process's control group" })
        }
        _ => Some(Available { bytes: machine, limit: "this machine" }),
    }
}

/// The memory that is free for the engine: the GPU's where one was chosen, else as [`available`].
///
/// # Errors
/// The chosen GPU cannot be used.
pub fn available_to_engine() -> crate::error::Result<Option<Available>> {
    match tatabox_engine::Device::selected()? {
        tatabox_engine::Device::Cpu(_) => Ok(available()),
        tatabox_engine::Device::Cuda(gpu) => Ok(Some(Available { bytes: gpu.free_bytes()?, limit: "this GPU" })),
    }
}

/// Bytes that are free on the device where `path` is, or will be; `None` where the system does not say.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let there = absolute.ancestors().find(|folder| folder.exists())?;
    let device = rustix::fs::statvfs(there).ok()?;
    Some(device.f_bavail.saturating_mul(device.f_frsize))
}

/// Bytes that are free on the device where `path` is: not asked for on this system.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The least that any control group on the way up to the root leaves free; `None` without a limit. `groups` is `/proc/self/cgroup`.
fn group_free(root: &Path, groups: &str) -> Option<u64> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let mut least = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(kind), Some(path)) = (fields.next(), fields.next()) else { continue };
        // Version 2 has one hierarchy without a name; version 1 has one for memory.
        let (top, limit, used) = match kind {
            "" => (root.to_path_buf(), "memory.max", "memory.current"),
            kind if kind.split(',').any(|kind| kind == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => continue,
        };
        // Inside a container the path may be the host's: then only the top is there to see.
        let mut folder = top.join(path.trim_start_matches('/'));
        while folder.starts_with(&top) {
            if let (Some(limit), Some(used)) = (number(&folder.join(limit)), number(&folder.join(used))) {
                let cache = inactive_file(&folder).unwrap_or(0);
                let free = limit.saturating_sub(used.saturating_sub(cache));
                least = Some(least.map_or(free, |least: u64| least.min(free)));
            }
            if !folder.pop() {
                break;
            }
        }
    }
    least
}

/// Cached file pages, counted as used but given back when memory is short.
fn inactive_file(folder: &Path) -> Option<u64> {
    let stat = fs::read_to_string(folder.join("memory.stat")).ok()?;
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("total_inactive_file ").or_else(|| line.strip_prefix("inactive_file ")))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_space_of_a_path_that_is_not_there_is_that_of_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_space(&folder.path().join("runs/rice")).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn reads_meminfo() {
        let text = "MemTotal:       24000000 kB\nMemFree:  1 kB\nMemAvailable:   2000 kB\n";
        assert_eq!(mem_available(text), Some(2_048_000));
        assert_eq!(mem_available("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn the_tightest_control_group_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("slice/job");
        fs::create_dir_all(&inner).unwrap();
        let write = |folder: &Path, name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        assert_eq!(group_free(root.path(), "0::/slice/job\n"), None);
        write(&inner, "memory.max", "max\n");
        write(&inner, "memory.current", "100\n");
        assert_eq!(group_free(root.path(), "0::/slice/job\n"), None);
        write(&root.path().join("slice"), "memory.max", "1000\n");
        write(&root.path().join("slice"), "memory.current", "400\n");
        assert_eq!(group_free(root.path(), "0::/slice/job\n"), Some(600));
        write(&root.path().join("slice"), "memory.stat", "anon 5\ninactive_file 300\n");
        assert_eq!(group_free(root.path(), "0::/slice/job\n"), Some(900));
    }

    #[test]
    fn the_older_control_groups_count_as_well() {
        let root = tempfile::tempdir().unwrap();
        let job = root.path().join("memory/job");
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("memory.limit_in_bytes"), "5000").unwrap();
        fs::write(job.join("memory.usage_in_bytes"), "2000").unwrap();
        assert_eq!(group_free(root.path(), "3:cpu:/job\n2:memory:/job\n"), Some(3000));
    }
}
