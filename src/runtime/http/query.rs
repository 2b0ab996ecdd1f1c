//! The query string of a request, read into a struct. What is wrong with it is a problem document that names the
//! parameter and the remedy.
//!
//! What holds here:
//! - No answer repeats a value, nor a name that is not ours: people put keys into addresses (I12).
//! - A parameter without a value counts as absent, and one that is given twice is refused.
//! - A struct with `#[serde(deny_unknown_fields)]` refuses other parameters; without it they are passed over.

use std::fmt;

use axum::{
    extract::{self, FromRequestParts},
    http::{Uri, request::Parts},
};
use serde::{
    de::{
        self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
        value::MapDeserializer,
    },
    forward_to_deserialize_any,
};

use crate::wire::Problem;

/// The parameters of a request.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl<T: DeserializeOwned> Query<T> {
    /// The parameters of an address.
    ///
    /// # Errors
    /// 400 for what is no query string, 422 for a parameter that is not acceptable.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let extract::Query(pairs) = pairs.map_err(|_| unreadable_query())?;
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let given = given.map(|(name, value)| (name, Value(value)));
        let read = serde_path_to_error::deserialize(MapDeserializer::new(given));
        read.map(Self).map_err(|error| {
            let parameter = error.path().to_string();
            error.into_inner().problem(parameter)
        })
    }
}

/// The answer to what is no query string.
pub fn unreadable_query() -> Problem {
    Problem::malformed("The query string cannot be read: percent-encode what is not ASCII.")
}

/// The parameter `limit` of a list: from 1 to `max`, or `default`.
///
/// # Errors
/// 422 for any other number.
pub fn limit<N>(given: Option<N>, default: N, max: N) -> Result<N, Problem>
where
    N: Copy + PartialOrd + fmt::Display + From<u8>,
{
    match given.unwrap_or(default) {
        limit if (N::from(1)..=max).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid("limit", format!("must be a number from 1 to {max}"))),
    }
}

/// What is wrong with one parameter.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It is not one of these.
    Unknown(&'static [&'static str]),
    Twice(&'static str),
    Missing(&'static str),
    /// Its value cannot be used, and why. Never the value.
    Value(String),
}

impl Fault {
    /// The answer to it. `parameter` is where reading stopped.
    fn problem(self, parameter: String) -> Problem {
        match self {
            Self::Unknown(accepted) => {
                let accepted = accepted.join(", ");
                let detail = format!("has a parameter that is not known: accepted are {accepted}");
                Problem::invalid("query", detail)
            }
            Self::Twice(name) => Problem::invalid(
                name,
                "is given more than once: give it once; several names have commas between them",
            ),
            Self::Missing(name) => Problem::invalid(name, "is missing, and must be given"),
            Self::Value(detail) => Problem::invalid(parameter, detail),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

/// What serde says, without the values that it likes to quote.
impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Value(format!("cannot be read: expected {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Value(format!("cannot be read: expected {expected}"))
    }

    fn unknown_variant(_: &str, accepted: &'static [&'static str]) -> Self {
        Self::Value(format!("must be one of {}", accepted.join(", ")))
    }

    fn unknown_field(_: &str, accepted: &'static [&'static str]) -> Self {
        Self::Unknown(accepted)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::Twice(name)
    }
}

/// The text of one parameter, read as what the struct has for it: a text, a whole number or a boolean.
struct Value(String);

impl IntoDeserializer<'_, Fault> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident),+ $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Fault::Value("must be a whole number, 0 or more".into())),
            }
        })+
    };
}

impl<'de> Deserializer<'de> for Value {
    type Error = Fault;

    numbers! {
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Fault::Value("must be true or false".into())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_string(self.0)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{domain::UserId, runtime::http::Name};

    #[derive(Debug, Deserialize)]
    struct Lenient {
        before: Option<u64>,
        token: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        user: Option<Name<UserId>>,
        limit: Option<usize>,
    }

    fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
        Query::of(&format!("/v1/inbox?{query}").parse().unwrap()).map(|Query(read)| read)
    }

    #[test]
    fn a_problem_names_the_parameter_and_the_remedy_and_no_value() {
        let number = |name| Problem::invalid(name, "must be a whole number, 0 or more");
        let twice = "is given more than once: give it once; several names have commas between them";
        for (why, query, expected) in [
            ("negative", "before=-5", number("before")),
            ("no number", "token=a&before=x:y", number("before")),
            ("too many digits", "before=99999999999999999999", number("before")),
            ("two of them", "token=canary&token=b", Problem::invalid("token", twice)),
        ] {
            assert_eq!(read::<Lenient>(query).err(), Some(expected), "{why}");
        }
        let control = "must not contain the control character '\\u{1}'";
        let unknown = "has a parameter that is not known: accepted are user, limit";
        for (why, query, expected) in [
            ("a name that is none", "user=%01", Problem::invalid("user", control)),
            ("no number", "limit=many", number("limit")),
            ("two of them", "limit=1&limit=2", Problem::invalid("limit", twice)),
            ("not ours", "canary=1", Problem::invalid("query", unknown)),
        ] {
            assert_eq!(read::<Strict>(query).err(), Some(expected), "{why}");
        }
    }

    #[test]
    fn a_list_has_between_one_and_the_most() {
        for (given, expected) in
            [(None, Some(50)), (Some(1), Some(1)), (Some(200), Some(200)), (Some(0), None), (Some(201), None)]
        {
            assert_eq!(limit(given, 50, 200).ok(), expected, "{given:?}");
        }
        assert_eq!(limit(Some(0), 50, 200), Err(Problem::invalid("limit", "must be a number from 1 to 200")));
    }

    #[test]
    fn what_is_right_is_read() {
        let Lenient { before, token } = read("before=5&token=a%20b&other=passed+over").unwrap();
        assert_eq!((before, token.as_deref()), (Some(5), Some("a b")));
        let Strict { user, limit } = read("user=J%C3%BCrgen&limit=").unwrap();
        assert_eq!(user.map(|Name(user)| user), Some(UserId::parse("Jürgen").unwrap()));
        assert_eq!(limit, None, "a parameter without a value is absent");
    }
}
