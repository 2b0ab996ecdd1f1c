//! An alert for more people than fit one message: the same alert, several times, each for some of them. Pure.
//!
//! What an alert says and whom it is for share one message of at most [`ALERT_BYTES_MAX`]. Those who name many people must
//! not be refused for it: dispatch records one version for whoever each copy names, and nobody twice (I2).

use watchbell::{
    domain::{Alert, Audience, GroupId, UserId, alert::bounds::ALERT_BYTES_MAX},
    wire::alert::encode_alert,
};

/// The comma behind each name.
const SEPARATOR_BYTES: usize = 1;
/// Left free in each copy.
const MARGIN_BYTES: usize = 256;

/// The alert in as few copies as carry its whole audience. One that fits is one.
pub fn spread(alert: Alert) -> Vec<Alert> {
    if encode_alert(&alert).len() <= ALERT_BYTES_MAX {
        return vec![alert];
    }
    let Audience { users, groups, everyone } = alert.to.clone();
    let bare = Alert { to: Audience { everyone, ..Audience::default() }, ..alert };
    let room = ALERT_BYTES_MAX.saturating_sub(encode_alert(&bare).len() + MARGIN_BYTES);
    let mut copies = vec![Copy::default()];
    for user in users {
        copy_for(&mut copies, user.as_str(), room).users.push(user.clone());
    }
    for group in groups {
        copy_for(&mut copies, group.as_str(), room).groups.push(group.clone());
    }
    let of = |(at, Copy { users, groups, .. }): (usize, Copy)| {
        // Everyone is told once.
        let to = Audience { users, groups, everyone: everyone && at == 0 };
        Alert { to, ..bare.clone() }
    };
    copies.into_iter().enumerate().map(of).collect()
}

/// Whom one copy is for.
#[derive(Default)]
struct Copy {
    users: Vec<UserId>,
    groups: Vec<GroupId>,
    bytes: usize,
}

/// The copy that has room for this name. A name that fits no copy has one of its own, which is refused later.
fn copy_for<'a>(copies: &'a mut Vec<Copy>, name: &str, room: usize) -> &'a mut Copy {
    let bytes = serde_json::Value::from(name).to_string().len() + SEPARATOR_BYTES;
    let is_full = copies.last().is_none_or(|copy| copy.bytes > 0 && copy.bytes + bytes > room);
    if is_full {
        copies.push(Copy::default());
    }
    let last = copies.len() - 1;
    copies[last].bytes += bytes;
    &mut copies[last]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use watchbell::domain::{AlertId, Severity, Status, Tenant};

    use super::*;

    fn alert(users: usize, groups: usize, body_bytes: usize) -> Alert {
        Alert {
            id: AlertId::parse("a").unwrap(),
            version: 1,
            tenant: Tenant::parse("acme").unwrap(),
            to: Audience {
                users: (0..users).map(|n| UserId::parse(format!("\"user\" {n:05}")).unwrap()).collect(),
                groups: (0..groups).map(|n| GroupId::parse(format!("group-{n:05}")).unwrap()).collect(),
                everyone: false,
            },
            source: None,
            category: None,
            severity: Severity::Critical,
            status: Status::Firing,
            title: "Disk full".into(),
            body: Some("x".repeat(body_bytes)),
            url: None,
            labels: BTreeMap::new(),
            data: serde_json::Map::new(),
            policy: None,
            collapse_key: None,
            group_key: None,
            body_format: Default::default(),
            image: None,
            actions: Vec::new(),
            occurred_at: jiff::Timestamp::UNIX_EPOCH,
            is_dated: true,
            expires_at: None,
            dismissed_until: None,
        }
    }

    #[test]
    fn every_name_is_in_one_copy_and_every_copy_fits() {
        for (why, users, groups, body_bytes, several) in [
            ("one person", 1, 0, 10, false),
            ("nobody", 0, 0, 10, false),
            ("four thousand people", 4_000, 0, 10, true),
            ("people and groups", 3_000, 3_000, 10, true),
            ("little room beside the text", 2_000, 10, 50_000, true),
        ] {
            let whole = alert(users, groups, body_bytes);
            let copies = spread(whole.clone());
            assert_eq!(copies.len() > 1, several, "{why}");
            let all_users: Vec<UserId> = copies.iter().flat_map(|copy| copy.to.users.clone()).collect();
            let all_groups: Vec<GroupId> = copies.iter().flat_map(|copy| copy.to.groups.clone()).collect();
            assert_eq!((all_users, all_groups), (whole.to.users.clone(), whole.to.groups.clone()), "{why}");
            for copy in &copies {
                assert!(encode_alert(copy).len() <= ALERT_BYTES_MAX, "{why}");
                assert_eq!(
                    Alert { to: whole.to.clone(), ..copy.clone() },
                    whole,
                    "{why}: the same otherwise"
                );
            }
        }
    }
}
