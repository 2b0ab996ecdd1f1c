//! What an operator should know of a configuration that can run: what it leaves out, what it lets pass, and what ends.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use watchbell::{
    domain::Channel,
    runtime::{certificate::certificates, config::values::written_duration},
};
use watchbell_fallback::channel::DkimRecord;

use super::finding::Finding;
use crate::{cli::Role, config::FleetConfig};

/// A certificate that ends within this time is to be renewed now.
const CERTIFICATE_ENDS_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Nodes that a cluster needs to go on after one of them died.
const NODES_MIN: usize = 3;

/// All of it that concerns these workers.
pub(super) fn of(roles: &[Role], config: &FleetConfig, now: Timestamp) -> Vec<Finding> {
    let has = |role| roles.contains(&role);
    let mut findings = vec![leaving(config)];
    findings.extend(written(config));
    findings.extend(broker(config));
    if has(Role::Dispatch) {
        findings.extend(retention(config));
        findings.push(producers(config));
    }
    if has(Role::Socket) {
        findings.push(origins(config));
    }
    if has(Role::Fallback) {
        findings.extend(channels(config));
        findings.extend(mail(config));
    }
    if has(Role::Dispatch) || has(Role::Fallback) {
        findings.extend(late_steps(config));
    }
    findings.extend(own_certificates(config, has(Role::Fallback), now));
    findings
}

/// All of it that concerns `up`, which has what is not configured in itself.
pub(super) fn of_up(config: &FleetConfig, now: Timestamp) -> Vec<Finding> {
    let mut findings = written(config);
    findings.extend(retention(config));
    findings.push(origins(config));
    findings.push(simulated(config));
    findings.extend(dry(config));
    findings.extend(signed(config));
    findings.extend(late_steps(config));
    findings.extend(own_certificates(config, true, now));
    findings
}

/// What is written in another way than it is meant, whoever reads it.
fn written(config: &FleetConfig) -> Vec<Finding> {
    let passed_over = config.passed_over.iter().map(|line| {
        let (variable, found) = line.split_once(' ').unwrap_or((line, ""));
        Finding::warn(variable, found, "spell it as a setting, or call it something else")
    });
    let wide = super::proxies::too_wide(&config.shared.http);
    let wide = wide.map(|found| Finding::warn("http.trusted_proxies", found, super::proxies::REMEDY));
    passed_over.chain(wide).collect()
}

/// Steps that come after the alert has ended.
fn late_steps(config: &FleetConfig) -> Vec<Finding> {
    let late = super::policies::late_steps(&config.shared.policies(), config.dispatch.expires_after);
    let found = late.into_iter().map(|(policy, found)| Finding::warn(policy, found, super::policies::REMEDY));
    found.collect()
}

/// That leaving fits into the grace period was checked when the configuration was read: here it is said by how much.
fn leaving(config: &FleetConfig) -> Finding {
    let http = &config.shared.http;
    let found = format!(
        "sessions move within {} after http.leave_wait ({}), and senders end within {}; the orchestrator has to give \
         http.grace_period ({})",
        written_duration(config.socket.drain_window),
        written_duration(http.leave_wait),
        written_duration(config.fallback.drain_timeout),
        written_duration(http.grace_period),
    );
    Finding::ok("http.grace_period", found)
}

fn broker(config: &FleetConfig) -> Option<Finding> {
    let urls = config.shared.broker.url.as_ref()?;
    let nodes = urls.expose().split(',').count();
    let check = "broker.url nodes";
    Some(match nodes {
        NODES_MIN.. => Finding::ok(check, format!("names {nodes} nodes")),
        _ => Finding::warn(
            check,
            format!("names {nodes} of the cluster's nodes: when it is away, so is the broker"),
            "name three nodes, separated by commas; one name that leads to all of them does as well",
        ),
    })
}

fn producers(config: &FleetConfig) -> Finding {
    match config.shared.producers().is_mapped() {
        true => Finding::ok("broker.producer", "each user of the broker publishes for its own tenants"),
        false => Finding::warn(
            "broker.producer",
            "whoever may publish over AMQP may name any tenant",
            "map users of the broker to tenants with [[broker.producer]]",
        ),
    }
}

