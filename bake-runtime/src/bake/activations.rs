//! How much memory the activations of a training may take.

#[cfg(any(target_os = "linux", test))]
use std::path::Path;

/// What they get at least, and where it is not known what is free.
const LEAST: usize = 256 << 20;

/// Half of the memory that is free, so that another program finds some too.
pub(super) fn room() -> usize {
    free().map_or(LEAST, |free| (free / 2).max(LEAST))
}

/// Bytes that this program can take before the system has to free others: of the machine, and of
/// the control groups that it runs in.
#[cfg(target_os = "linux")]
fn free() -> Option<usize> {
    let machine = read(Path::new("/proc/meminfo")).as_deref().and_then(available);
    let groups = read(Path::new("/proc/self/cgroup"));
    let groups = groups.and_then(|groups| free_of_groups(&groups, Path::new("/sys/fs/cgroup")));
    machine.into_iter().chain(groups).min()
}

#[cfg(not(target_os = "linux"))]
fn free() -> Option<usize> {
    None
}

#[cfg(any(target_os = "linux", test))]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The line `MemAvailable` of `/proc/meminfo`, in bytes.
#[cfg(any(target_os = "linux", test))]
fn available(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// What a version of control groups calls its files and numbers.
#[cfg(any(target_os = "linux", test))]
struct GroupFiles {
    limits: &'static [&'static str],
    taken: &'static str,
    /// The pages of files in `memory.stat`, which the system gives up when a program needs memory.
    cached: [&'static str; 2],
}

#[cfg(any(target_os = "linux", test))]
const VERSION_1: GroupFiles = GroupFiles {
    limits: &["memory.limit_in_bytes"],
    taken: "memory.usage_in_bytes",
    cached: ["total_active_file", "total_inactive_file"],
};

#[cfg(any(target_os = "linux", test))]
const VERSION_2: GroupFiles = GroupFiles {
    limits: &["memory.max", "memory.high"],
    taken: "memory.current",
    cached: ["active_file", "inactive_file"],
};

#[cfg(any(target_os = "linux", test))]
impl GroupFiles {
    /// What is free in a group, where it has a limit.
    fn free(&self, folder: &Path) -> Option<usize> {
        let number = |file: &str| read(&folder.join(file))?.trim().parse::<usize>().ok();
        let limit = self.limits.iter().filter_map(|file| number(file)).min()?;
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let of_stat = |name: &str| {
            let mut lines = stat.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.trim().parse::<usize>().ok()).unwrap_or(0)
        };
        let cached: usize = self.cached.iter().map(|name| of_stat(name)).sum();
        Some(limit.saturating_sub(number(self.taken)?.saturating_sub(cached)))
    }
}

/// What is free in the tightest of the control groups that `/proc/self/cgroup` names and of the
/// groups around them, whose limits hold too. In a container the groups can be mounted so that the
/// path does not exist, but one of the groups around it does.
#[cfg(any(target_os = "linux", test))]
fn free_of_groups(groups: &str, mounted: &Path) -> Option<usize> {
    let mut least: Option<usize> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (files, root) = match controllers {
            "" => (&VERSION_2, mounted.to_owned()),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (&VERSION_1, mounted.join("memory"))
            }
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&root)) {
            least = least.into_iter().chain(files.free(folder)).min();
        }
    }
    least
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
        assert!(room() >= LEAST);
    }

    /// Writes the files of a control group.
    fn group(folder: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_tightest_group_counts_and_pages_of_files_are_free() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let stat = "anon 5\ninactive_file 100\nactive_file 30\nactive_file_other 7\n";
        let slice = root.join("user.slice");
        let own = slice.join("job");
        group(&own, &[("memory.max", "max\n"), ("memory.current", "700\n")]);
        let groups = "1:name=systemd:/x\n0::/user.slice/job\n";
        assert_eq!(free_of_groups(groups, root), None);
        group(&own, &[("memory.max", "2000\n"), ("memory.stat", stat)]);
        assert_eq!(free_of_groups(groups, root), Some(2000 - 700 + 130));
        group(&own, &[("memory.high", "1900\n")]);
        assert_eq!(free_of_groups(groups, root), Some(1900 - 700 + 130));
        group(&slice, &[("memory.max", "1500\n"), ("memory.current", "1000\n")]);
        assert_eq!(free_of_groups(groups, root), Some(500));
        group(&slice, &[("memory.current", "1600\n")]);
        assert_eq!(free_of_groups(groups, root), Some(0));
        // In a container, where only the group itself is mounted.
        group(root, &[("memory.max", "90"), ("memory.current", "20")]);
        assert_eq!(free_of_groups("0::/elsewhere/job\n", root), Some(70));
    }

    #[test]
    fn groups_of_version_1_are_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("memory.limit_in_bytes", "9000"),
            ("memory.usage_in_bytes", "8000"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 400\ntotal_active_file 50\n"),
        ];
        group(&dir.path().join("memory/docker"), &files);
        let groups = "5:cpu,cpuacct:/\n4:memory:/docker/abc\n";
        assert_eq!(free_of_groups(groups, dir.path()), Some(9000 - 8000 + 450));
        assert_eq!(free_of_groups("4:cpu:/docker/abc\n", dir.path()), None);
    }
}
