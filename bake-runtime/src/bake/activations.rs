//! How much memory the activations of a training may take.

/// What they get at least, and where it is not known what is free.
const LEAST: usize = 256 << 20;

/// Half of the memory that is free, so that another program finds some too.
pub(super) fn room() -> usize {
    free().map_or(LEAST, |free| (free / 2).max(LEAST))
}

/// Bytes that this program can take before the system has to free others: of the machine, and of
/// the control group that it runs in.
#[cfg(target_os = "linux")]
fn free() -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(available);
    let group = read("/proc/self/cgroup").and_then(|groups| {
        let folder = format!("/sys/fs/cgroup{}", group(&groups)?);
        let [limit, taken] = ["memory.max", "memory.current"]
            .map(|file| read(&format!("{folder}/{file}"))?.trim().parse::<usize>().ok());
        Some(limit?.saturating_sub(taken?))
    });
    machine.into_iter().chain(group).min()
}

#[cfg(not(target_os = "linux"))]
fn free() -> Option<usize> {
    None
}

/// The line `MemAvailable` of `/proc/meminfo`, in bytes.
#[cfg(any(target_os = "linux", test))]
fn available(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The control group of `/proc/self/cgroup`, where there is one of version 2.
#[cfg(any(target_os = "linux", test))]
fn group(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let meminfo = "MemTotal:       24600000 kB\nMemAvailable:    2048 kB\nBuffers: 1 kB\n";
        assert_eq!(available(meminfo), Some(2 << 20));
        for other in ["", "MemAvailable: many kB", "MemAvailable: 5", "MemTotal: 1 kB"] {
            assert_eq!(available(other), None);
        }
        assert_eq!(group("1:name=x:/y\n0::/user.slice/a\n"), Some("/user.slice/a"));
        assert_eq!(group("4:memory:/z\n"), None);
        assert!(room() >= LEAST);
    }
}