fn origins(config: &FleetConfig) -> Finding {
    let check = "socket.allowed_origins";
    match config.socket.allowed_origins.as_slice() {
        [] => Finding::ok(check, "only pages of the same host may connect"),
        origins => Finding::ok(check, format!("pages of {} may connect", origins.join(", "))),
    }
}

/// Where alerts go before they expire.
fn retention(config: &FleetConfig) -> Vec<Finding> {
    let lines = super::retention::lines(config);
    let is_early = |line: &String| line.contains(" is shorter than ");
    let (early, kept): (Vec<String>, Vec<String>) = lines.into_iter().partition(is_early);
    let kept = kept.into_iter().map(|line| match line.split_once(": ") {
        Some((section, kept)) => Finding::ok(section, kept),
        None => Finding::ok("retention", line),
    });
    let remedy = "keep alerts for longer, or have them expire earlier";
    kept.chain(early.into_iter().map(|line| Finding::warn("retention", line, remedy))).collect()
}

/// What is configured of the channels, and which steps of policies are skipped.
fn channels(config: &FleetConfig) -> Vec<Finding> {
    let there: Vec<&str> =
        Channel::ALL.into_iter().filter(|channel| is_there(config, *channel)).map(Channel::as_str).collect();
    let mut findings = vec![match there.as_slice() {
        [] => Finding::warn(
            "channels configured",
            "none: people who are not connected are told nothing",
            "configure [apns], [fcm], [webpush], [email] or another channel",
        ),
        there => Finding::ok("channels configured", there.join(", ")),
    }];
    for (policy, channel) in config.shared.channels_of_policies() {
        if !is_there(config, channel) {
            findings.push(Finding::warn(
                policy,
                format!("its step by {channel} is skipped"),
                format!("configure {}, or take the step out", channel.facts().phrases.setup),
            ));
        }
    }
    findings.extend(dry(config));
    findings
}

fn is_there(config: &FleetConfig, channel: Channel) -> bool {
    match channel {
        Channel::Push => {
            config.channels.apns.is_some() || config.channels.fcm.is_some() || config.shared.webpush.is_some()
        }
        Channel::Email => config.channels.email.is_some(),
        Channel::Webhook => config.channels.webhook.is_some(),
        Channel::Slack => config.channels.slack.is_some(),
        Channel::Telegram => config.channels.telegram.is_some(),
        Channel::Sms => config.channels.sms.is_some(),
    }
}

/// Whom `up` really sends by, and what the simulator stands in for.
fn simulated(config: &FleetConfig) -> Finding {
    let (there, missing): (Vec<Channel>, Vec<Channel>) =
        Channel::ALL.into_iter().partition(|channel| is_there(config, *channel));
    let words = |channels: &[Channel]| channels.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
    let found = match (there.as_slice(), missing.as_slice()) {
        ([], missing) => format!("the simulator stands in for {}", words(missing)),
        (there, []) => format!("people are really told by {}", words(there)),
        (there, missing) => format!(
            "people are really told by {}; the simulator stands in for {}",
            words(there),
            words(missing)
        ),
    };
    Finding::ok("channels configured", found)
}

/// That nothing is shown.
fn dry(config: &FleetConfig) -> Option<Finding> {
    config.channels.fcm.as_ref().filter(|fcm| fcm.validate_only)?;
    Some(Finding::warn(
        "fcm.validate_only",
        "Google judges every push and shows none",
        "set it to false, unless this is a trial",
    ))
}

/// How mails are signed.
fn signed(config: &FleetConfig) -> Option<Finding> {
    // That a key cannot be used is said by what the worker needs.
    let record = DkimRecord::of(&config.channels.email.as_ref()?.dkim.as_ref()?.config()).ok()?;
    // No name server is asked from here: it is the receivers' that matters.
    let found = format!("mails are signed; name servers must have: {} TXT \"{}\"", record.name, record.text);
    Some(Finding::ok("email.dkim", found))
}

