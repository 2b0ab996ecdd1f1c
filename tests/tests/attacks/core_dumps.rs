//! A core dump has every secret of its process in it, and lies where the machine puts such files: the program writes none.

use anyhow::Context as _;
use watchbell_tests::fleet::{Engine, Fleet};

#[tokio::test(flavor = "multi_thread")]
async fn the_program_leaves_no_core_dump() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(Engine::Embedded, (600_000, 600_000), &[]).await?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", fleet.worker("up")?.pid()))?;
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).context("no limit")?;
    // Soft and hard: nothing in the process can raise it again.
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    Ok(())
}
