//! `watchbell hook try`

use std::{
    fs,
    io::{Read as _, stdin},
    path::Path,
};

use anyhow::{Context as _, anyhow, ensure};
use jiff::Timestamp;
use watchbell::wire::Problem;
use watchbell_ingest::{ConfiguredHooks, Routes, Setting, try_out};

use crate::{
    cli::{HookArgs, HookCommand},
    config::FleetConfig,
    output,
};

/// A payload is read up to this many bytes, as the hook itself does.
const PAYLOAD_BYTES_MAX: u64 = 8 * 1024 * 1024;

pub(crate) fn run(args: &HookArgs, config: &FleetConfig) -> anyhow::Result<()> {
    let HookCommand::Try { name, file, query, tenant } = &args.command;
    let tenant = super::tenant_or_demo(tenant.as_deref(), &config.shared)?;
    let policies = config.shared.policies();
    let setting = Setting {
        hooks: &ConfiguredHooks::new(&config.hook)?,
        routes: &Routes::new(&config.route, &policies)?,
        policies: &policies,
        tenant: &tenant,
        query: query.strip_prefix('?').unwrap_or(query),
        now: Timestamp::now(),
    };
    let alerts = try_out(name, &read(file)?, setting).map_err(|problem| refused(&problem))?;
    for alert in &alerts {
        output::line(serde_json::to_string_pretty(alert)?);
    }
    let refused = alerts.iter().filter(|alert| alert.get("refused").is_some()).count();
    ensure!(refused == 0, "{refused} of {} would be refused", alerts.len());
    Ok(())
}

/// A file, or standard input for `-`.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    match file.as_os_str() == "-" {
        true => stdin().take(PAYLOAD_BYTES_MAX).read_to_end(&mut text).map(drop),
        false => fs::File::open(file)
            .and_then(|file| file.take(PAYLOAD_BYTES_MAX).read_to_end(&mut text))
            .map(drop),
    }
    .with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text)
}

/// The answer of the hook, in one line.
pub(super) fn refused(problem: &Problem) -> anyhow::Error {
    let field = problem.field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default();
    anyhow!("{field}{}", problem.detail.as_deref().unwrap_or(problem.title))
}
