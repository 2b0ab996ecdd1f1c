//! What the document says of users and groups.

use serde_json::json;
use utoipa::openapi::{
    RefOr, Schema,
    schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type},
};
use watchbell::{
    domain::{Channel, Severity, channel::AddressForm},
    runtime::http::operation::{Described, Operation},
    store::ExportPlace,
    wire::preferences::PreferencesV1,
    wire::schema::{
        self, DeviceName, Name, Names, grouped, line_with_more_than, list_or_null, text, text_or_null, whole,
        with,
    },
};

use super::{OTHER_TYPE, TOO_LONG, keyed};
use crate::{
    answers::{
        DeletedGroup, Erased, Export, Groups, MailEvents, Members, Revoked, User, UserDevice, UserDevices,
        Users,
    },
    explain::EXPLAINED_PER_PAGE,
    explanation::Explanation,
    groups::GROUPS_PER_PAGE,
    limits::{
        ALERTS_LOOKED_AT_FOR_MANY_MAX, ALERTS_LOOKED_AT_MAX, EXPLAINED_PER_PAGE_MAX,
        EXPLANATION_ANSWER_BYTES_MAX, EXPORT_ANSWER_BYTES_MAX, EXPORT_RECORDS_MAX, GROUPS_PER_PAGE_MAX,
        LEFT_OUT_MAX, LIST_ANSWER_BYTES_MAX, MEMBERS_ANSWER_BYTES_MAX, MEMBERS_PER_CHANGE_MAX,
        MEMBERS_PER_PAGE_MAX, PAGE_BYTES_MAX, USERS_LOOKED_AT_MAX, USERS_PER_PAGE_MAX,
    },
    mail_events::PROVIDERS,
    people::{LOCALE_BYTES_MAX, MEMBERS_PER_PAGE},
    users::USERS_PER_PAGE,
};

const PEOPLE: &str = "People";
const NOBODY: &str = "Nobody of this name is known, or they are another tenant's.";

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
            )
            .property(
                "time_zone",
                text_or_null().format(Some(schema::format("watchbell-zone"))).description(Some(
                    "Where their days are, by its IANA name, unless they say it themselves.",
                )),
            )
            .property(
                "preferences",
                OneOfBuilder::new()
                    .item(ObjectBuilder::new().schema_type(Type::Null))
                    .item(schema::of::<PreferencesV1>())
                    .description(Some("What they want where they say nothing themselves.")),
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
    }, with PreferencesV1;
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

/// `GET /v1/users`
pub fn list_users() -> Operation {
    let limit = whole(1, USERS_PER_PAGE_MAX as u64).default(Some(USERS_PER_PAGE.into()));
    keyed(Operation::new(PEOPLE, "listUsers", "A page of users, in order"))
        .about(format!(
            "A page ends after {} users were looked at: with `prefix` it may be short, or empty, and yet have a `next`.",
            grouped(USERS_LOOKED_AT_MAX)
        ))
        .query_or_empty("prefix", Described::of::<Name>(), "Only those whose id begins so.")
        .query_or_empty("group", Described::of::<Name>(), "Only members of this group.")
        .query_or_empty("after", Described::of::<Name>(), "The `next` of the page before.")
        .query_or_empty("limit", limit, "Users on the page.")
        .answers_at_most(LIST_ANSWER_BYTES_MAX)
        .answers(200, "The page.", Described::of::<Users>())
        .refuses(422, "A parameter is not acceptable.")
}

/// `GET /v1/users/{user}`
pub fn show_user() -> Operation {
    of_user("getUser", "A user: addresses, groups, devices without their tokens, and how much there is")
        .answers_at_most(LIST_ANSWER_BYTES_MAX)
        .answers(200, "The user.", Described::of::<User>())
        .refuses(404, NOBODY)
        .refuses(422, "The user is not one.")
}

/// `GET /v1/users/{user}/explain`
pub fn explain_user() -> Operation {
    let limit = whole(1, EXPLAINED_PER_PAGE_MAX as u64).default(Some(EXPLAINED_PER_PAGE.into()));
    of_user("explainUser", "What did they get, what not, and why?")
        .about(format!(
            "Each alert of the person in one line: when it came, how they were told, and what is next. The first page also says what \
             is in the way of their alerts in general, and which alerts for groups or for everyone left them out: {LEFT_OUT_MAX} of \
             the newest {ALERTS_LOOKED_AT_FOR_MANY_MAX} such alerts. An alert stands where it last came while it was firing. A page \
             ends after {} alerts were looked at, or with the one that reaches {} KiB: it may be short, or empty, and yet have a \
             `next`.",
            grouped(ALERTS_LOOKED_AT_MAX),
            PAGE_BYTES_MAX / 1024
        ))
        .query_or_empty("since", schema::time(), "Only those that came then or later; 24 hours ago when absent.")
        .query_or_empty("until", schema::time(), "Only those that came then or earlier. Not before `since`.")
        .query_or_empty("severity", schema::one_of(Severity::WORDS), "Only those that are so now.")
        .query_or_empty("not_seen", ObjectBuilder::new().schema_type(Type::Boolean), "Only those that they did not look at.")
        .query_or_empty(
            "after",
            text().pattern(Some(r"^[0-9]{1,18}\.[A-Za-z0-9]{1,60}$")),
            "The `next` of the page before; a text to be taken as it is.",
        )
        .query_or_empty("limit", limit, "Alerts on the page.")
        .answers_at_most(EXPLANATION_ANSWER_BYTES_MAX)
        .answers(200, "The page. Of somebody who is not there, `obstacles` says so.", Described::of::<Explanation>())
        .refuses(422, "A parameter is not acceptable.")
}

