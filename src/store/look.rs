//! A look at the store for `/readyz`: whether it answers and takes writes, and which schema it has.
//!
//! The pool cannot say why it has no connection: it goes on trying until its time is over. So a pool that has none to give
//! is passed by, and a connection of our own finds out why, or finds that the pool is only busy.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, Connection as _, Row as _};
use tokio::time::timeout;

use super::{Store, dialect::Engine, fault::fault_of, schema};
use crate::runtime::health::{Fault, Seen};

/// How long the pool may take to give a connection, and then a connection of our own to be made and to answer.
const POOL_MAX: Duration = Duration::from_millis(500);
const ANSWER_MAX: Duration = Duration::from_millis(1_300);

/// What was seen of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Whether it answers and takes writes.
    pub store: Seen,
    /// Whether its tables are those this program needs.
    pub schema: Seen,
}

impl Store {
    /// Looks, for two seconds at the most.
    pub async fn look(&self) -> Look {
        match self.seen().await {
            Ok(look) => match self.writes.fault(Instant::now()) {
                Some(fault) if look.store == Seen::Ok => Look { store: Seen::Failing(fault), ..look },
                _ => look,
            },
            Err(fault) => {
                // What writes found meanwhile is the same, and over when it answers again.
                self.writes.forget();
                Look { store: Seen::Failing(fault), schema: Seen::Hidden }
            }
        }
    }

    /// Whether it answers, and has the tables that this program needs.
    pub async fn is_ready(&self) -> bool {
        let look = self.look().await;
        [look.store, look.schema].iter().all(|seen| matches!(seen, Seen::Ok | Seen::Degraded(_)))
    }

    async fn seen(&self) -> Result<Look, Fault> {
        let fault = |error| fault_of(self.engine, &error);
        self.database_file.check().map_err(fault)?;
        let silent = |_| Fault::passing("the store does not answer in time");
        match timeout(POOL_MAX, self.read.acquire()).await {
            Ok(Ok(mut connection)) => {
                let asked = timeout(ANSWER_MAX, ask(self.engine, &mut connection)).await;
                asked.map_err(silent)?.map_err(fault)
            }
            Ok(Err(error)) if !matches!(error, sqlx::Error::PoolTimedOut) => Err(fault(error)),
            Ok(Err(_)) | Err(_) => {
                let asked = timeout(ANSWER_MAX, async {
                    let mut connection = AnyConnection::connect(self.url.expose()).await?;
                    let look = ask(self.engine, &mut connection).await;
                    // Nothing is lost with a connection that does not close in order.
                    let _ = connection.close().await;
                    look
                });
                asked.await.map_err(silent)?.map_err(fault)
            }
        }
    }
}

async fn ask(engine: Engine, connection: &mut AnyConnection) -> Result<Look, sqlx::Error> {
    if let Some(read_only) = engine.read_only() {
        let row = sqlx::query(read_only).fetch_one(&mut *connection).await?;
        if row.try_get::<String, _>("read_only")? == "on" {
            let fault = Fault::new(
                "PostgreSQL takes no writes: it is a standby, or was set to read only",
                "give the address of the primary in store.url",
            );
            return Ok(Look { store: Seen::Failing(fault), schema: Seen::Hidden });
        }
    }
    let applied = schema::applied(connection, engine.has_migrations()).await?;
    if let (Some(_), Some(rights)) = (&applied, engine.missing_rights()) {
        let row = sqlx::query(rights).fetch_one(&mut *connection).await?;
        if row.try_get::<i64, _>("missing")? > 0 {
            let fault = Fault::new(
                "the store's user may not read and write all of Watchbell's tables",
                "grant SELECT, INSERT, UPDATE and DELETE on them to the user in store.url",
            );
            return Ok(Look { store: Seen::Failing(fault), schema: schema::seen(applied.as_ref()) });
        }
    }
    Ok(Look { store: Seen::Ok, schema: schema::seen(applied.as_ref()) })
}
