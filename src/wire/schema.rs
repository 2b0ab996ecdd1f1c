//! What OpenAPI documents say of the texts, numbers and lists on the wire: one type for each kind of value.
//!
//! What holds here:
//! - A bound is the constant that the parser uses, never a number of its own.
//! - A format `watchbell-…` marks what JSON Schema cannot say, such as a length in bytes; the description says it in words.
//! - A field that may be left out may be `null` as well, because the parsers take that for absent.
//!
//! Elsewhere: objects derive their schema where they are declared, and name these types for their fields.

use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        RefOr,
        extensions::Extensions,
        schema::{
            AdditionalProperties, ArrayBuilder, ObjectBuilder, Ref, Schema, SchemaFormat, SchemaType, Type,
        },
    },
};

use crate::domain::{
    AlertId, BodyFormat, DeviceId, Severity, Status, Topic, UserId,
    alert::bounds::{
        BODY_CHARS_MAX, GROUP_KEY_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX, TITLE_CHARS_MAX, URL_BYTES_MAX,
    },
    topic::bounds::{KEEP_MAX, TYPE_CHARS_MAX},
};

/// Declares types that are there for their schema. `called` is the schema's name where it is not the type's; `with` are the
/// types that it refers to, and `as` is one whose schema it contains.
#[macro_export]
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident $(called $called:literal)? = $schema:expr
        $(, with $other:ty)* $(, as $inner:ty)?;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl ::utoipa::PartialSchema for $name {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::schema::Schema> {
                ($schema).into()
            }
        }

        impl ::utoipa::ToSchema for $name {
            fn name() -> ::std::borrow::Cow<'static, str> {
                [$($called,)? stringify!($name)][0].into()
            }

            #[allow(unused_variables)]
            fn schemas(
                all: &mut Vec<(String, ::utoipa::openapi::RefOr<::utoipa::openapi::schema::Schema>)>,
            ) {
                $($crate::wire::schema::add::<$other>(all);)*
                $(<$inner as ::utoipa::ToSchema>::schemas(all);)?
            }
        }
    )+};
}

/// What stands for the control characters in the classes of a pattern.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
/// A text of several lines: without control characters other than newlines and tabs.
const WITHOUT_CONTROL_BUT_LAYOUT: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";
/// A word of the alphabet that needs no quoting.
const WORD: &str = r"\p{L}\p{N}._:@+~=-";

/// The pattern of one line with something else in it than blanks and these characters.
pub fn line_with_more_than(these: &str) -> String {
    format!(r"^[^{CONTROL}]*[^\s{these}{CONTROL}][^{CONTROL}]*$")
}

/// A name in the alphabet of our own names, of so many bytes at the most.
pub fn name_of(bytes_max: usize, format: &str, what: &str) -> ObjectBuilder {
    let alphabet = "letters and digits of any script, and `. _ - : @ + ~ =`";
    let description = format!("{what}At most {bytes_max} bytes of {alphabet}.");
    text()
        .min_length(Some(1))
        .max_length(Some(bytes_max))
        .pattern(Some(format!("^[{WORD}]+$")))
        .format(Some(self::format(format)))
        .description(Some(description))
}

