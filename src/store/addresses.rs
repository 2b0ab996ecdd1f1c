//! Where people can be written to: an address for each channel that goes to one.
//!
//! `users.email` and its refusal held the mailbox before migration 14, and pods of the version before still read and write
//! them. So for one release the mailbox is written to both places, and where the two differ, an older pod has written the
//! column since: then the column is right. [`with_column`] and the two statements on `users.email` here go with it.

use sqlx::any::AnyRow;

use super::{
    AuditedChange, Failure, Store, StoreError, Tx,
    attempts::storable,
    maybe_int, maybe_text,
    row_batch::{Batch, Statement, batch_row},
    summaries::of_user,
    text,
};
use crate::domain::{
    Channel, PerChannel, Secret, Timestamp, UserKey,
    audit::{self, AuditAction},
};

/// How a user can be written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Their address by each channel that goes to one.
    pub addresses: PerChannel<Option<Secret>>,
    /// The language they read, as a BCP 47 tag.
    pub locale: Option<String>,
    /// Where their days are, by the IANA name of the time zone, if they do not say it themselves.
    pub time_zone: Option<String>,
    /// What they want where they do not say it themselves, as JSON that is not looked into here.
    pub preferences: Option<String>,
}

impl Contact {
    /// The same with this address for a channel.
    #[must_use]
    pub fn with(mut self, channel: Channel, address: impl Into<Secret>) -> Self {
        self.addresses[channel] = Some(address.into());
        self
    }
}

/// An address of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// Where they can be written to.
    pub address: Secret,
    /// Whether it refused messages for good.
    pub is_refused: bool,
}

/// An address as it is stored.
pub(super) struct StoredAddress {
    address: Secret,
    is_refused: bool,
}

impl StoredAddress {
    /// The address, if it takes messages.
    pub(super) fn usable(self) -> Option<Secret> {
        (!self.is_refused).then_some(self.address)
    }

    /// The address, for whoever asks what is known.
    pub(super) fn known(self) -> KnownAddress {
        KnownAddress { address: self.address, is_refused: self.is_refused }
    }
}

/// Addresses from their rows and from the columns of the version before. Those of channels that this version does not
/// know are passed over.
pub(super) fn kept_of(rows: &[AnyRow], user: &AnyRow) -> Result<PerChannel<Option<StoredAddress>>, Failure> {
    let mut kept = PerChannel::of(|_| None);
    for row in rows {
        let Ok(channel) = text(row, "channel")?.parse::<Channel>() else { continue };
        let is_refused = maybe_int(row, "refused_at_ms")?.is_some();
        kept[channel] = Some(StoredAddress { address: Secret::from(text(row, "address")?), is_refused });
    }
    let is_refused = maybe_int(user, "email_refused_at_ms")?.is_some();
    let column =
        maybe_text(user, "email")?.map(|email| StoredAddress { address: Secret::from(email), is_refused });
    let mailbox = kept[Channel::Email].take();
    kept[Channel::Email] = with_column(mailbox, column);
    Ok(kept)
}

/// The mailbox, by its row and by the column of the version before.
fn with_column(row: Option<StoredAddress>, column: Option<StoredAddress>) -> Option<StoredAddress> {
    match (row, column) {
        (Some(row), Some(column)) if row.address == column.address => {
            Some(StoredAddress { is_refused: row.is_refused || column.is_refused, ..row })
        }
        (_, column) => column,
    }
}

