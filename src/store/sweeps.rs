//! What one process does for all of them from time to time: who is at it now, and when it is next due.

use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::Timestamp;

impl Store {
    /// Takes a sweep that is due, or keeps it, for the length of a lease. `false`: it is not due, or somebody else is at it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold_sweep(
        &self,
        name: &'static str,
        holder: &str,
        now: Timestamp,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        writing!(self, "hold_sweep", |tx| {
            let held = sqlx::query(
                "INSERT INTO sweeps (name, holder, leased_until_ms, next_at_ms) VALUES ($1, $2, $3, 0)
                 ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, leased_until_ms = excluded.leased_until_ms
                 WHERE sweeps.next_at_ms <= $4 AND (sweeps.leased_until_ms <= $4 OR sweeps.holder = excluded.holder)",
            )
            .bind(name)
            .bind(holder)
            .bind((now + lease).as_millisecond())
            .bind(now.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(held.rows_affected() > 0)
        })
        .await
    }

    /// Ends a sweep; it is due again then. Nothing happens when somebody else has it by now.
    ///
    /// # Errors
    /// [`StoreError`]; without an answer it is due again when the lease ends.
    pub async fn end_sweep(
        &self,
        name: &'static str,
        holder: &str,
        next: Timestamp,
    ) -> Result<(), StoreError> {
        writing!(self, "end_sweep", |tx| {
            sqlx::query(
                "UPDATE sweeps SET leased_until_ms = 0, next_at_ms = $3 WHERE name = $1 AND holder = $2",
            )
            .bind(name)
            .bind(holder)
            .bind(next.as_millisecond())
            .execute(&mut **tx)
            .await?;
            Ok(())
        })
        .await
    }
}
