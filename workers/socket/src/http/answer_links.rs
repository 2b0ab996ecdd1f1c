//! The answer links of mails and pushes: a person answers or acknowledges an alert without a login, by the token in the address.
//!
//! What holds here:
//! - Only a POST answers. Programs that look for harm fetch every link of a mail; so a GET shows the button and changes nothing.
//! - A link is good for a week ([`watchbell::wire::answer_link::ANSWER_LINK_TTL`]), and void once its person's sessions were ended.
//! - What it can do is what the person can: acknowledge an alert of their inbox, or answer it by an action of the version that is shown. It is
//!   charged as their receipts are.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use serde::Deserialize;
use watchbell::{
    domain::{
        Answer, Receipt, ReceiptState,
        action::{answer_of, is_action_id},
        markdown::escaped,
    },
    runtime::{
        Clock, Current,
        http::{Path, Query, RETRY_AFTER_S},
        rate_limit::TooSoon,
    },
    store::ShownContent,
    wire::{
        Problem,
        answer_link::{AnswerLink, AnswerLinks},
        content::actions_in,
    },
};

use crate::{
    feed::inbox::Inbox,
    http::link_page::page,
    pod::{limits::ReceiptTurns, receipts::NotWritten},
};

/// Where it was said, as `by` of the receipt has it.
const BY: &str = "link";

/// Reads answer links. None when there are none; replaced when their secret is.
#[derive(Clone)]
pub(crate) struct AnswerLinkReader(pub(crate) Current<Option<AnswerLinks>>);

#[derive(Deserialize)]
pub(crate) struct WhichAction {
    action: Option<String>,
}

/// What a link would say of its alert.
struct Offer {
    link: AnswerLink,
    /// Without one it is acknowledged.
    answer: Option<Answer>,
    /// What the alert says in one line.
    title: String,
}

impl Offer {
    /// What stands on the button.
    fn button(&self) -> &str {
        self.answer.as_ref().map_or("Acknowledge", |answer| &answer.title)
    }
}

/// `GET /v1/answers/{token}?action=`: shows the button, and changes nothing.
pub(crate) async fn ask(
    State(reader): State<AnswerLinkReader>,
    State(inbox): State<Inbox>,
    State(clock): State<Clock>,
    Path(token): Path<String>,
    Query(which): Query<WhichAction>,
) -> Result<Response, Problem> {
    let offer = offer_of(&reader, &inbox, &clock, &token, which).await?;
    let button = escaped(offer.button());
    Ok(page(&escaped(&offer.title), &format!("<form method=post><button>{button}</button></form>")))
}

/// `POST /v1/answers/{token}?action=`: answers, as the receipt `answered` does, and without an action acknowledges, as `seen` does.
/// Harmless to repeat: a first answer stays.
pub(crate) async fn answer(
    State(reader): State<AnswerLinkReader>,
    State(inbox): State<Inbox>,
    State(turns): State<Arc<ReceiptTurns>>,
    State(clock): State<Clock>,
    Path(token): Path<String>,
    Query(which): Query<WhichAction>,
) -> Result<Response, Problem> {
    let offer = offer_of(&reader, &inbox, &clock, &token, which).await?;
    let (said, about) = (escaped(offer.button()), escaped(&offer.title));
    let Offer { link, answer, .. } = offer;
    turns.take(&link.user, 1).await.map_err(|TooSoon { wait }| {
        Problem::too_many("this user says more than is read: press the button again later", seconds(wait))
    })?;
    let is_answer = answer.is_some();
    let receipt = Receipt {
        user: link.user,
        alerts: vec![link.alert.clone()],
        state: if is_answer { ReceiptState::Answered } else { ReceiptState::Seen },
        until: None,
        answers: answer.map(|answer| (link.alert, answer)).into_iter().collect(),
        op: None,
        by: BY.to_owned(),
    };
    let written = inbox.receipts.write(receipt).await.map_err(|why| match why {
        NotWritten::Leaving => {
            Problem::unavailable("this pod is leaving: press the button again", RETRY_AFTER_S)
        }
        NotWritten::Impossible => Problem::internal("the store does not take this answer"),
    })?;
    Ok(match written {
        _ if !is_answer => page("Thank you.", &format!("<p>{about}</p><p>It is acknowledged.</p>")),
        Some(_) => page("Thank you.", &format!("<p>{about}</p><p>Your answer: <strong>{said}</strong></p>")),
        None => page("This was answered before.", &format!("<p>{about}</p><p>Your first answer stays.</p>")),
    })
}

/// What a link offers, by what the alert says now.
async fn offer_of(
    reader: &AnswerLinkReader,
    inbox: &Inbox,
    clock: &Clock,
    token: &str,
    which: WhichAction,
) -> Result<Offer, Problem> {
    let unknown =
        || Problem::not_found("this is no answer link of ours, or it is older than a week: open the alert");
    let link = Option::as_ref(&reader.0.get())
        .and_then(|links| links.read(token, clock.now()))
        .ok_or_else(unknown)?;
    let heads = inbox.store.heads(std::slice::from_ref(&link.user)).await?;
    if heads.get(&link.user).is_some_and(|head| head.refuses(Some(link.written_at))) {
        return Err(unknown());
    }
    let action = which.action.as_deref();
    if action.is_some_and(|action| !is_action_id(action)) {
        return Err(Problem::invalid(
            "action",
            "is not the id of a button; without one, the alert is acknowledged",
        ));
    }
    let mut shown = inbox.store.shown_contents(&link.user, std::slice::from_ref(&link.alert)).await?;
    let gone =
        || Problem::not_found("the alert is not there any more, or has no such button now: open your inbox");
    let ShownContent { content, .. } = shown.remove(&link.alert).ok_or_else(gone)?;
    let answer = match action {
        Some(action) => Some(answer_of(&actions_in(&content), action).ok_or_else(gone)?),
        None => None,
    };
    Ok(Offer { link, answer, title: title_in(&content) })
}

fn title_in(content: &str) -> String {
    #[derive(Deserialize)]
    struct Titled {
        title: String,
    }
    // `content_of` wrote it.
    serde_json::from_str::<Titled>(content).map(|titled| titled.title).unwrap_or_default()
}

/// A wait in whole seconds, for `Retry-After`.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX)
}