impl Store {
    /// Makes a user known, or replaces how a known one can be written to and what holds for them where they said nothing. The inbox
    /// is not touched, and what waits for the end of a silence is looked at again. An address that was
    /// refused stays refused until another one is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_user(
        &self,
        user: &UserKey,
        contact: &Contact,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        static DELETE: Statement<ChannelRow<'_>> = Statement::new(
            "DELETE FROM addresses WHERE (tenant, user_id, channel) IN (SELECT {columns} FROM {batch})",
        );
        static INSERT: Statement<AddressValues<'_>> = Statement::new(
            "INSERT INTO addresses ({columns}, registered_at_ms) SELECT {columns}, $1 FROM {batch} WHERE true
             ON CONFLICT (tenant, user_id, channel) DO UPDATE SET address = excluded.address,
                 registered_at_ms = excluded.registered_at_ms,
                 refused_at_ms = CASE WHEN addresses.address = excluded.address THEN addresses.refused_at_ms END,
                 refused_because = CASE WHEN addresses.address = excluded.address THEN addresses.refused_because END,
                 soft_bounces = CASE WHEN addresses.address = excluded.address THEN addresses.soft_bounces ELSE 0 END,
                 soft_since_ms = CASE WHEN addresses.address = excluded.address THEN addresses.soft_since_ms END",
        );
        writing!(self, "put_user", |tx| {
            of_user(
                sqlx::query(
                    "INSERT INTO users (tenant, user_id, seq, unread, email, locale, created_at_ms, time_zone, preference_defaults)
                     VALUES ($1, $2, 0, 0, $3, $4, $5, $6, $7)
                     ON CONFLICT (tenant, user_id) DO UPDATE SET email = excluded.email, locale = excluded.locale, named_only = 0,
                         time_zone = excluded.time_zone, preference_defaults = excluded.preference_defaults,
                         email_refused_at_ms = CASE WHEN users.email = excluded.email THEN users.email_refused_at_ms END",
                ),
                user,
            )
            .bind(contact.addresses[Channel::Email].as_ref().map(|email| email.expose().to_owned()))
            .bind(contact.locale.clone())
            .bind(now.as_millisecond())
            .bind(contact.time_zone.clone())
            .bind(contact.preferences.clone())
            .execute(&mut **tx)
            .await?;
            self.end_silences(tx, user, now).await?;
            let (tenant, user_id) = (user.tenant.as_str(), user.user.as_str());
            let missing = contact.addresses.iter().filter(|(_, address)| address.is_none());
            let missing =
                missing.map(|(channel, _)| ChannelRow { tenant, user_id, channel: channel.as_str() });
            DELETE.over(&Batch::of(self.engine, missing)?).execute(&mut **tx).await?;
            let given = contact.addresses.iter().filter_map(|(channel, address)| {
                let address = address.as_ref()?.expose();
                Some(AddressValues { tenant, user_id, channel: channel.as_str(), address })
            });
            let given = Batch::of(self.engine, given)?;
            INSERT.over(&given).bind(now.as_millisecond()).execute(&mut **tx).await?;
            let change =
                AuditedChange::done(&user.tenant, AuditAction::UserPut, audit::user_object(&user.user));
            self.write_audit(tx, &change, now).await
        })
        .await
    }

    /// How a user can be written to; `None` for somebody unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn contact(&self, user: &UserKey) -> Result<Option<Contact>, StoreError> {
        self.in_time("contact", async {
            let known =
                "SELECT email, email_refused_at_ms, locale, time_zone, preference_defaults
                 FROM users WHERE tenant = $1 AND user_id = $2";
            let row = of_user(sqlx::query(known), user).fetch_optional(&self.read).await?;
            let Some(row) = row else { return Ok(None) };
            let rows = of_user(
                sqlx::query(
                    "SELECT channel, address, refused_at_ms FROM addresses WHERE tenant = $1 AND user_id = $2",
                ),
                user,
            )
            .fetch_all(&self.read)
            .await?;
            let addresses = kept_of(&rows, &row)?.map(|kept| kept.map(|kept| kept.address));
            Ok(Some(Contact {
                addresses,
                locale: maybe_text(&row, "locale")?,
                time_zone: maybe_text(&row, "time_zone")?,
                preferences: maybe_text(&row, "preference_defaults")?,
            }))
        })
        .await
    }

    /// The address refused messages for good, `because` in the words of whoever refused: none is sent to it until another
    /// one is registered or the refusal is lifted. Compare-and-swap on the address (I7).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suppress_address(
        &self,
        user: &UserKey,
        channel: Channel,
        address: &Secret,
        because: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        writing!(self, "suppress_address", |tx| {
            self.suppress_in(tx, user, channel, address, because, now).await
        })
        .await
    }

    pub(super) async fn suppress_in(
        &self,
        tx: &mut Tx,
        user: &UserKey,
        channel: Channel,
        address: &Secret,
        because: &str,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let refused = of_user(
            sqlx::query(
                "UPDATE addresses SET refused_at_ms = $5, refused_because = $6
                 WHERE tenant = $1 AND user_id = $2 AND channel = $3 AND address = $4",
            ),
            user,
        )
        .bind(channel.as_str())
        .bind(address.expose().to_owned())
        .bind(now.as_millisecond())
        .bind(storable(because))
        .execute(&mut **tx)
        .await?;
        if channel != Channel::Email {
            return Ok(refused.rows_affected() > 0);
        }
        let column = of_user(
            sqlx::query(
                "UPDATE users SET email_refused_at_ms = $4 WHERE tenant = $1 AND user_id = $2 AND email = $3",
            ),
            user,
        )
        .bind(address.expose().to_owned())
        .bind(now.as_millisecond())
        .execute(&mut **tx)
        .await?;
        Ok(refused.rows_affected() + column.rows_affected() > 0)
    }

    /// Sends to an address again that refused messages: an operator knows that its mailbox is there. `false` where none
    /// was refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lift_refusal(
        &self,
        user: &UserKey,
        channel: Channel,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        writing!(self, "lift_refusal", |tx| {
            let lifted = of_user(
                sqlx::query(
                    "UPDATE addresses SET refused_at_ms = NULL, refused_because = NULL, soft_bounces = 0, soft_since_ms = NULL
                     WHERE tenant = $1 AND user_id = $2 AND channel = $3 AND refused_at_ms IS NOT NULL",
                ),
                user,
            )
            .bind(channel.as_str())
            .execute(&mut **tx)
            .await?;
            let mut number = lifted.rows_affected();
            if channel == Channel::Email {
                let column = of_user(
                    sqlx::query(
                        "UPDATE users SET email_refused_at_ms = NULL
                         WHERE tenant = $1 AND user_id = $2 AND email_refused_at_ms IS NOT NULL",
                    ),
                    user,
                );
                number += column.execute(&mut **tx).await?.rows_affected();
            }
            if number > 0 {
                let object = audit::user_object(&user.user);
                let change = AuditedChange::done(&user.tenant, AuditAction::RefusalLifted, object);
                self.write_audit(tx, &change, now).await?;
            }
            Ok(number > 0)
        })
        .await
    }
}

