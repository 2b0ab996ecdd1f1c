//! The answer links of mails and pushes: a person answers or acknowledges an alert without a login, by the token in the address.
//!
//! What holds here:
//! - Only a POST answers. Programs that look for harm fetch every link of a mail; so a GET shows the button and changes nothing.
//! - The link of a mail answers with a ticket alone that its page has and that is good for a quarter of an hour; a POST without one is
//!   asked as a GET is. The link that a program was given (`answers_at`) needs none.
//! - A link is good for a week ([`watchbell::wire::answer_link::ANSWER_LINK_TTL`]), and void once its person's sessions were ended, and while its
//!   alert is another one than the message told of: it fires again, became worse, or came back from a snooze.
//! - What it can do is what the person can: acknowledge an alert of their inbox, or answer it by an action of the version that is shown. It is
//!   charged as their receipts are. To acknowledge is to take the alert on where somebody is to do that, and elsewhere to have seen it.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use watchbell::{
    domain::{
        Acknowledgement, Answer, Receipt, ReceiptState,
        action::{answer_of, is_action_id},
        markdown::escaped,
        receipt::BY_LINK,
    },
    runtime::{
        Clock, Current,
        http::{Path, Query, RETRY_AFTER_S},
        rate_limit::TooSoon,
    },
    store::ShownContent,
    wire::{
        Problem,
        answer_link::{AnswerLink, AnswerLinks, AnsweredBy},
        content::actions_in,
    },
};

use crate::{
    feed::inbox::Inbox,
    http::link_page::page,
    pod::{limits::ReceiptTurns, receipts::NotWritten},
};

/// Reads answer links. None when there are none; replaced when their secret is.
#[derive(Clone)]
pub(crate) struct AnswerLinkReader(pub(crate) Current<Option<AnswerLinks>>);

#[derive(Deserialize)]
pub(crate) struct Pressed {
    /// The id of the button's action; without one the alert is acknowledged.
    action: Option<String>,
    /// Of the page that was pressed on.
    ticket: Option<String>,
}

/// What a link would say of its alert.
struct Offer {
    link: AnswerLink,
    /// Without one it is acknowledged.
    answer: Option<Answer>,
    /// Who has the alert, where it is to be acknowledged.
    acknowledgement: Option<Acknowledgement>,
    /// What the alert says in one line.
    title: String,
    /// For the page that asks.
    ticket: String,
    /// Whether no page has to ask any more.
    is_asked: bool,
}

impl Offer {
    /// What stands on the button.
    fn button(&self) -> &str {
        self.answer.as_ref().map_or("Acknowledge", |answer| &answer.title)
    }

    /// The page that asks, with what `note` says above its button.
    fn page(&self, note: &str) -> Response {
        let button = escaped(self.button());
        let action = self.answer.as_ref().map(|answer| format!("action={}&amp;", answer.action));
        let (action, ticket) = (action.unwrap_or_default(), &self.ticket);
        let form =
            format!("<form method=post action=\"?{action}ticket={ticket}\"><button>{button}</button></form>");
        page(&escaped(&self.title), &format!("{note}{form}"))
    }

    /// Who else has the alert already.
    fn other(&self) -> Option<&str> {
        match &self.acknowledgement {
            Some(Acknowledgement::Taken { by, .. }) if *by != self.link.user.user => Some(by.as_str()),
            _ => None,
        }
    }
}

/// `GET /v1/answers/{token}?action=`: shows the button, and changes nothing.
pub(crate) async fn ask(
    State(reader): State<AnswerLinkReader>,
    State(inbox): State<Inbox>,
    State(clock): State<Clock>,
    Path(token): Path<String>,
    Query(pressed): Query<Pressed>,
) -> Result<Response, Problem> {
    let offer = offer_of(&reader, &inbox, &clock, &token, pressed).await?;
    let taken = offer.other().filter(|_| offer.answer.is_none()).map(taken_by).unwrap_or_default();
    Ok(offer.page(&taken))
}

