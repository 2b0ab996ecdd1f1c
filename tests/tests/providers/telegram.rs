//! Telegram, over its Bot API.

use jiff::Timestamp;
use serde_json::{Value, json};
use watchbell::domain::{Secret, Severity, StopReason, UserKey};
use watchbell_fallback::channel::{
    Accepted, AlertContent, ChannelSender as _, Disposition, Job, Message, SendError, TelegramSender,
    Withdrawal,
};

use crate::fixture::{ProviderFixture, alert, ana, job, now, told};

const CHAT: &str = "-1001234567890";

struct Chat<'a> {
    sender: &'a TelegramSender,
    user: UserKey,
}

impl<'a> Chat<'a> {
    fn of(sender: &'a TelegramSender) -> Self {
        Self { sender, user: ana() }
    }

    async fn send(&self, shown: &[Accepted], message: Message) -> Result<Accepted, SendError> {
        let shown = shown.iter().filter_map(|accepted| accepted.provider_id.clone()).collect();
        let job = Job { shown, ..job(&self.user, &Secret::from(CHAT), message) };
        self.sender.send(&job, Timestamp::now()).await
    }

    async fn show(&self, shown: &[Accepted], content: AlertContent) -> Result<Accepted, SendError> {
        self.send(shown, Message::Alert(content)).await
    }

    async fn take_away(&self, shown: &[Accepted], because: StopReason) -> Result<Accepted, SendError> {
        let (alerts, content) = (vec!["x".to_owned()], Some(Box::new(of(Severity::Warning))));
        self.send(shown, Message::Withdrawal(Withdrawal { alerts, unread: 0, because, content })).await
    }
}

fn of(severity: Severity) -> AlertContent {
    AlertContent { severity, url: Some("/a/x".into()), ..alert("x") }
}

/// `title copies withdrawn` of each message, oldest first.
async fn chat_of(fixture: &ProviderFixture) -> Vec<String> {
    let arrivals = fixture.arrivals().await;
    let messages = arrivals.iter().filter(|one| one["kind"] == "telegram" && one["withdrawal"] == false);
    let line = |one: &Value| {
        assert_eq!(one["to"], CHAT);
        let mark = if one["withdrawn"] == true { " gone" } else { "" };
        format!("{} {}{mark}", one["title"].as_str().unwrap(), one["copies"])
    };
    messages.map(line).collect()
}

/// Every row of the reaction table (`docs/providers.md`, "Telegram"), as the sender meets it.
#[tokio::test]
async fn every_answer_of_telegram_has_its_consequence() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    for (status, description, code) in [
        (400, "Bad Request: chat not found", "address_refused"),
        (403, "Forbidden: bot was blocked by the user", "address_refused"),
        (403, "Forbidden: bot was kicked from the group chat", "address_refused"),
        (403, "Forbidden: bot can't send messages to the user", "rejected"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "config_fault"),
        (400, "Bad Request: message is too long", "rejected"),
        (401, "Unauthorized", "config_fault"),
        (404, "Not Found", "config_fault"),
        (429, "Too Many Requests: retry after 7", "throttled"),
        (500, "Internal Server Error", "unavailable"),
    ] {
        fixture.faults(json!({"telegram": [{"status": status, "reason": description, "count": 1}]})).await;
        told(description, chat.show(&[], of(Severity::Critical)).await, code, description);
    }
    fixture.faults(json!({"telegram": [{"html": true, "count": 1}]})).await;
    told("a page", chat.show(&[], of(Severity::Critical)).await, "unavailable", "status 502");
    let echo = format!("Bad Request: {CHAT} Disk is full c4nary");
    fixture
        .faults(json!({"telegram": [{"status": 400, "reason": echo.replace("c4nary", "x"), "count": 1}]}))
        .await;
    let error = told("an echo", chat.show(&[], of(Severity::Critical)).await, "rejected", "Bad Request");
    assert!(!error.to_string().contains(CHAT), "{error}");
    assert!(fixture.arrivals().await.is_empty());
    fixture.stop().await;
}

