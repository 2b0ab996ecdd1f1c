//! What the document says of hooks. What differs between products stands with each of them.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use watchbell::{
    runtime::http::operation::{Described, Operation},
    wire::schema::{anything, text},
};

use super::NOT_ITS_OWN;
use crate::{
    answers::{HookAnswer, PagerDutyAccepted},
    hooks::{About, Hook},
    limits::HOOK_ANSWER_BYTES_MAX,
};

/// Where the key of a hook may stand.
const WITH_KEY: &[&str] = &["bearer", "header", "basic", "address"];
/// The same, or in the body.
const WITH_ROUTING_KEY: &[&str] = &["bearer", "header", "basic", "address", ""];

/// What is the same of all hooks.
fn hook(about: &About) -> Operation {
    let whom = |who: &str| format!("{who}, separated by commas; a comma in a name is percent-encoded.");
    Operation::new("Hooks", about.operation, about.summary)
        .answers_at_most(HOOK_ANSWER_BYTES_MAX)
        .about(about.description)
        .query("users", text(), &whom("Users"))
        .query("groups", text(), &whom("Groups"))
        .query("everyone", text(), "Everybody who was registered or has ever signed in, when it is `true`.")
        .query(
            "policy",
            text(),
            "The escalation policy. One that is not there is noted, and the rules for all alerts hold.",
        )
        .query(
            "from",
            text(),
            "Which of several installations that count alike, such as two of Uptime Kuma: their alerts are told apart.",
        )
        .body((about.payload)())
        .secured_by(WITH_KEY)
        .refuses(400, "Not JSON.")
        .refuses(401, "No API key, or one that is not known.")
        .refuses(403, NOT_ITS_OWN)
        .refuses(408, "The body took too long.")
        .refuses(413, "The body is too long.")
        .refuses(415, "The content type says that it is something else than JSON, or the body is compressed. No type at all is fine.")
        .refuses(
            422,
            "Nothing in it can be told to anybody: nobody is named, or it is no payload of this product. `detail` has the remedy.",
        )
        .refuses(
            503,
            "Nothing was accepted, or nobody knows: send it again after `Retry-After`. Overload is never 429.",
        )
}

fn told(operation: Operation) -> Operation {
    operation.answers(
        202,
        "Confirmed by the broker: everything that could be told. `alerts` says what became of each.",
        Described::of::<HookAnswer>(),
    )
}

/// A product's hook.
pub fn of_product(product: &Hook) -> Operation {
    told(hook(&product.about))
}

/// `POST /v1/hooks/{hook}`
pub fn configured() -> Operation {
    let about = About {
        operation: "configuredHook",
        summary: "A hook of the configuration",
        description: "What `[[hook]]` makes of the posted JSON.",
        payload: || anything().description(Some("Any JSON: the expressions of the hook read it.")),
    };
    told(hook(&about))
        .path("hook", text(), "`path` of the `[[hook]]`.")
        .refuses(404, "No hook of this name is configured for this API key.")
}

/// `POST /v1/hooks/pagerduty`, and the same behind the path that clients put behind a base address.
pub fn pagerduty(operation: &'static str, further: &str) -> Operation {
    let described = format!(
        "A trigger becomes an alert whose id is the `dedup_key`, or made from it; one that says something worse or something \
         else is its next version, and so are acknowledge and resolve. The API key may stand in `routing_key`; one in the \
         headers wins.{further}"
    );
    let about = About {
        operation,
        summary: "PagerDuty's Events API, version 2",
        description: "",
        payload: pagerduty_event,
    };
    hook(&about).about(described).secured_by(WITH_ROUTING_KEY).answers(
        202,
        "Confirmed by the broker, or it changes nothing.",
        Described::of::<PagerDutyAccepted>(),
    )
}

fn pagerduty_event() -> ObjectBuilder {
    let field = |about: &str| anything().description(Some(about));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "`null` is absent, and numbers are texts. An acknowledge or a resolve needs only `dedup_key`.",
        ))
        .property("routing_key", field("The API key, when neither a header nor the address has it."))
        .property("event_action", field("trigger, acknowledge or resolve; trigger when it is left out."))
        .property("dedup_key", field("Any text; made for a trigger that has none."))
        .property(
            "payload",
            field(
                "`summary` (the title), `source`, `severity` (`error` is critical), `timestamp`, `component`, `group`, `class` \
                 (the category), `custom_details` (a text is the body, anything else `data.custom_details`).",
            ),
        )
        .property("client", anything())
        .property("client_url", anything())
        .property("links", field("The first `href` that a browser opens is the link. The first three with a `text` are buttons."))
        .property("images", field("The first `src` over https is the picture."))
}
