//! Runs a program under callgrind and reads its profile, whose format is described at
//! <https://valgrind.org/docs/manual/cl-format.html>.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The functions of the C library that take memory.
const ALLOCATES: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// What one run of a function came to, with all that it called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub instructions: u64,
    pub allocations: u64,
}

/// Counts each run of a function of a program, in order. `None`: there is no valgrind.
pub fn counted(program: &Path, argument: &str, function: &str) -> anyhow::Result<Option<Vec<Counted>>> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let folder = Folder::new()?;
    // Valgrind reads a program's debug information, which takes it longer than to run the program, and needs only its names.
    let stripped = folder.0.join("program");
    let strip = Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(program).status();
    let program = if strip.is_ok_and(|status| status.success()) { stripped.as_path() } else { program };
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", folder.0.join("counts").display()))
        // Each profile has what was counted since the one before. To collect only within the function would be as good for
        // instructions, but calls are counted all the time.
        .arg(format!("--dump-before={function}"))
        .arg(format!("--dump-after={function}"))
        .arg("--dump-line=no")
        .arg(program)
        .arg(argument)
        .stdout(Stdio::null())
        .output()
        .context("valgrind")?;
    ensure!(
        run.status.success(),
        "valgrind ended with {}: {}",
        run.status,
        String::from_utf8_lossy(&run.stderr)
    );
    let mut counted = Vec::new();
    // Every other profile is of the function.
    while let Ok(profile) = fs::read_to_string(folder.0.join(format!("counts.{}", 2 * counted.len() + 2))) {
        counted.push(read(&profile)?);
    }
    Ok(Some(counted))
}

/// A folder below `target`, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guard-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Of no use any more, and below `target`.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads one profile. A function has a number and, where it is named first, its name; a line `calls=` follows the function
/// that is called.
fn read(profile: &str) -> anyhow::Result<Counted> {
    let (mut instructions, mut allocations) = (None, 0);
    let (mut allocate, mut is_allocation) = (HashSet::new(), false);
    for line in profile.lines() {
        let function = line.strip_prefix("fn=").map(|function| (function, false));
        if let Some((function, is_called)) =
            function.or(line.strip_prefix("cfn=").map(|function| (function, true)))
        {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if ALLOCATES.contains(&name) {
                allocate.insert(number);
            }
            is_allocation = is_called && allocate.contains(number);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if is_allocation {
                allocations += calls.split(' ').next().unwrap_or_default().parse::<u64>()?;
            }
        } else if let Some(summary) = line.strip_prefix("summary: ") {
            instructions = Some(summary.trim().parse()?);
        }
    }
    Ok(Counted { instructions: instructions.context("a profile has no summary")?, allocations })
}
