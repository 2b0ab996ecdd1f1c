//! Planted faults of what was seen of services: each is found, and named with its remedy.

#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;
use serde_json::json;
use watchbell::{
    broker::{
        WorkQueue,
        rabbitmq::{BrokerSurvey, NodeSeen, Permission, PermissionSeen},
    },
    runtime::health::Fault,
    store::{StoreSurvey, TableSeen},
};
use watchbell_fallback::channel::{Blame, DryRun, SendError};

use super::{
    public::{EventsSeen, PublicSeen},
    tests::{assert_found, now},
    *,
};

#[test]
fn faults_of_the_broker_are_named_with_their_remedies() {
    let good = BrokerSurvey {
        nodes: vec![NodeSeen { node: "a:5672".into(), fault: None, certificate: None }],
        missing: Some(Ok(Vec::new())),
        permissions: vec![PermissionSeen {
            permission: Permission::Consume(WorkQueue::Dispatch),
            is_given: Ok(true),
        }],
        is_blocked: false,
    };
    let findings = broker::of_survey(&good, false, now());
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{findings:?}");

    let refused = Fault::new(
        "RabbitMQ refuses the user or the password",
        "correct the user and the password in broker.url",
    );
    let wrong = NodeSeen { node: "b:5672".into(), fault: Some(refused), certificate: None };
    let missing = || Some(Ok(vec!["watchbell.dispatch".to_owned()]));
    let may_not = PermissionSeen { permission: Permission::PublishLive, is_given: Ok(false) };
    for (why, seen, declares, verdict, check, says, remedy) in [
        (
            "a wrong password",
            BrokerSurvey { nodes: vec![wrong], ..good.clone() },
            false,
            Verdict::Fail,
            "broker b:5672",
            "refuses the user",
            "correct the user",
        ),
        (
            "a topology that nobody declares",
            BrokerSurvey { missing: missing(), ..good.clone() },
            false,
            Verdict::Fail,
            "broker topology",
            "missing: watchbell.dispatch",
            "watchbell topology apply",
        ),
        (
            "a topology that `run` declares",
            BrokerSurvey { missing: missing(), ..good.clone() },
            true,
            Verdict::Warn,
            "broker topology",
            "not there yet",
            "declares it",
        ),
        (
            "a right that is not there",
            BrokerSurvey { permissions: vec![may_not], ..good.clone() },
            false,
            Verdict::Fail,
            "broker rights",
            "may not write watchbell.live",
            "rabbitmqctl set_permissions",
        ),
        (
            "an alarm",
            BrokerSurvey { is_blocked: true, ..good },
            false,
            Verdict::Fail,
            "broker alarm",
            "short of memory or of disk",
            "give it more",
        ),
    ] {
        assert_found(why, &broker::of_survey(&seen, declares, now()), verdict, check, says, remedy);
    }
}

