//! What the document says of users and groups.

use serde_json::json;
use utoipa::openapi::{
    RefOr, Schema,
    schema::{AdditionalProperties, ObjectBuilder, Type},
};
use watchbell::{
    domain::{Channel, channel::AddressForm},
    runtime::http::operation::{Described, Operation},
    wire::schema::{
        self, Name, Names, grouped, line_with_more_than, list_or_null, text, text_or_null, whole, with,
    },
};

use super::{OTHER_TYPE, TOO_LONG, keyed};
use crate::{
    answers::{Erased, Members, Revoked},
    limits::{MEMBERS_ANSWER_BYTES_MAX, MEMBERS_PER_CHANGE_MAX, MEMBERS_PER_PAGE_MAX},
    people::{LOCALE_BYTES_MAX, MEMBERS_PER_PAGE},
};

const PEOPLE: &str = "People";

watchbell::schemas! {
    /// How a user can be written to.
    Contact = {
        let email = Channel::Email.as_str();
        let object = closed()
            .property("addresses", addresses())
            .property(
                "locale",
                text_or_null()
                    .max_length(Some(LOCALE_BYTES_MAX))
                    .pattern(Some("^[A-Za-z0-9-]+$"))
                    .description(Some("BCP 47.")),
            );
        let object = match Channel::Email.address_form() {
            Some(form) => {
                let about = format!("{} Short for `addresses.{email}`.", form.about);
                object.property(email, address(form).description(Some(about)))
            }
            None => object,
        };
        // An address is given once.
        let twice = json!({"required": [email, "addresses"], "properties": {"addresses": {"type": "object", "required": [email]}}});
        with(object.into(), &json!({"not": twice}))
    };
    /// Who comes into a group, and who leaves it.
    MembersChange = closed()
        .description(Some(format!("At most {} names, and none in both lists.", grouped(MEMBERS_PER_CHANGE_MAX))))
        .property("add", list_or_null(schema::of::<Name>()))
        .property("remove", list_or_null(schema::of::<Name>())), as Names;
}

/// An object in which nothing else may stand.
fn closed() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

/// An address for each channel that goes to one.
fn addresses() -> RefOr<Schema> {
    let object = schema::or_null(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .description(Some(
            "An address for each channel that goes to one, by the channel's word. Each is checked as its channel does; one that \
             is left out is taken away.",
        ));
    let forms = Channel::ALL.into_iter().filter_map(|channel| Some((channel, channel.address_form()?)));
    forms.fold(object, |object, (channel, form)| object.property(channel.as_str(), address(form))).into()
}

fn address(form: AddressForm) -> ObjectBuilder {
    text_or_null()
        .max_length(Some(form.bytes_max))
        .pattern(Some(form.pattern))
        .format(form.format.map(schema::format))
        .description(Some(form.about))
}

fn of_user(id: &str, summary: &str) -> Operation {
    keyed(Operation::new(PEOPLE, id, summary)).path(
        "user",
        Described::of::<Name>(),
        "The user, by the id the team's own product gives them: any text in Unicode's form NFC without control characters or \
         blanks at its ends, at most 256 bytes, percent-encoded.",
    )
}

/// `PUT /v1/users/{user}`
pub fn put_user() -> Operation {
    of_user("putUser", "Make a user known and replace how they can be written to")
        .body(Described::of::<Contact>())
        .example(json!({"email": "ana@example.com", "locale": "en"}))
        .done(204, "Done.")
        .refuses(400, "Not a JSON object.")
        .refuses(413, TOO_LONG)
        .refuses(415, OTHER_TYPE)
        .refuses(422, "A field is not acceptable.")
}

/// `DELETE /v1/users/{user}`
pub fn erase_user() -> Operation {
    of_user("eraseUser", "Erase a person: everything about them, everywhere")
        .about(
            "Their sessions end, and tokens issued up to now let nobody in for a month. Then every row about them is deleted, with \
             the alerts that nobody else holds. A later alert for the same id makes a new person. It is safe to repeat.",
        )
        .answers(200, "Nothing is left. The receipt names nobody.", Described::of::<Erased>())
        .answers(202, "There is more than one request may erase: repeat it.", Described::of::<Erased>())
        .refuses(422, "The user is not one.")
        .refuses(503, "Nothing was erased, or nobody knows: repeat it after `Retry-After`.")
}

/// `DELETE /v1/users/{user}/sessions`
pub fn revoke_sessions() -> Operation {
    of_user("revokeSessions", "End a user's sessions and refuse the tokens they were opened with")
        .about(
            "Tokens issued up to now (claim `iat`), or that do not say when, let nobody in any more. Open sessions close with \
             4004, and devices that were registered with such tokens get no pushes any more.",
        )
        .answers(200, "Stored, and told to every pod.", Described::of::<Revoked>())
        .refuses(422, "A field is not acceptable.")
        .refuses(503, "Not stored, or not told to the pods: repeat it after `Retry-After`.")
}

fn of_group(id: &str, summary: &str) -> Operation {
    keyed(Operation::new(PEOPLE, id, summary)).path(
        "group",
        Described::of::<Name>(),
        "The group: any text in Unicode's form NFC without control characters or blanks at its ends, at most 256 bytes, \
         percent-encoded.",
    )
}

/// `GET /v1/groups/{group}/members`
pub fn members() -> Operation {
    let limit = whole(1, MEMBERS_PER_PAGE_MAX as u64).default(Some(MEMBERS_PER_PAGE.into()));
    of_group("getMembers", "A page of a group's members, in order")
        .answers_at_most(MEMBERS_ANSWER_BYTES_MAX)
        .query_or_empty("after", Described::of::<Name>(), "The `next` of the page before.")
        .query_or_empty("limit", limit, "Members on the page.")
        .answers(200, "The page. A group that nobody is in has an empty one.", Described::of::<Members>())
        .refuses(422, "A parameter is not acceptable.")
}

/// `PUT /v1/groups/{group}/members`
pub fn change_members() -> Operation {
    of_group("changeMembers", "Put users into a group and take others out")
        .body(Described::of::<MembersChange>())
        .example(json!({"add": ["ana", "ben"]}))
        .done(204, "Done.")
        .refuses(400, "Not a JSON object.")
        .refuses(413, TOO_LONG)
        .refuses(415, OTHER_TYPE)
        .refuses(422, "A name is not acceptable, or is in both lists.")
}

/// `DELETE /v1/groups/{group}/members`
pub fn remove_members() -> Operation {
    let names =
        text().pattern(Some(line_with_more_than(","))).format(Some(schema::format("watchbell-names")));
    of_group("removeMembers", "Take users out of a group")
        .required_query(
            "users",
            names,
            r"Users, separated by commas: at least one. A comma in a name is written `\,`.",
        )
        .done(204, "Done.")
        .refuses(422, "Nobody is named, or a name is not acceptable.")
}
