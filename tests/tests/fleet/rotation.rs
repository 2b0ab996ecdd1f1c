//! Secrets that are changed while a process runs: it takes the new ones from their files, without a restart.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use watchbell::{
    domain::{Secret, Tenant, UserId, UserKey},
    runtime::config::AuthConfig,
};
use watchbell_socket::token;
use watchbell_tests::{ports, process::WatchbellProcess, scratch::Scratch, services, until::until};

const DEADLINE: Duration = Duration::from_secs(60);
/// The user of the database and of the broker.
const USER: &str = "turning";

/// Everything that one process knows by heart, as it is at one time.
struct Secrets {
    password: &'static str,
    tokens: &'static str,
}

const OLD: Secrets = Secrets { password: "old", tokens: "the-old-secret-of-tests-that-opens-nothing" };
const NEW: Secrets = Secrets { password: "new", tokens: "the-new-secret-of-tests-that-opens-nothing" };

/// One `socket`, with each of its secrets in a file.
struct Pod {
    dir: Scratch,
    http: reqwest::Client,
    url: String,
    operations: String,
    process: WatchbellProcess,
}

impl Pod {
    fn start(dir: Scratch) -> anyhow::Result<Self> {
        let [listen, operations] = [ports::free()?, ports::free()?].map(|port| format!("127.0.0.1:{port}"));
        let env = [
            ("WATCHBELL__STORE__URL_FILE", "store"),
            ("WATCHBELL__BROKER__URL_FILE", "broker"),
            ("WATCHBELL__AUTH__HS256_SECRET_FILE", "tokens"),
            ("WATCHBELL__HTTP__LISTEN", listen.as_str()),
            ("WATCHBELL__HTTP__OPERATIONS_LISTEN", operations.as_str()),
        ];
        let process = WatchbellProcess::start("pod", dir.path(), &["run", "socket"], &env)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let [url, operations] = [listen, operations].map(|address| format!("http://{address}"));
        Ok(Self { dir, http, url, operations, process })
    }

    /// Waits until every part works with the secrets that it has.
    async fn is_whole(&self) -> anyhow::Result<()> {
        let mut last = String::new();
        let whole = async || {
            last =
                self.http.get(format!("{}/readyz", self.operations)).send().await.ok()?.text().await.ok()?;
            last.contains(r#""status":"ready""#).then_some(())
        };
        let found = until("the pod to be ready", DEADLINE, whole).await;
        found.with_context(|| format!("{last}\n{}", self.process.log()))
    }

    /// Whether a token that was signed with this secret opens an inbox.
    async fn believes(&self, secret: &str) -> anyhow::Result<bool> {
        let user = UserKey::new(Tenant::parse("acme")?, UserId::parse("ana")?);
        let ends = Timestamp::now() + SignedDuration::from_hours(1);
        let token = token::mint(&Secret::from(secret), &AuthConfig::default(), &user, ends)?;
        let asked = self.http.get(format!("{}/v1/inbox", self.url)).bearer_auth(token).send().await?;
        ensure!([200, 401].contains(&asked.status().as_u16()), "{}", asked.status());
        Ok(asked.status() == 200)
    }
}

#[tokio::test]
async fn a_pod_takes_new_secrets_from_their_files() -> anyhow::Result<()> {
    let (rabbit, postgres) = (services::rabbit().await?, services::postgres().await?);
    let (store, broker) = (postgres.fresh_database("turning").await?, rabbit.fresh_vhost("turning").await?);
    let (database, vhost) =
        (store.rsplit('/').next().context("a name")?, broker.rsplit('/').next().context("a name")?);
    postgres.add_user_with_password(USER, OLD.password).await?;
    postgres.psql(&format!("ALTER DATABASE {database} OWNER TO {USER}")).await?;
    postgres.psql_on(&store, &format!("GRANT ALL ON SCHEMA public TO {USER}")).await?;
    rabbit.ctl(&["add_user", USER, OLD.password]).await?;
    rabbit.ctl(&["set_permissions", "-p", vhost, USER, ".*", ".*", ".*"]).await?;

    let dir = Scratch::new("rotation")?;
    let write = |dir: &Scratch, Secrets { password, tokens }: &Secrets| -> anyhow::Result<()> {
        let store = format!("postgres://{USER}:{password}@127.0.0.1:{}/{database}", postgres.port());
        let broker = format!("amqp://{USER}:{password}@127.0.0.1:{}/{vhost}", rabbit.port());
        for (file, text) in [("store", store.as_str()), ("broker", broker.as_str()), ("tokens", tokens)] {
            fs::write(dir.path().join(file), text)?;
        }
        Ok(())
    };
    write(&dir, &OLD)?;
    let migrated = std::process::Command::new(watchbell_tests::process::binary()?)
        .current_dir(dir.path())
        .arg("migrate")
        .env("WATCHBELL__STORE__URL_FILE", "store")
        .status()?;
    ensure!(migrated.success());
    let pod = Pod::start(dir)?;
    pod.is_whole().await?;
    ensure!(pod.believes(OLD.tokens).await? && !pod.believes(NEW.tokens).await?);

    // The passwords change, and every connection that was made with the old ones is cut.
    postgres.psql(&format!("ALTER USER {USER} PASSWORD '{}'", NEW.password)).await?;
    rabbit.ctl(&["change_password", USER, NEW.password]).await?;
    write(&pod.dir, &NEW)?;
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'");
    postgres.psql(&cut).await?;
    rabbit.ctl(&["close_all_user_connections", USER, "rotated"]).await?;

    until("the new secret of tokens to be believed", DEADLINE, async || {
        pod.believes(NEW.tokens).await.unwrap_or_default().then_some(())
    })
    .await
    .with_context(|| pod.process.log())?;
    pod.is_whole().await?;
    ensure!(!pod.believes(OLD.tokens).await?, "the old secret is nobody's any more");
    Ok(())
}