#[tokio::test]
async fn the_wait_is_the_one_that_telegram_names() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    fixture.faults(json!({"telegram": [{"status": 429, "retry_after": 33, "count": 1}]})).await;
    let error = Chat::of(&sender).show(&[], of(Severity::Info)).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry { wait_min: std::time::Duration::from_secs(33) });
    fixture.stop().await;
}

#[tokio::test]
async fn another_token_is_our_fault_and_is_never_printed() {
    let fixture = ProviderFixture::start().await;
    for (token, code) in [("123:c4nary", "config_fault"), ("c4nary", "config_fault")] {
        let sender = fixture.telegram_as(token);
        told(token, Chat::of(&sender).show(&[], of(Severity::Info)).await, code, "");
    }
    let addresses = fixture.addresses;
    let sender = fixture.telegram_as("123:c4nary");
    fixture.stop().await;
    let error =
        told("nobody there", Chat::of(&sender).show(&[], of(Severity::Info)).await, "unreachable", "");
    assert!(
        !error.to_string().contains(&addresses.push.port().to_string()),
        "no part of the address: {error}"
    );
}

/// An edit makes no sound. So what is to be noticed is a new message in place of the earlier one, and what is silent
/// anyway is edited.
#[tokio::test]
async fn one_alert_is_one_message_whatever_becomes_of_it() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    let first = chat.show(&[], of(Severity::Info)).await.unwrap();
    let again = AlertContent { title: "Disk is fuller".into(), ..of(Severity::Info) };
    let second = chat.show(std::slice::from_ref(&first), again.clone()).await.unwrap();
    assert_eq!(second, first, "edited in its place");
    let third = chat.show(std::slice::from_ref(&first), again).await.unwrap();
    assert_eq!(third, first, "nothing new to say is no failure");
    assert_eq!(chat_of(&fixture).await, ["🔵 Disk is fuller 2"]);
    let worse = chat.show(&[first, second], of(Severity::Critical)).await.unwrap();
    assert_eq!(chat_of(&fixture).await, ["🔵 Disk is fuller 2 gone", "🔴 Disk is full 1"]);
    let arrivals = fixture.arrivals().await;
    let silent: Vec<&Value> = arrivals.iter().map(|one| &one["payload"]["disable_notification"]).collect();
    assert_eq!(
        (silent[1], &arrivals[0]["payload"]["link_preview_options"]),
        (&json!(false), &json!({"is_disabled": true}))
    );
    assert_eq!(arrivals[1]["body"], "2 % left\n\nhttps://alerts.watchbell.test/a/x");
    chat.take_away(std::slice::from_ref(&worse), StopReason::Read).await.unwrap();
    chat.take_away(&[worse], StopReason::Read).await.unwrap();
    assert_eq!(
        chat_of(&fixture).await,
        ["🔵 Disk is fuller 2 gone", "🔴 Disk is full 1 gone"],
        "twice is no failure"
    );
    fixture.stop().await;
}

#[tokio::test]
async fn what_is_resolved_says_so_where_it_stands() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    let earlier = chat.show(&[], of(Severity::Warning)).await.unwrap();
    let shown = chat.show(&[], of(Severity::Critical)).await.unwrap();
    let both = [earlier, shown];
    // The second try finds nothing to change, which is what it wants.
    for _ in 0..2 {
        chat.take_away(&both, StopReason::Resolved).await.unwrap();
        assert_eq!(chat_of(&fixture).await, ["🟡 Disk is full 1 gone", "✅ Disk is full 2"]);
    }
    let said = &fixture.arrivals().await[1];
    assert_eq!(said["body"], "resolved\n\nhttps://alerts.watchbell.test/a/x");
    assert_eq!(said["payload"]["entities"][0]["type"], "strikethrough");
    chat.take_away(&both, StopReason::Read).await.unwrap();
    chat.take_away(&both, StopReason::Resolved).await.unwrap();
    assert_eq!(chat_of(&fixture).await[1], "✅ Disk is full 2 gone", "what is gone need not be changed");
    fixture.stop().await;
}