schemas! {
    /// The id of an alert or an event.
    Id = name_of(AlertId::LEN_MAX, "watchbell-id", "");
    /// The id of an alert, as a client names it.
    AlertIdentity = name_of(AlertId::LEN_MAX, "watchbell-id", "An alert's id. ");
    /// The id that a producer gives to an alert.
    NewAlertId = text_or_null()
        .min_length(Some(1))
        .max_length(Some(AlertId::LEN_MAX))
        .pattern(Some(format!(r"^[\p{{L}}\p{{N}}._:@+=-][{WORD}]*$")))
        .format(Some(format("watchbell-id")));
    /// The name of a topic.
    TopicName = name_of(Topic::LEN_MAX, "watchbell-id", "A topic, such as `monitor:7`. ");
    /// The name that an app gave to a device.
    DeviceName = name_of(DeviceId::LEN_MAX, "watchbell-device", "The name the app gave this device. ");
    /// A user or a group.
    Name = {
        let not = format!(r"{CONTROL}\u2028-\u202e\u2066-\u2069\ufeff");
        text()
            .min_length(Some(1))
            .max_length(Some(UserId::LEN_MAX))
            .pattern(Some(format!(r"^[^\s{not}]([^{not}]*[^\s{not}])?$")))
            .format(Some(format("watchbell-name")))
            .description(Some(format!(
                "A user or a group: any text, kept in Unicode's form NFC, of at most {} bytes without control characters or \
                 blanks at its ends. A new one has no character that draws nothing, such as U+200B.",
                UserId::LEN_MAX
            )))
    };
    /// One line.
    Line = text_or_null()
        .max_length(Some(TITLE_CHARS_MAX))
        .pattern(Some(format!("^[^{CONTROL}]*$")))
        .description(Some("Without control characters."));
    /// The title of an alert.
    Title = text().min_length(Some(1)).max_length(Some(TITLE_CHARS_MAX)).pattern(Some(line_with_more_than("")));
    /// The title of an alert, where it may be left out.
    TitleOrNull =
        text_or_null().min_length(Some(1)).max_length(Some(TITLE_CHARS_MAX)).pattern(Some(line_with_more_than("")));
    /// The body of an alert.
    BodyText = text_or_null()
        .max_length(Some(BODY_CHARS_MAX))
        .pattern(Some(WITHOUT_CONTROL_BUT_LAYOUT));
    /// The address behind an alert.
    WebAddress = text_or_null()
        .max_length(Some(URL_BYTES_MAX))
        .pattern(Some(format!("^https?://[^{CONTROL}]*$")))
        .format(Some(format("watchbell-url")))
        .description(Some(format!(
            "http or https, at most {URL_BYTES_MAX} bytes without control characters."
        )));
    /// The picture of an alert.
    ImageAddress = text_or_null()
        .max_length(Some(URL_BYTES_MAX))
        .pattern(Some(format!("^https://[^{CONTROL}]*$")))
        .format(Some(format("watchbell-url")))
        .description(Some(format!("https, at most {URL_BYTES_MAX} bytes without control characters.")));
    /// What lists group alerts by.
    GroupKey = text_or_null()
        .min_length(Some(1))
        .max_length(Some(GROUP_KEY_BYTES_MAX))
        .pattern(Some(line_with_more_than("")))
        .format(Some(format("watchbell-group-key")))
        .description(Some(format!(
            "At most {GROUP_KEY_BYTES_MAX} bytes without control characters, and with something that can be seen."
        )));
    /// How a body is written.
    BodyFormatOrNull = one_of_or_null(BodyFormat::WORDS);
    /// How a body is written, where it is said.
    BodyFormatWord called "BodyFormat" = one_of(BodyFormat::WORDS);
    /// The labels of an alert or an event.
    Labels = or_null(Type::Object)
        .max_properties(Some(LABELS_MAX))
        .property_names(Some(label(text()).min_length(Some(1)).pattern(Some(line_with_more_than("")))))
        .additional_properties(Some(AdditionalProperties::from(RefOr::from(
            label(text_or_null()).pattern(Some(WITHOUT_CONTROL_BUT_LAYOUT)),
        ))))
        .description(Some(format!(
            "Names and values have at most {LABEL_BYTES_MAX} bytes and no control characters, but newlines and tabs in values. A name has \
             something that can be seen; a value that has nothing of it, and is not empty, is left out with its name. `null` is absent, \
             here and in every field that may be left out."
        )));
    /// Fields of the team's own.
    Data = or_null(Type::Object);
    /// How bad it is.
    SeverityOrNull = one_of_or_null(Severity::WORDS);
    /// How bad it is, where it is always said.
    SeverityWord called "Severity" = one_of(Severity::WORDS);
    /// Where an alert stands, where it is always said.
    StatusWord called "Status" = one_of(Status::WORDS);
    /// Where an alert stands.
    StatusOrNull = one_of_or_null(Status::WORDS);
    /// A time.
    Time = text_or_null().format(Some(format("date-time")));
    /// The version of an alert.
    Version = whole_or_null(1, u32::MAX.into());
    /// The same, where it is always said.
    AlertVersion = whole(1, u32::MAX.into());
    /// The type of an event.
    EventType = text().min_length(Some(1)).max_length(Some(TYPE_CHARS_MAX)).pattern(Some(line_with_more_than("")));
    /// How many events of a topic are kept.
    Keep = whole_or_null(0, KEEP_MAX.into());
    /// The tenant of whoever says it.
    OwnTenant = text_or_null().format(Some(format("watchbell-own-tenant")));
    /// The topic of the address.
    OwnTopic = text_or_null().format(Some(format("watchbell-own-topic")));
    /// The name of an escalation policy.
    PolicyName = text_or_null().format(Some(format("watchbell-policy"))).default(Some("default".into()));
    /// One of two kinds of messages.
    AlertKind = one_of_or_null(&["alert"]);
    /// The other.
    EventKind = one_of_or_null(&["event"]);
    /// Users or groups, or `null`.
    Names = list_or_null(of::<Name>()), with Name;
}