/// `POST /v1/answers/{token}?action=&ticket=`: answers, as the receipt `answered` does, and without an action acknowledges, as
/// `acknowledged` or `seen` does.
/// Harmless to repeat: a first answer stays. Asks again when it was not pressed on a page of late.
pub(crate) async fn answer(
    State(reader): State<AnswerLinkReader>,
    State(inbox): State<Inbox>,
    State(turns): State<Arc<ReceiptTurns>>,
    State(clock): State<Clock>,
    Path(token): Path<String>,
    Query(pressed): Query<Pressed>,
) -> Result<Response, Problem> {
    let offer = offer_of(&reader, &inbox, &clock, &token, pressed).await?;
    if !offer.is_asked {
        let mut again = offer.page("<p>This page was open for too long: press the button once more.</p>");
        *again.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(again);
    }
    let (said, about) = (escaped(offer.button()), escaped(&offer.title));
    let taken = offer.other().map(taken_by);
    let Offer { link, answer, acknowledgement, .. } = offer;
    turns.take(&link.user, 1).await.map_err(|TooSoon { wait }| {
        Problem::too_many("this user says more than is read: press the button again later", seconds(wait))
    })?;
    let receipt = Receipt::acknowledging(link.user, link.alert.clone(), BY_LINK, acknowledgement.is_some());
    let receipt = match answer {
        None => receipt,
        Some(answer) => {
            let answers = [(link.alert, answer)].into();
            Receipt { state: ReceiptState::Answered, answers, ..receipt }
        }
    };
    let state = receipt.state;
    let written = inbox.receipts.write(receipt).await.map_err(|why| match why {
        NotWritten::Leaving => {
            Problem::unavailable("this pod is leaving: press the button again", RETRY_AFTER_S)
        }
        NotWritten::Impossible => Problem::internal("the store does not take this answer"),
    })?;
    Ok(match (written, taken) {
        (_, Some(taken)) if state == ReceiptState::Acknowledged => {
            page("Somebody has it already.", &format!("<p>{about}</p>{taken}"))
        }
        _ if state != ReceiptState::Answered => {
            page("Thank you.", &format!("<p>{about}</p><p>It is acknowledged.</p>"))
        }
        (Some(_), _) => {
            page("Thank you.", &format!("<p>{about}</p><p>Your answer: <strong>{said}</strong></p>"))
        }
        (None, _) => {
            page("This was answered before.", &format!("<p>{about}</p><p>Your first answer stays.</p>"))
        }
    })
}

/// A line that says who has an alert.
fn taken_by(name: &str) -> String {
    format!("<p>{} has it.</p>", escaped(name))
}

/// What a link offers, by what the alert says now.
async fn offer_of(
    reader: &AnswerLinkReader,
    inbox: &Inbox,
    clock: &Clock,
    token: &str,
    pressed: Pressed,
) -> Result<Offer, Problem> {
    let unknown =
        || Problem::not_found("this is no answer link of ours, or it is older than a week: open the alert");
    let (links, now) = (reader.0.get(), clock.now());
    let links = Option::as_ref(&links).ok_or_else(unknown)?;
    let link = links.read(token, now).ok_or_else(unknown)?;
    let heads = inbox.store.heads(std::slice::from_ref(&link.user)).await?;
    if heads.get(&link.user).is_some_and(|head| head.refuses(Some(link.written_at))) {
        return Err(unknown());
    }
    let action = pressed.action.as_deref();
    if action.is_some_and(|action| !is_action_id(action)) {
        return Err(Problem::invalid(
            "action",
            "is not the id of a button; without one, the alert is acknowledged",
        ));
    }
    let mut shown = inbox.store.shown_contents(&link.user, std::slice::from_ref(&link.alert)).await?;
    let gone =
        || Problem::not_found("the alert is not there any more, or has no such button now: open your inbox");
    let shown = shown.remove(&link.alert).ok_or_else(gone)?;
    if shown.has_begun_anew_since(link.written_at) {
        return Err(Problem::not_found(
            "the alert has begun anew since this message was written: open your inbox, or a newer message",
        ));
    }
    let ShownContent { content, acknowledgement, .. } = shown;
    let answer = match action {
        Some(action) => Some(answer_of(&actions_in(&content), action).ok_or_else(gone)?),
        None => None,
    };
    let has_ticket = pressed.ticket.is_some_and(|ticket| links.is_page_ticket(&ticket, token, now));
    let is_asked = has_ticket || link.by == AnsweredBy::Program;
    let title = title_in(&content);
    Ok(Offer { link, answer, acknowledgement, title, ticket: links.page_ticket(token, now), is_asked })
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
