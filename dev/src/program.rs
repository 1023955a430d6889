//! Programs: one child process each, with its output in a file, ended by name of what it is.

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Linux on every machine this runs on.
const TICKS_EACH_SECOND: u64 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A program that runs until it is stopped.
pub struct Program {
    name: &'static str,
    log: PathBuf,
    child: Child,
    /// How it is asked to end.
    ending: Signal,
}

impl Program {
    /// Starts a program in a process group of its own, so that Ctrl-C reaches it in the order we choose. Its output goes to
    /// `<name>.log` in the folder, and it is asked to end with a signal.
    ///
    /// # Errors
    /// When it cannot be started, or its log cannot be written.
    pub fn start(name: &'static str, mut command: Command, logs: &Path, ending: Signal) -> anyhow::Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child =
            command.spawn().with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        Ok(Self { name, log, child, ending })
    }

    /// Has it ended by itself?
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// What it has used so far, with the processes it started.
    #[must_use]
    pub fn usage(&self) -> Usage {
        usage_of(self.child.id())
    }

    /// Waits until it is ready, by asking it.
    ///
    /// # Errors
    /// When it ends, or takes longer.
    pub async fn ready(&mut self, within: Duration, is_ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + within;
        loop {
            if self.has_ended() {
                bail!("{} ended while it started. Its last lines:\n{}", self.name, self.last_lines());
            }
            if is_ready().await {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{} is not ready after {within:?}. Its last lines:\n{}", self.name, self.last_lines());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks it to end, and makes it when it does not.
    pub fn stop(&mut self) {
        if self.has_ended() {
            return;
        }
        self.signal(self.ending);
        let until = Instant::now() + STOP_WITHIN;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        self.kill();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::SIGKILL);
            drop(self.child.wait());
        }
    }

    /// Lets it hang: it is there, and does nothing. Only [`Program::kill`] ends it then.
    pub fn hang(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on after it hung.
    pub fn go_on(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            // An error means that it has ended this very moment.
            let _ended = kill(Pid::from_raw(id), signal);
        }
    }

    fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(12)..].join("\n");
        format!("{last}\n(all of it: {})", self.log.display())
    }
}

/// What a program has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time since it started.
    pub cpu: Duration,
    /// Resident memory now, in bytes; of what several processes share, each has its part.
    pub memory_bytes: u64,
}

/// What a process and its children have used, read from `/proc`.
#[must_use]
pub fn usage_of(process: u32) -> Usage {
    let mut usage = Usage::default();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may hold anything; what follows does not.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<u64> = rest.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        let [_, parent, ..] = fields[..] else { continue };
        if id != process && parent != u64::from(process) {
            continue;
        }
        // utime, stime, and those of children that have ended.
        let ticks: u64 = fields[11..15].iter().sum();
        usage.cpu += Duration::from_millis(ticks * 1000 / TICKS_EACH_SECOND);
        let memory = std::fs::read_to_string(entry.path().join("smaps_rollup")).unwrap_or_default();
        let part =
            memory.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok());
        usage.memory_bytes += part.unwrap_or_default() * 1024;
    }
    usage
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}
