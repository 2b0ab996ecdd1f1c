//! Kills what a test process started once that process is gone, however it went.
//!
//! Rust does not drop statics, a panic may abort and a runner may kill -9, so `Drop` is not enough;
//! and Linux's parent-death signal fires when the *thread* that spawned the child ends, which is the end
//! of the first test. So a small shell holds the reading end of a pipe whose writing end is ours alone:
//! when the kernel closes it, the shell kills and removes whatever is still on its list.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::Context;

/// One order a line. A watched process is the leader of its own group, so `-PID` is all of it.
const SCRIPT: &str = r#"
pids=' '
dirs=''
while read -r verb what; do
  case $verb in
    watch) pids="$pids$what " ;;
    forget) case $pids in *" $what "*) pids="${pids%% $what *} ${pids#* $what }" ;; esac ;;
    remove) dirs="$dirs$what
" ;;
  esac
done
for pid in $pids; do kill -s KILL -- "-$pid" "$pid"; done
printf %s "$dirs" | while read -r dir; do
  # A process takes a moment to die and may write meanwhile.
  for try in 1 2 3 4 5; do rm -rf -- "$dir" && break; sleep 1; done
done
"#;

static GUARD: LazyLock<Option<Guard>> = LazyLock::new(|| Guard::start().ok());

/// From now on `pid`, the leader of its process group, dies with this process.
pub(crate) fn watch(pid: u32) {
    order(&format!("watch {pid}"));
}

/// `pid` is gone and waited for: its number may be somebody else's soon.
pub(crate) fn forget(pid: u32) {
    order(&format!("forget {pid}"));
}

/// `dir` is removed when this process is gone.
pub(crate) fn remove(dir: &Path) {
    order(&format!("remove {}", dir.display()));
}

fn order(line: &str) {
    let guard = GUARD.as_ref().expect("sh and setsid can be started");
    guard.order(line).expect("the guard lives as long as this process");
}

struct Guard {
    orders: Mutex<ChildStdin>,
    _shell: Child,
}

impl Guard {
    fn start() -> anyhow::Result<Self> {
        // In a session of its own, so that Ctrl-C in the terminal does not take it along.
        let mut shell = Command::new("setsid")
            .args(["sh", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the guard with setsid and sh")?;
        let orders = Mutex::new(shell.stdin.take().context("the guard has no stdin")?);
        Ok(Self { orders, _shell: shell })
    }

    fn order(&self, line: &str) -> std::io::Result<()> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(orders, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::time::Duration;
    use std::{env, fs, process};

    use super::*;
    use crate::until::until;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").process_group(0).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Dropping a guard closes the pipe, as the kernel does when the process dies.
    #[tokio::test]
    async fn what_is_watched_dies_with_us_and_what_is_forgotten_does_not() {
        let guard = Guard::start().unwrap();
        let dir = env::temp_dir().join(format!("watchbell-guard-{}", process::id()));
        fs::create_dir(&dir).unwrap();
        let (mut first, mut forgotten, mut last) = (sleeper(), sleeper(), sleeper());
        for child in [&first, &forgotten, &last] {
            guard.order(&format!("watch {}", child.id())).unwrap();
        }
        guard.order(&format!("forget {}", forgotten.id())).unwrap();
        guard.order(&format!("remove {}", dir.display())).unwrap();
        drop(guard);

        for child in [&mut first, &mut last] {
            let gone = async || child.try_wait().unwrap();
            until("the guard kills what it watches", Duration::from_secs(5), gone).await.unwrap();
        }
        let removed = async || (!dir.exists()).then_some(());
        until("the guard removes the folder", Duration::from_secs(5), removed).await.unwrap();
        assert!(forgotten.try_wait().unwrap().is_none(), "the forgotten one still runs");
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
