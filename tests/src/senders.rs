//! How a fleet tells people: its default policy, and what points its senders at a simulator that is another process.

/// The settings of fallback, where a simulator of the same folder listens on these ports for pushes and for email.
pub(crate) fn at_simulator(push: u16, smtp: u16) -> Vec<(String, String)> {
    let origin = format!("https://localhost:{push}");
    let settings = [
        ("APNS__TEAM_ID", "WATCHBELL1".to_owned()),
        ("APNS__KEY_ID", "SIMULATED1".to_owned()),
        ("APNS__TOPIC", "dev.watchbell.simulator".to_owned()),
        ("APNS__KEY_FILE", "simulator/apns.p8".to_owned()),
        ("APNS__ENDPOINT", origin.clone()),
        ("APNS__ENDPOINT_SANDBOX", origin.clone()),
        ("APNS__BROADCAST", "true".to_owned()),
        ("APNS__ENDPOINT_CHANNELS", origin.clone()),
        ("APNS__ENDPOINT_CHANNELS_SANDBOX", origin.clone()),
        ("FCM__SERVICE_ACCOUNT_FILE", "simulator/fcm-service-account.json".to_owned()),
        ("FCM__ENDPOINT", origin.clone()),
        ("EMAIL__HOST", "localhost".to_owned()),
        ("EMAIL__PORT", smtp.to_string()),
        ("EMAIL__FROM", "Watchbell <alerts@watchbell.test>".to_owned()),
        ("TELEGRAM__BOT_TOKEN_FILE", "simulator/telegram-bot-token".to_owned()),
        ("TELEGRAM__ENDPOINT", origin.clone()),
        ("SMS__ACCOUNT_SID", "AC00000000000000000000000000000001".to_owned()),
        ("SMS__AUTH_TOKEN", "simulated-auth-token".to_owned()),
        ("SMS__FROM", "+15005550006".to_owned()),
        ("SMS__ENDPOINT", origin),
    ];
    let root = |section| (format!("{section}__TRUST_ROOT_FILE"), "simulator/ca.pem".to_owned());
    let roots = ["APNS", "FCM", "EMAIL", "TELEGRAM", "SMS"].map(root);
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(roots);
    settings.map(|(name, value)| (format!("WATCHBELL__{name}"), value)).collect()
}

/// A default policy that waits so long before push and then before email (in milliseconds), and no restraint: each
/// alert is a push and a mail of its own, however many a test sends. Restraint has tests of its own.
pub(crate) fn policy((push, email): (u64, u64)) -> String {
    format!(
        "[policies.default]\nsteps = [{{channel = \"push\", after = \"{push}ms\"}}, {{channel = \"email\", after = \"{email}ms\"}}]\n\
         [restraint]\nbundle_window = \"0s\"\ndigest_window = \"0s\"\n\
         pushes_per_hour_max = 1000000\nemails_per_hour_max = 1000000\n"
    )
}
