//! The binary `watchbell`: composes workers in one process, and the operator's commands.
//! The map of the files is in `README.md` of this crate.

mod cli;
mod client;
mod commands;
mod compose;
mod dead;
mod demo;
mod output;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use watchbell::runtime::{Config, config};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::problem(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let config = || Config::load(cli.config.as_deref(), config::environment(std::env::vars_os())?);
    match cli.command {
        Command::Up(args) => up::run(config()?, args).await,
        Command::Run(args) => compose::run_roles(config()?, &args.roles).await,
        Command::Send(args) => commands::send::run(args).await,
        Command::Resolve(args) => commands::send::change(args, "resolved").await,
        Command::Ack(args) => commands::send::change(args, "acknowledged").await,
        Command::Tail(args) => commands::tail::run(args).await,
        Command::Token(args) => commands::token::run(&config()?, &args),
        Command::Key(args) => commands::key::run(&config()?, args).await,
        Command::Explain(args) => commands::explain::run(&config()?, args).await,
        Command::Dead(args) => commands::dead::run(&config()?, args).await,
        Command::Migrate(args) => commands::migrate::run(&config()?, &args).await,
        Command::Restored(args) => commands::restored::run(&config()?, &args).await,
        Command::Topology(args) => commands::topology::run(args, config).await,
        Command::Config(args) => commands::config::run(&args, &config()?),
        Command::Hook(args) => commands::hook::run(&args, &config()?),
        Command::Bench(args) => commands::bench::run(args).await,
        Command::Completions(args) => {
            commands::completions(&args);
            Ok(())
        }
    }
}
