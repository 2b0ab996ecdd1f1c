//! `POST /replies`: somebody, or their mail program, replies to a mail that arrived.
//!
//! What holds here: a reply goes where a mail program would send it, and is marked as the program marks it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Shared;
use crate::arrivals::Incoming;
use crate::http::problem;
use crate::smtp_client::{Outgoing, hand_over};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedReply {
    /// Who takes mail for the domain that is replied to.
    mx: SocketAddr,
    /// The newest mail about this alert is replied to.
    alert: String,
    /// Who writes, and how.
    #[serde(default, rename = "as")]
    writer: Writer,
    /// The address that it is written from; else the one that the mail went to.
    from: Option<String>,
    /// The address that it is written to; else the mail's `Reply-To`, or its `From`.
    to: Option<String>,
}

/// Who writes a reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Writer {
    /// A person.
    #[default]
    Person,
    /// Gmail, for somebody who is away.
    GmailVacation,
    /// Exchange, for somebody who is out of office.
    ExchangeOutOfOffice,
    /// A mail program that says the mail was read (RFC 8098).
    ReadReceipt,
    /// A mailing list that the mail was sent to.
    MailingList,
    /// A program that marks nothing but the subject.
    SubjectOnly,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct SentReply {
    to: String,
    /// Whether it was taken.
    taken: bool,
    /// The last reply of whoever takes it.
    said: String,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/replies", post(send)).with_state(shared)
}

async fn send(State(shared): State<Arc<Shared>>, asked: Result<Json<AskedReply>, JsonRejection>) -> Response {
    let asked = match asked {
        Ok(Json(asked)) => asked,
        Err(rejection) => return problem("That is no reply", &rejection.body_text()),
    };
    let mail = shared.arrivals().newest_mail_about(&asked.alert);
    let Some(mail) = mail else { return problem("That is no reply", "alert: no mail about it arrived") };
    let from = asked.from.clone().unwrap_or_else(|| mail.to.clone());
    let to = asked.to.clone().unwrap_or_else(|| replied_to(&mail));
    if [&from, &to].iter().any(|address| address.contains(['\r', '\n', '<', '>'])) {
        return problem("That is no reply", "from, to: must be addresses");
    }
    let message = asked.writer.message(&mail, &from, &to);
    let return_path = if asked.writer.is_nobody() { "" } else { from.as_str() };
    let outgoing =
        Outgoing { mx: asked.mx, host: "mail.example.net", return_path, to: &to, message: &message };
    let (taken, said) = match hand_over(&outgoing).await {
        Ok(said) => (true, said),
        Err(error) => (false, error.to_string()),
    };
    Json(SentReply { to, taken, said }).into_response()
}

/// Where a mail program sends the reply to.
fn replied_to(mail: &Incoming) -> String {
    let header = ["reply-to", "from"].into_iter().find_map(|name| mail.headers.get(name));
    let header = header.map(String::as_str).unwrap_or_default();
    let address = header.rsplit_once('<').map_or(header, |(_, rest)| rest.trim_end_matches('>'));
    address.trim().to_owned()
}

impl Writer {
    /// Whether the return path is empty, so that nothing comes back to it.
    fn is_nobody(self) -> bool {
        matches!(self, Self::ExchangeOutOfOffice | Self::ReadReceipt)
    }

    /// What the subject begins with, and what else stands in the head.
    fn marks(self, from: &str) -> (&'static str, String) {
        let text = "Content-Type: text/plain; charset=utf-8\r\n";
        match self {
            Self::Person => ("Re:", text.to_owned()),
            Self::GmailVacation => (
                "Re:",
                format!("{text}Precedence: bulk\r\nX-Autoreply: yes\r\nAuto-Submitted: auto-replied\r\n"),
            ),
            Self::ExchangeOutOfOffice => (
                "Automatic reply:",
                format!(
                    "{text}X-Auto-Response-Suppress: All\r\nAuto-Submitted: auto-generated\r\nX-MS-Exchange-Inbox-Rules-Loop: {from}\r\n"
                ),
            ),
            Self::ReadReceipt => (
                "Read:",
                "Content-Type: multipart/report; report-type=disposition-notification; boundary=edge\r\n"
                    .to_owned(),
            ),
            Self::MailingList => ("Re:", format!("{text}List-Id: <ops.example.net>\r\nPrecedence: list\r\n")),
            Self::SubjectOnly => ("Out of office:", text.to_owned()),
        }
    }

    fn message(self, mail: &Incoming, from: &str, to: &str) -> String {
        let (prefix, marks) = self.marks(from);
        let id = Uuid::new_v4();
        let answered = mail.ids.message_id.as_deref().unwrap_or_default();
        let body = match self {
            Self::ReadReceipt => {
                "--edge\r\n\r\nIt was read.\r\n--edge\r\nContent-Type: message/disposition-notification\r\n\r\n\
                 Disposition: manual-action/MDN-sent-manually; displayed\r\n--edge--"
            }
            _ => "I am on it.",
        };
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: {prefix} your mail\r\nMessage-ID: <{id}@example.net>\r\n\
             In-Reply-To: {answered}\r\nReferences: {answered}\r\nMIME-Version: 1.0\r\n{marks}\r\n{body}"
        )
    }
}
