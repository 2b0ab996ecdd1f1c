//! The binary `watchbell`: composes workers in one process, and the operator's commands.
//! The map of the files is in `README.md` of this crate.

mod addresses;
mod cli;
mod cli_bench;
mod cli_doctor;
mod cli_explain;
mod cli_people;
mod cli_producer;
mod client;
mod commands;
mod compose;
mod config;
mod console;
mod data_folder;
mod dead;
mod demo;
mod demo_access;
mod demo_file;
mod demo_people;
mod demo_role;
mod doctor;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod documents_tests;
mod given_address;
mod health_checks;
mod manual;
mod message_links;
mod metric_tables;
mod oidc;
mod output;
mod reload;
mod role;
mod traces;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::FleetConfig;
use doctor::requirements;
use reload::Reload;
use rustix::process::{Resource, Rlimit, setrlimit};
use watchbell::runtime::config::environment;

#[tokio::main]
async fn main() -> ExitCode {
    no_core_dumps();
    let cli = Cli::parse();
    // On the heap: the configuration makes it large.
    match Box::pin(run(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::problem(&error);
            ExitCode::FAILURE
        }
    }
}

/// A core dump would have every secret of the process in it, and would be wherever the machine puts such files.
fn no_core_dumps() {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    // Lowering a limit is everybody's right. Should a sandbox forbid even that, the program is no worse than before.
    if let Err(error) = setrlimit(Resource::Core, nothing) {
        output::note(format!("watchbell: core dumps cannot be turned off: {error}"));
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let read = || FleetConfig::load(cli.config.as_deref(), environment(std::env::vars_os())?);
    let config = || {
        let config = read()?;
        config.passed_over.iter().for_each(output::note);
        anyhow::Ok(config)
    };
    let shared = || config().map(|config| config.shared);
    match cli.command {
        Command::Up(args) => {
            let env = environment(std::env::vars_os())?;
            let (file, again) = (cli.config.clone(), env.clone());
            let load = move || {
                let mut config = FleetConfig::load(file.as_deref(), again.clone())?;
                if !FleetConfig::chooses_logs(file.as_deref(), again.clone())? {
                    config.shared.log.filter = up::LOG_FILTER.to_owned();
                }
                Ok(config)
            };
            let (config, reload) = Reload::begin(cli.config.as_deref(), &env, Box::new(load))?;
            Box::pin(up::run(config, reload, args)).await
        }
        Command::Run(args) => {
            let env = environment(std::env::vars_os())?;
            let (file, again) = (cli.config.clone(), env.clone());
            let load = move || FleetConfig::load(file.as_deref(), again.clone());
            let (config, reload) = Reload::begin(cli.config.as_deref(), &env, Box::new(load))?;
            requirements::ensure_met(&args.roles, &config)?;
            Box::pin(demo_role::run(config, reload, args)).await
        }
        Command::Send(args) => commands::send::run(args).await,
        Command::Resolve(args) => commands::send::change(args, "resolved").await,
        Command::Ack(args) => commands::send::change(args, "acknowledged").await,
        Command::Tail(args) => commands::tail::run(args).await,
        Command::Welcome(args) => commands::welcome::run(&args),
        Command::Token(args) => commands::token::run(&shared()?, &args),
        Command::Key(args) => commands::key::run(&shared()?, args).await,
        Command::Audit(args) => commands::audit::run(&shared()?, args).await,
        Command::User(args) => commands::people::user(args).await,
        Command::Device(args) => commands::people::device(args).await,
        Command::Group(args) => commands::people::group(args).await,
        Command::Alert(args) => commands::people::alert(args).await,
        Command::Explain(args) => commands::explain::run(&shared()?, args).await,
        Command::Dead(args) => commands::dead::run(&shared()?, args).await,
        Command::Migrate(args) => commands::migrate::run(&shared()?, &args).await,
        Command::Restored(args) => commands::restored::run(&shared()?, &args).await,
        Command::Topology(args) => commands::topology::run(args, shared).await,
        Command::Doctor(args) => doctor::run(args, read()).await,
        Command::Config(args) => commands::config::run(&args, &config()?),
        Command::Hook(args) => commands::hook::run(&args, &config()?),
        Command::Bench(args) => commands::bench::run(args, shared).await,
        Command::Docs(args) => commands::docs(&args),
        Command::Completions(args) => {
            commands::completions(&args);
            Ok(())
        }
    }
}