fn label(text: ObjectBuilder) -> ObjectBuilder {
    text.max_length(Some(LABEL_BYTES_MAX)).format(Some(format("watchbell-label")))
}

/// Adds the schema of a type, and those that it refers to.
pub fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}

/// A reference to the schema of a type.
pub fn of<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// A number as people read it: `1,000`.
pub fn grouped(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

/// A value of any type.
pub fn anything() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue)
}

/// An object of any fields.
pub fn object() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object)
}

/// A text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text, or `null`.
pub fn text_or_null() -> ObjectBuilder {
    or_null(Type::String)
}

/// A value of this type, or `null`.
pub fn or_null(of: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Array(vec![of, Type::Null]))
}

/// A whole number in these bounds.
pub fn whole(min: u64, max: u64) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max))
}

/// One of these words.
pub fn one_of(words: &[&str]) -> ObjectBuilder {
    text().enum_values(Some(words.iter().copied()))
}

/// One of these words, or `null`.
pub fn one_of_or_null(words: &[&str]) -> ObjectBuilder {
    let words = words.iter().map(|word| Value::from(*word)).chain([Value::Null]);
    text_or_null().enum_values(Some(words))
}

/// A whole number in these bounds, or `null`.
pub fn whole_or_null(min: u64, max: u64) -> ObjectBuilder {
    whole(min, max).schema_type(SchemaType::Array(vec![Type::Integer, Type::Null]))
}

/// A time as RFC 3339 writes it.
pub fn time() -> ObjectBuilder {
    text().format(Some(format("date-time")))
}

/// A list of these.
pub fn list(items: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    ArrayBuilder::new().items(items.into())
}

/// A list of these, or `null`.
pub fn list_or_null(items: impl Into<RefOr<Schema>>) -> ArrayBuilder {
    list(items).schema_type(SchemaType::Array(vec![Type::Array, Type::Null]))
}

/// The name of a format.
pub fn format(name: &str) -> SchemaFormat {
    SchemaFormat::Custom(name.to_owned())
}

/// The schema of an object under this description.
pub fn about(schema: RefOr<Schema>, description: impl Into<String>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.description = Some(description.into());
            RefOr::T(Schema::Object(object))
        }
        other => other,
    }
}

/// The schema of an object with further keywords of JSON Schema, which utoipa has no fields for.
pub fn with(schema: RefOr<Schema>, keywords: &Value) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            let further = keywords.as_object().into_iter().flatten();
            let further = further.map(|(word, value)| (word.clone(), value.clone()));
            object.extensions.get_or_insert_default().merge(Extensions::from_iter(further));
            RefOr::T(Schema::Object(object))
        }
        other => other,
    }
}

#[test]
fn numbers_are_grouped_by_thousands() {
    for (number, expected) in
        [(0, "0"), (999, "999"), (1_000, "1,000"), (100_000, "100,000"), (4_294_967_295, "4,294,967,295")]
    {
        assert_eq!(grouped(number), expected);
    }
}
