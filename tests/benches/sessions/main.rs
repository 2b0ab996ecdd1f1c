//! What a session costs and how fast a frame reaches ten thousand of them, beside a bare loop in the same run.
//!
//!     cargo bench -p watchbell-tests --bench sessions                       every part, 10,000 sessions
//!     cargo bench -p watchbell-tests --bench sessions -- --sessions 18000 memory fanout
//!
//! Parts: `memory` `accepts` `fanout` `slow` `churn` `stampede`. The server runs on the first core and the clients on the
//! second, so that a figure is one core's. Figures are printed, never judged; a frame that is missing ends the run.
//!
//! | file | what |
//! |---|---|
//! | `client.rs` | raw clients: a connection, and frames as bytes |
//! | `floor.rs` | the floor: a process that accepts, and writes the same bytes to everybody |
//! | `parts.rs` | what is measured |
//! | `server.rs` | the fleet that is measured, its memory, its tokens |

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod client;
mod floor;
mod parts;
mod server;

use anyhow::bail;

/// Sessions when no number is given. The clients' process needs as many open files.
const SESSIONS: usize = 10_000;
const PARTS: [&str; 6] = ["memory", "accepts", "fanout", "slow", "churn", "stampede"];

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == floor::ARGUMENT) {
        return floor::serve();
    }
    watchbell_tests::services::wait_for_the_disk();
    let mut sessions = SESSIONS;
    if let Some(at) = arguments.iter().position(|argument| argument == "--sessions") {
        sessions = arguments.get(at + 1).map_or(Ok(SESSIONS), |number| number.parse())?;
        arguments.drain(at..(at + 2).min(arguments.len()));
    }
    if let Some(unknown) = arguments.iter().find(|argument| !PARTS.contains(&argument.as_str())) {
        bail!("{unknown} is no part: choose from {PARTS:?}");
    }
    server::stay_on_core(server::CLIENT_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for part in
            PARTS.iter().filter(|part| arguments.is_empty() || arguments.iter().any(|asked| asked == *part))
        {
            match *part {
                "memory" => parts::memory(sessions).await?,
                "accepts" => parts::accepts(sessions).await?,
                "fanout" => parts::fanout(sessions).await?,
                "slow" => parts::slow(sessions).await?,
                "churn" => parts::churn(sessions).await?,
                _ => parts::stampede(sessions).await?,
            }
        }
        Ok(())
    })
}
