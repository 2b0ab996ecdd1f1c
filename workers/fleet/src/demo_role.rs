//! `watchbell run simulator demo`: the demo page of a fleet whose workers are processes of their own.
//!
//! It makes the people and the key of the page in the fleet's store, and serves the page and what the simulator took in. A
//! balancer has to send everything else, such as `/v1`, to the workers.
//!
//! What holds here:
//! - What `up` promises about its secrets holds here, too: the page's key opens once, the folder is closed to others, and
//!   only hosts that are known are answered.
//!
//! Elsewhere: the same page in `up`; its access in `demo_access`; its people in `demo_people`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use watchbell::store::Store;
use watchbell_simulator::Simulator;

use crate::{
    addresses,
    cli::{Role, RunArgs},
    compose::{self, BesideSimulator, Process},
    config::FleetConfig,
    data_folder::{DataFolder, make_files_private},
    demo,
    demo_access::DemoAccess,
    demo_people::{Places, furnish, with_new_tokens},
    output,
    reload::Reload,
    up,
};

/// `watchbell run ROLE…`, with the page or without.
pub(crate) async fn run(config: FleetConfig, reload: Reload, args: RunArgs) -> anyhow::Result<()> {
    let RunArgs { roles, data, reach } = args;
    if !roles.contains(&Role::Demo) {
        return Box::pin(compose::run_roles(config, reload, &roles, None)).await;
    }
    // Of this process for as long as it runs.
    let _folder = prepare(&config, &roles, &data)?;
    let page = DemoRole { folder: data, reach };
    let add: BesideSimulator = Box::new(|process, simulator| {
        async move { page.add(process, simulator).await.context("demo") }.boxed()
    });
    Box::pin(compose::run_roles(config, reload, &roles, Some(add))).await
}

/// The role, with its arguments.
struct DemoRole {
    /// Where `demo.json` is.
    folder: PathBuf,
    /// Where commands that read it reach the fleet.
    reach: Option<String>,
}

/// Says what is missing before anything is bound, and claims the folder for as long as what it returns lives.
fn prepare(config: &FleetConfig, roles: &[Role], folder: &Path) -> anyhow::Result<DataFolder> {
    ensure!(
        roles.contains(&Role::Simulator),
        "demo shows what a simulator in the same process took in: run `watchbell run simulator demo`"
    );
    ensure!(
        config.shared.auth.hs256_secret.is_some(),
        "demo makes tokens for its people: auth.hs256_secret must be given, the same as that of socket"
    );
    make_files_private();
    DataFolder::open(folder.to_owned())
}

impl DemoRole {
    /// Adds the page to the process.
    async fn add(self, process: &mut Process, simulator: &Simulator) -> anyhow::Result<()> {
        let config = &process.config().shared;
        let url = config.http.public_url.clone();
        let url = url.unwrap_or_else(|| format!("http://{}", up::reachable(config.http.listen)));
        let url = url.trim_end_matches('/').to_owned();
        let push = process.config().simulator.push_listen.port();
        let places = Places {
            simulator: format!("{url}/simulator"),
            hooks: format!("https://{}:{push}/hooks", process.config().simulator.host),
            reach: self.reach,
            url,
        };
        let store = Store::open(&addresses::store_config(config)?)?;
        let demo = furnish(&store, config, &self.folder, places).await;
        let demo =
            demo.context("the people of the page cannot be recorded: is the store reached and migrated?")?;
        store.close().await;
        let shared = config.clone();
        let renew = Box::new(move |demo| with_new_tokens(demo, &shared, Timestamp::now()));
        let access = DemoAccess::new(self.folder.join("demo.json"), demo, renew)?;
        process.add_routes(demo::routes(&access, simulator.router(), false));
        // Behind a balancer, `/docs` is at this address, and describes the API of the whole fleet.
        process.add_document(watchbell_ingest::openapi());
        process.add_document(watchbell_socket::openapi());
        output::line(format!(
            "\n  The demo page: {}\n\n  The address opens one browser tab.\n",
            access.page()
        ));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use watchbell::domain::Secret;

    use super::*;

    #[test]
    fn what_a_demo_lacks_is_said_before_anything_begins() {
        let dir = tempfile::tempdir().unwrap();
        let without = FleetConfig::default();
        let mut with = FleetConfig::default();
        with.shared.auth.hs256_secret = Some(Secret::from("a secret of at least 32 random bytes".to_owned()));
        for (why, config, roles, expected) in [
            ("no simulator", &with, &[Role::Demo][..], Some("simulator demo")),
            ("no secret", &without, &[Role::Simulator, Role::Demo], Some("auth.hs256_secret")),
            ("all there", &with, &[Role::Simulator, Role::Demo], None),
        ] {
            let error = prepare(config, roles, dir.path()).err().map(|error| error.to_string());
            match expected {
                Some(word) => {
                    assert!(error.as_ref().is_some_and(|error| error.contains(word)), "{why}: {error:?}");
                }
                None => assert_eq!(error, None, "{why}"),
            }
        }
    }
}