#[test]
fn faults_of_a_cluster_are_named_with_their_remedies() {
    let node = |name: &str, running: bool| json!({"name": name, "running": running, "mem_alarm": false, "disk_free_alarm": false});
    let three = json!([node("a", true), node("b", true), node("c", true)]);
    assert!(management::of_nodes(&three).iter().all(|finding| finding.verdict == Verdict::Ok));
    let queue = |members: &[&str], online: &[&str], timeout: Option<u32>| {
        json!([{"name": "watchbell.dispatch", "members": members, "online": online, "messages": 7,
            "effective_policy_definition": timeout.map(|ms| json!({"consumer-timeout": ms}))}])
    };
    let good = management::of_queues(&queue(&["a", "b", "c"], &["a", "b", "c"], Some(300_000)));
    assert!(good.len() == 2 && good.iter().all(|finding| finding.verdict == Verdict::Ok), "{good:?}");

    let all = ["a", "b", "c"];
    for (why, findings, verdict, check, says, remedy) in [
        (
            "a node is down",
            management::of_nodes(&json!([node("a", true), node("b", false), node("c", true)])),
            Verdict::Fail,
            "broker nodes",
            "2 of 3 nodes run; down: b",
            "start them",
        ),
        (
            "a cluster of one",
            management::of_nodes(&json!([node("a", true)])),
            Verdict::Warn,
            "broker nodes",
            "has 1 of the 3",
            "add nodes",
        ),
        (
            "a disk is full",
            management::of_nodes(&json!([{"name": "a", "running": true, "disk_free_alarm": true}])),
            Verdict::Fail,
            "broker alarm",
            "short of disk",
            "give it more",
        ),
        (
            "a queue that one node holds",
            management::of_queues(&queue(&["a"], &["a"], Some(300_000))),
            Verdict::Warn,
            "broker queue watchbell.dispatch",
            "one node alone holds it",
            "rabbitmq-queues grow",
        ),
        (
            "a queue without a leader",
            management::of_queues(&queue(&all, &["a"], Some(300_000))),
            Verdict::Fail,
            "broker queue watchbell.dispatch",
            "has no leader",
            "start the nodes",
        ),
        (
            "no policy",
            management::of_queues(&queue(&all, &all, None)),
            Verdict::Warn,
            "broker policy",
            "no policy",
            "watchbell topology show",
        ),
        (
            "dead letters that stay for ever",
            management::of_queues(&json!([{"name": "watchbell.dead", "messages": 0}])),
            Verdict::Warn,
            "broker policy watchbell.dead",
            "has no age",
            "watchbell-parked-kept",
        ),
        (
            "dead letters that end",
            management::of_queues(&json!([{"name": "watchbell.dead", "messages": 0,
                "effective_policy_definition": {"message-ttl": 2_592_000_000_u64}}])),
            Verdict::Ok,
            "broker policy watchbell.dead",
            "goes after 30.0 days",
            "",
        ),
        (
            "dead letters",
            management::of_queues(&json!([{"name": "watchbell.dead", "messages": 3}])),
            Verdict::Warn,
            "broker queue watchbell.dead",
            "3 messages wait",
            "watchbell dead list",
        ),
    ] {
        assert_found(why, &findings, verdict, check, says, remedy);
    }
}

#[test]
fn faults_of_the_store_are_named_with_their_remedies() {
    let settings = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("autovacuum", "on"),
        ("track_counts", "on"),
        ("server_encoding", "UTF8"),
        ("default_transaction_isolation", "read committed"),
        ("max_connections", "100"),
    ];
    let good = StoreSurvey {
        version: "PostgreSQL 17.2".into(),
        clock_ahead: Some(SignedDuration::from_millis(3)),
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        tables: vec![TableSeen { name: "inbox".into(), live: 1_000_000, dead: 20_000 }],
    };
    let findings = store::of_survey(&good, 10);
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{findings:?}");

    let set = |name: &str, value: &str| {
        let mut survey = good.clone();
        survey.settings.insert(name.to_owned(), value.to_owned());
        survey
    };
    let clock =
        |seconds| StoreSurvey { clock_ahead: Some(SignedDuration::from_secs(seconds)), ..good.clone() };
    let dead = vec![TableSeen { name: "attempts".into(), live: 100, dead: 50_000 }];
    let free = [("page_count", "100000"), ("freelist_count", "90000")];
    let free = free.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (why, survey, verdict, check, says, remedy) in [
        (
            "no fsync",
            set("fsync", "off"),
            Verdict::Fail,
            "store settings fsync",
            "may be lost",
            "set fsync = on",
        ),
        (
            "commits that are not there yet",
            set("synchronous_commit", "off"),
            Verdict::Fail,
            "store settings synchronous_commit",
            "may be lost",
            "set synchronous_commit = on",
        ),
        (
            "no autovacuum",
            set("autovacuum", "off"),
            Verdict::Warn,
            "store settings autovacuum",
            "dead rows",
            "= on",
        ),
        (
            "another encoding",
            set("server_encoding", "SQL_ASCII"),
            Verdict::Fail,
            "store settings server_encoding",
            "cannot be stored",
            "ENCODING 'UTF8'",
        ),
        (
            "another isolation",
            set("default_transaction_isolation", "serializable"),
            Verdict::Warn,
            "store settings default_transaction_isolation",
            "fail that need not",
            "read committed",
        ),
        (
            "too few connections",
            set("max_connections", "12"),
            Verdict::Fail,
            "store settings max_connections",
            "takes up to 10",
            "lower store.connections_max",
        ),
        ("a clock that is off", clock(-90), Verdict::Fail, "store clock", "90.0 s behind", "NTP"),
        ("a clock that drifts", clock(2), Verdict::Warn, "store clock", "2.0 s ahead", "NTP"),
        (
            "rows that nobody clears away",
            StoreSurvey { tables: dead, ..good.clone() },
            Verdict::Warn,
            "store bloat",
            "50000 dead rows",
            "VACUUM ANALYZE attempts",
        ),
        (
            "a file that is mostly free",
            StoreSurvey { settings: free, ..StoreSurvey::default() },
            Verdict::Warn,
            "store bloat",
            "are free",
            "run VACUUM",
        ),
    ] {
        assert_found(why, &store::of_survey(&survey, 10), verdict, check, says, remedy);
    }
}