#[tokio::test]
async fn the_longest_texts_pass_and_nothing_in_them_is_markup() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    let body = "<b>&😀*_[x](y) ".repeat(2_000);
    let long = AlertContent { body: Some(body), ..of(Severity::Critical) };
    chat.show(&[], long).await.unwrap();
    let arrival = &fixture.arrivals().await[0];
    assert!(arrival["body"].as_str().unwrap().starts_with("<b>&😀*_[x](y) <b>"), "{arrival}");
    assert!(arrival["payload"].get("parse_mode").is_none(), "{arrival}");
    fixture.stop().await;
}

#[tokio::test]
async fn what_cannot_be_deleted_any_more_says_that_it_is_over() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    let shown = chat.show(&[], of(Severity::Warning)).await.unwrap();
    let too_old =
        json!([{"status": 400, "reason": "Bad Request: message can't be deleted for everyone", "count": 1}]);
    fixture.faults(json!({"telegram": too_old})).await;
    chat.take_away(&[shown], StopReason::Seen).await.unwrap();
    assert_eq!(chat_of(&fixture).await, ["✅ Disk is full 2"]);
    assert_eq!(fixture.arrivals().await[0]["body"], "seen\n\nhttps://alerts.watchbell.test/a/x");
    fixture.stop().await;
}

#[tokio::test]
async fn an_alert_is_not_told_again_because_an_earlier_message_stays() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    let first = chat.show(&[], of(Severity::Warning)).await.unwrap();
    // Deleted by hand meanwhile, which the Bot API does not tell.
    chat.take_away(std::slice::from_ref(&first), StopReason::Seen).await.unwrap();
    let second = chat.show(std::slice::from_ref(&first), of(Severity::Info)).await.unwrap();
    assert_ne!(second, first, "what is gone cannot be edited, so it is sent anew");
    assert_eq!(chat_of(&fixture).await, ["🟡 Disk is full 1 gone", "🔵 Disk is full 1"]);
    fixture.stop().await;
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_is_found_there() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let moved = json!([{"status": 400, "reason": "Bad Request: group chat was upgraded to a supergroup chat",
        "moved_to": -100_777, "to": CHAT}]);
    fixture.faults(json!({"telegram": moved})).await;
    let chat = Chat::of(&sender);
    let shown = chat.show(&[], of(Severity::Warning)).await.unwrap();
    chat.take_away(&[shown], StopReason::Read).await.unwrap();
    let arrivals = fixture.arrivals().await;
    assert_eq!((&arrivals[0]["to"], &arrivals[0]["withdrawn"]), (&json!("-100777"), &json!(true)));
    fixture.stop().await;
}

/// The Bot API takes no id of ours (`docs/providers.md`, "Telegram").
#[tokio::test]
async fn an_answer_that_got_lost_is_ambiguous_and_may_stand_there_twice() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let chat = Chat::of(&sender);
    fixture.faults(json!({"telegram": [{"drop": "after", "count": 1}]})).await;
    let error = chat.show(&[], of(Severity::Critical)).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable { .. }), "{error}");
    chat.show(&[], of(Severity::Critical)).await.unwrap();
    assert_eq!(chat_of(&fixture).await, ["🔴 Disk is full 1", "🔴 Disk is full 1"]);
    fixture.stop().await;
}

#[tokio::test]
async fn a_chat_that_is_none_is_never_asked_for() {
    let fixture = ProviderFixture::start().await;
    let sender = fixture.telegram();
    let user = ana();
    let job = job(&user, &Secret::from("@c4nary"), Message::Alert(alert("x")));
    let error = told("a name", sender.send(&job, now()).await, "unusable", "the number of a Telegram chat");
    assert_eq!(error.disposition(), Disposition::DropMessage, "nobody was asked, so nothing is proved");
    fixture.stop().await;
}
