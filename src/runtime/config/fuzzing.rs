//! A way in for `fuzz/`: the file of an operator. It panics where something does not hold.

use super::{Config, Sources, parse_duration, values::written_duration};

/// A file of settings, read or refused.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(config) = read(&text) {
        // What is asked of a configuration once it was found good.
        let _ = (config.producers(), config.policies(), config.outcomes(), config.retention());
    }
    if let Some(duration) = parse_duration(&text) {
        assert_eq!(parse_duration(&written_duration(duration)), Some(duration), "a duration has one form");
    }
}

fn read(text: &str) -> anyhow::Result<Config> {
    let mut sources = Sources::of_text(text)?;
    let config = Config::read(&mut sources)?;
    sources.finish()?;
    config.check()?;
    Ok(config)
}