#[test]
fn what_a_provider_says_is_named_with_its_remedy() {
    let fault = SendError::ConfigFault { blame: Blame::Everybody, reason: "invalid_grant".into() };
    let away = SendError::Unreachable { reason: "could not connect".into() };
    let busy = SendError::Throttled {
        retry_after: None,
        scope: watchbell_fallback::channel::ThrottleScope::Provider,
        reason: "TooManyRequests".into(),
    };
    for (why, provider, error, verdict, says, remedy) in [
        ("credentials", "fcm", fault, Verdict::Fail, "invalid_grant", "correct the credentials of fcm"),
        ("no way", "slack", away, Verdict::Fail, "could not connect", "trust roots"),
        ("too fast", "apns", busy, Verdict::Warn, "TooManyRequests", "ask again later"),
    ] {
        let run = DryRun { provider, environment: None, outcome: Err(error) };
        assert_found(
            why,
            &[providers::of_dry_run(&run)],
            verdict,
            &format!("provider {provider}"),
            says,
            remedy,
        );
    }
}

#[test]
fn faults_in_front_of_the_pods_are_named_with_their_remedies() {
    const PUBLIC: &str = "https://alerts.example.com";
    let good = PublicSeen {
        inbox: Ok(401),
        certificate_end: Some("2027-11-30T12:00:00Z".parse().unwrap()),
        upgrade: Ok(101),
        origins: vec![
            ("https://app.example.com".into(), true, Ok(101)),
            ("https://x.invalid".into(), false, Ok(403)),
        ],
        events: Some(EventsSeen::InTime),
    };
    let judged = |seen: &PublicSeen| public::of_public(seen, Some(PUBLIC), PUBLIC, now());
    assert!(judged(&good).iter().all(|finding| finding.verdict == Verdict::Ok), "{:?}", judged(&good));

    let origin = |is_allowed, status| PublicSeen {
        origins: vec![("https://app.example.com".into(), is_allowed, Ok(status))],
        ..good.clone()
    };
    for (why, seen, verdict, check, says, remedy) in [
        (
            "an upgrade that is dropped",
            PublicSeen { upgrade: Ok(400), ..good.clone() },
            Verdict::Fail,
            "public WebSocket",
            "with 400",
            "Connection and Upgrade",
        ),
        (
            "events that are gathered",
            PublicSeen { events: Some(EventsSeen::HeldBack), ..good.clone() },
            Verdict::Fail,
            "public server-sent events",
            "gathers the answer",
            "proxy_buffering off",
        ),
        (
            "no token to look with",
            PublicSeen { events: None, ..good.clone() },
            Verdict::Warn,
            "public server-sent events",
            "not looked at",
            "WATCHBELL_TOKEN",
        ),
        (
            "pages that are refused",
            origin(true, 403),
            Verdict::Fail,
            "socket.allowed_origins",
            "refused with 403",
            "pass Origin on",
        ),
        (
            "pages of anybody",
            origin(false, 101),
            Verdict::Fail,
            "socket.allowed_origins",
            "any origin may connect",
            "pass Origin on",
        ),
        (
            "a host that is not ours",
            PublicSeen { inbox: Ok(421), ..good.clone() },
            Verdict::Fail,
            "public address",
            "421",
            "http.allowed_hosts",
        ),
        (
            "no pod",
            PublicSeen { inbox: Ok(503), ..good.clone() },
            Verdict::Fail,
            "public address",
            "no pod behind it",
            "/readyz",
        ),
        (
            "a certificate that is over",
            PublicSeen { certificate_end: Some("2026-11-29T12:00:00Z".parse().unwrap()), ..good.clone() },
            Verdict::Fail,
            "public certificate",
            "ended at",
            "renew it",
        ),
    ] {
        assert_found(why, &judged(&seen), verdict, check, says, remedy);
    }
    let other = public::of_public(&good, Some("https://old.example.com"), PUBLIC, now());
    assert_found(
        "links lead elsewhere",
        &other,
        Verdict::Warn,
        "http.public_url",
        "links in mails",
        "make them one",
    );
}
