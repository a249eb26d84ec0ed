//! How much memory this process may still take: the machine's, or less inside a container.

use std::fs;
use std::path::Path;

/// Bytes that can be taken without swapping, within the limits of the machine and of the control
/// groups (v2 and v1); none where the system does not say.
pub(super) fn available_memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_available(&text));
    [machine, cgroup_v2(Path::new("/sys/fs/cgroup")), cgroup_v1(Path::new("/sys/fs/cgroup/memory"))]
        .into_iter()
        .flatten()
        .min()
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn meminfo_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn cgroup_v2(group: &Path) -> Option<u64> {
    free_below_limit(group, ["memory.max", "memory.current"], "file")
}

fn cgroup_v1(group: &Path) -> Option<u64> {
    free_below_limit(group, ["memory.limit_in_bytes", "memory.usage_in_bytes"], "total_cache")
}

/// The limit less what is used; pages of files count as free, the system drops them when needed.
fn free_below_limit(group: &Path, [limit, usage]: [&str; 2], file_pages: &str) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit)?; // "max" is no number: no limit
    let usage = number(usage)?;
    let stat = fs::read_to_string(group.join("memory.stat")).ok();
    let file_pages = stat.as_deref().and_then(|stat| stat_value(stat, file_pages)).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(file_pages)))
}

/// The number after `name` in a `memory.stat`.
fn stat_value(stat: &str, name: &str) -> Option<u64> {
    let mut pairs = stat.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_kibibytes() {
        let text = "MemTotal:       24000000 kB\nMemFree:  5 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(meminfo_available(text), Some(12345 * 1024));
        assert_eq!(meminfo_available("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn a_group_has_free_what_its_limit_leaves_and_its_file_pages() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
        assert_eq!(cgroup_v2(group.path()), None);
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        assert_eq!(cgroup_v2(group.path()), Some(300));
        write("memory.stat", "anon 500\nfile 200\nfile_mapped 7\n");
        assert_eq!(cgroup_v2(group.path()), Some(500));
        write("memory.max", "max\n");
        assert_eq!(cgroup_v2(group.path()), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_how_much_it_has() {
        assert!(available_memory().is_some_and(|bytes| bytes > 0));
    }
}