/// What mails lack without settings that they need.
fn mail(config: &FleetConfig) -> Vec<Finding> {
    if config.channels.email.is_none() {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = signed(config).into_iter().collect();
    if config.shared.http.public_url.is_none() {
        findings.push(Finding::warn(
            "http.public_url",
            "mails have no links, and cannot be unsubscribed",
            "set it to the address under which people reach socket",
        ));
    }
    if config.shared.auth.unsubscribe_secret.is_none() {
        findings.push(Finding::warn(
            "auth.unsubscribe_secret",
            "mails have no link to unsubscribe, which large mailbox providers ask for",
            "set the same secret for fallback and socket",
        ));
    }
    findings
}

/// Until when the certificates that the configuration names are good.
fn own_certificates(config: &FleetConfig, sends: bool, now: Timestamp) -> Vec<Finding> {
    let broker = &config.shared.broker;
    let mut findings = Vec::new();
    if let Some(pem) = &broker.client_certificate {
        findings.extend(ends("broker.client_certificate", pem.expose().as_bytes(), now));
    }
    let mut files = vec![("broker.trust_root_file", broker.trust_root_file.as_deref())];
    if sends {
        let channels = &config.channels;
        if let Some(pem) = channels.apns.as_ref().and_then(|apns| apns.certificate.as_ref()) {
            findings.extend(ends("apns.certificate", pem.expose().as_bytes(), now));
        }
        files.extend([
            ("apns.trust_root_file", channels.apns.as_ref().and_then(|s| s.trust_root_file.as_deref())),
            ("fcm.trust_root_file", channels.fcm.as_ref().and_then(|s| s.trust_root_file.as_deref())),
            ("email.trust_root_file", channels.email.as_ref().and_then(|s| s.trust_root_file.as_deref())),
            ("webhook.trust_root_file", channels.webhook.as_ref().and_then(|s| s.trust_root_file.as_deref())),
            ("slack.trust_root_file", channels.slack.as_ref().and_then(|s| s.trust_root_file.as_deref())),
            (
                "telegram.trust_root_file",
                channels.telegram.as_ref().and_then(|s| s.trust_root_file.as_deref()),
            ),
            ("sms.trust_root_file", channels.sms.as_ref().and_then(|s| s.trust_root_file.as_deref())),
            (
                "webpush.trust_root_file",
                config.shared.webpush.as_ref().and_then(|s| s.trust_root_file.as_deref()),
            ),
        ]);
    }
    for (key, file) in files {
        findings.extend(file.into_iter().flat_map(|file| ends_in_file(key, file, now)));
    }
    findings
}

fn ends_in_file(key: &str, file: &Path, now: Timestamp) -> Vec<Finding> {
    match std::fs::read(file) {
        Ok(pem) => ends(key, &pem, now),
        Err(error) => vec![Finding::fail(
            key,
            format!("{} cannot be read: {error}", file.display()),
            "correct the path, or the rights of the file",
        )],
    }
}

fn ends(key: &str, pem: &[u8], now: Timestamp) -> Vec<Finding> {
    match certificates(pem) {
        Ok(all) if !all.is_empty() => all.into_iter().map(|end| until(key, end, now)).collect(),
        Ok(_) => vec![Finding::fail(key, "holds no certificate", "give it a certificate as PEM")],
        Err(error) => vec![Finding::fail(key, format!("{error:#}"), "give it a certificate as PEM")],
    }
}

/// What it means that a certificate is good until then.
pub(super) fn until(check: &str, end: Timestamp, now: Timestamp) -> Finding {
    let left = end.duration_since(now);
    let renew = "renew it, and restart what uses it";
    if left <= SignedDuration::ZERO {
        return Finding::fail(check, format!("the certificate ended at {end}"), renew);
    }
    let days = left.as_hours() / 24;
    match left < CERTIFICATE_ENDS_SOON {
        true => Finding::warn(check, format!("the certificate ends in {days} days, at {end}"), renew),
        false => Finding::ok(check, format!("the certificate is good for {days} days, until {end}")),
    }
}