batch_row! {
    /// A channel of a person.
    struct ChannelRow<'a> {
        tenant: &'a str,
        user_id: &'a str,
        channel: &'a str,
    }
}

batch_row! {
    /// Where a person can be written to by a channel.
    struct AddressValues<'a> {
        tenant: &'a str,
        user_id: &'a str,
        channel: &'a str,
        address: &'a str,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For as long as pods of the version before write the column.
    #[test]
    fn the_column_of_the_version_before_counts_by_this_table() {
        let kept = |text: Option<&str>| {
            // A `!` marks one that refused mail.
            text.map(|text| StoredAddress {
                address: Secret::from(text.trim_end_matches('!')),
                is_refused: text.ends_with('!'),
            })
        };
        for (why, row, column, expected) in [
            ("both were written", Some("a@x"), Some("a@x"), Some("a@x")),
            ("nobody knows one", None, None, None),
            ("an older pod heard of a refusal", Some("a@x"), Some("a@x!"), None),
            ("this version did, and an older pod does not know", Some("a@x!"), Some("a@x"), None),
            ("an older pod was given a first one", None, Some("b@x"), Some("b@x")),
            ("or another one", Some("a@x"), Some("b@x"), Some("b@x")),
            ("in place of one that refused", Some("a@x!"), Some("b@x"), Some("b@x")),
            ("or none any more", Some("a@x"), None, None),
        ] {
            let usable = with_column(kept(row), kept(column)).and_then(StoredAddress::usable);
            assert_eq!(usable, expected.map(Secret::from), "{why}");
        }
    }
}