/// `GET /v1/users/{user}/export`
pub fn export_user() -> Operation {
    let sections: Vec<String> = ExportPlace::sections().map(|place| place.to_string()).collect();
    of_user("exportUser", "Everything that is kept about a person, page by page")
        .about(format!(
            "A page ends with {} records, or with those that reach {} KiB; go on with `next` until it is null. Push tokens are told as \
             their SHA-256. Of somebody who is not there it is empty.",
            grouped(EXPORT_RECORDS_MAX),
            PAGE_BYTES_MAX / 1024
        ))
        .query_or_empty(
            "after",
            text().pattern(Some(format!("^({})$", sections.join("|")))),
            "The `next` of the page before, a text to be taken as it is; or a kind of records to begin with.",
        )
        .answers_at_most(EXPORT_ANSWER_BYTES_MAX)
        .answers(200, "The page.", Described::of::<Export>())
        .refuses(422, "A parameter is not acceptable.")
}

/// `GET /v1/users/{user}/devices`
pub fn user_devices() -> Operation {
    of_user("listUserDevices", "A user's devices, without their tokens")
        .answers(200, "The devices; none of somebody who is not known.", Described::of::<UserDevices>())
        .refuses(422, "The user is not one.")
}

/// `DELETE /v1/users/{user}/devices`
pub fn remove_user_devices() -> Operation {
    of_user("removeUserDevices", "Take all of a user's devices out")
        .about("Nothing is pushed to them any more, until they register anew. End the sessions as well, if somebody else has them.")
        .done(204, "Done.")
        .refuses(422, "The user is not one.")
}

fn of_user_device(id: &str, summary: &str) -> Operation {
    of_user(id, summary)
        .path("device", Described::of::<DeviceName>(), "The device, by the name that the app gave it.")
        .refuses(404, "This user has no device of that name.")
        .refuses(422, "A name is not one.")
}

/// `GET /v1/users/{user}/devices/{device}`
pub fn user_device() -> Operation {
    of_user_device("getUserDevice", "One of a user's devices, without its token").answers(
        200,
        "The device.",
        Described::of::<UserDevice>(),
    )
}

/// `DELETE /v1/users/{user}/devices/{device}`
pub fn remove_user_device() -> Operation {
    of_user_device("removeUserDevice", "Take one of a user's devices out").done(204, "Done.")
}

/// `POST /v1/mail-events/{provider}`
pub fn mail_events() -> Operation {
    Operation::new("People", "tellMailEvents", "Tell of mails that came back, and of complaints")
        .about(
            "What the mail provider posts, as it posts it: the events of Amazon SES through SNS, of SendGrid, Mailgun and Postmark. \
             A mailbox that is not there, and a complaint, end the address; `explain` says why. The key may stand in the address, \
             as `?key=`.",
        )
        .path("provider", schema::one_of(PROVIDERS), "Who posts.")
        .body(schema::anything())
        .secured_by(&["bearer", "header", "basic", "address"])
        .answers(200, "Read. Events about mails that are not known are not counted.", Described::of::<MailEvents>())
        .refuses(400, "Not JSON.")
        .refuses(401, "No API key, or one that is not known.")
        .refuses(403, "The key does not have the scope, or what is posted is not signed by the provider: by Amazon SNS, or by SendGrid or Mailgun whose key is configured.")
        .refuses(404, "There is no such provider.")
        .refuses(408, "The body took too long.")
        .refuses(413, TOO_LONG)
        .refuses(415, "The body is compressed.")
        .refuses(422, "There are too many events.")
        .refuses(503, "Nothing was recorded, or not all: send it again.")
}

/// `DELETE /v1/users/{user}/addresses/{channel}/refusal`
pub fn lift_refusal() -> Operation {
    let channels = Channel::ALL.into_iter().filter(|channel| channel.address_form().is_some());
    let channels: Vec<&str> = channels.map(Channel::as_str).collect();
    of_user("liftRefusal", "Send to an address again that refused messages")
        .about("For an address whose mails came back, or that its reader called spam, when the reason is gone. `explain` says why it was refused.")
        .path("channel", schema::one_of(&channels), "The channel whose address it is.")
        .done(204, "Done.")
        .refuses(404, "This user has no address for that channel that refused messages.")
        .refuses(422, "A name is not one.")
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

/// `GET /v1/groups`
pub fn list_groups() -> Operation {
    let limit = whole(1, GROUPS_PER_PAGE_MAX as u64).default(Some(GROUPS_PER_PAGE.into()));
    keyed(Operation::new(PEOPLE, "listGroups", "A page of the groups that somebody is in, in order"))
        .query_or_empty("after", Described::of::<Name>(), "The `next` of the page before.")
        .query_or_empty("limit", limit, "Groups on the page.")
        .answers_at_most(LIST_ANSWER_BYTES_MAX)
        .answers(200, "The page.", Described::of::<Groups>())
        .refuses(422, "A parameter is not acceptable.")
}

/// `DELETE /v1/groups/{group}`
pub fn delete_group() -> Operation {
    of_group("deleteGroup", "Take everybody out of a group, and so the group away")
        .about("Its members stay, and so does what they got by it.")
        .answers(200, "Nobody is in it.", Described::of::<DeletedGroup>())
        .answers(
            202,
            "There are more members than one request may take out: repeat it.",
            Described::of::<DeletedGroup>(),
        )
        .refuses(422, "The group is not one.")
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
