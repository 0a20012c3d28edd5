//! Children of the bench, and what a process tree uses: CPU and memory, from `/proc`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Ticks per second of the times in `/proc/<pid>/stat`: part of Linux's interface on every common architecture.
const TICKS: u64 = 100;

/// What a process tree has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all its processes, threads and waited-for children, to 10 ms.
    pub cpu: Duration,
    /// Resident memory, summed over its processes, in KiB.
    pub rss_kib: u64,
}

/// The process and all its descendants, as of now.
#[must_use]
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((pid, parent)) = pid.and_then(|pid| Some((pid, stat_field(pid, 4)?))) {
            children.entry(u32::try_from(parent).unwrap_or(0)).or_default().push(pid);
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(pid) = tree.get(next) {
        tree.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    tree
}

/// What these processes have used; those that ended count nothing.
#[must_use]
pub fn usage(pids: &[u32]) -> Usage {
    // utime, stime, and both of children that were waited for
    let ticks: u64 = pids.iter().flat_map(|pid| (14..=17).filter_map(|field| stat_field(*pid, field))).sum();
    Usage { cpu: Duration::from_millis(ticks * 1000 / TICKS), rss_kib: rss_kib(pids) }
}

/// Resident memory of these processes in KiB.
#[must_use]
pub fn rss_kib(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// A numbered field of `/proc/<pid>/stat`, counted from 1 as in proc(5).
fn stat_field(pid: u32, number: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses and may contain anything.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// Restricts all threads of these processes to the cores in `list` (`0`, `0-1`).
pub fn pin(pids: &[u32], list: &str) -> Result<()> {
    for pid in pids {
        let done = Command::new("taskset")
            .args(["-a", "-c", "-p", list, &pid.to_string()])
            .stdout(Stdio::null())
            .status()
            .context("cannot run taskset (package util-linux)")?;
        ensure!(done.success(), "taskset could not pin process {pid} to {list}");
    }
    Ok(())
}

/// A child process that ends with this value: asked first, then killed, by its process id.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Spawns `command` with its output in `log`.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Running> {
        let output = File::options().create(true).append(true).open(log)?;
        let program = command.get_program().display().to_string();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Running { child })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True once it has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        if self.ended() {
            return;
        }
        let tree = tree(self.pid());
        signal("-TERM", &tree[..1]);
        let asked = Instant::now();
        while !self.ended() {
            if asked.elapsed() > PATIENCE {
                signal("-KILL", &tree);
                let _ = self.child.wait();
                return;
            }
            sleep(Duration::from_millis(2));
        }
    }
}

fn signal(name: &str, pids: &[u32]) {
    // A process that ended meanwhile is what we want.
    let _ =
        Command::new("kill").arg(name).args(pids.iter().map(u32::to_string)).stderr(Stdio::null()).status();
}

/// Allows this process, and the children it starts from now on, as many open files as the machine lets it.
///
/// Without `prlimit` (package util-linux) the limit stays; many idle streams then fail to open, and say so.
pub fn allow_many_files() {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if let Some(hard) = line.and_then(|line| line.split_ascii_whitespace().nth(1)) {
        let pid = std::process::id().to_string();
        let limit = format!("--nofile={hard}:{hard}");
        let _ = Command::new("prlimit").args(["--pid", &pid, &limit]).stderr(Stdio::null()).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_is_its_own_tree_root() {
        let me = std::process::id();
        assert_eq!(tree(me)[0], me);
        assert!(usage(&[me]).rss_kib > 100);
    }

    #[test]
    fn a_tree_has_its_children_and_ends_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]);
        let running = Running::spawn(command, &folder.path().join("log")).unwrap();
        let pid = running.pid();
        while tree(pid).len() < 2 {
            std::thread::yield_now();
        }
        let grandchild = tree(pid)[1];
        drop(running);
        assert_eq!(stat_field(pid, 4), None);
        signal("-KILL", &[grandchild]);
    }
}
