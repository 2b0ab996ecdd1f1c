//! Reads what was written, exactly as it was written.
//!
//! A value in the environment is a text, and it is the field's type that decides what the text has to be: a number, a
//! boolean and a list are parsed from it (`FromStr`), and a text stays what it is. A value in a TOML file has a type of
//! its own, and must have the field's: a number where a text belongs is refused, because turning it into a text would
//! be a guess (`0x10`, `1e3` and `007` have no one way to be written).
//!
//! Written by hand beside the `config` crate, which merges the sources: its own reader either takes every text of the
//! environment for a text, also where a number belongs, or guesses (`try_parsing`), and a secret of digits became a float.
//!
//! No message repeats a value: it may be a secret in the wrong place.

use std::{fmt::Display, str::FromStr};

use ::config::{Value, ValueKind};
use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

/// The origin of values that are texts because of where they stand. Values of a file have no origin.
pub(super) const ENVIRONMENT: &str = "the environment";

/// A value and where it stands, to be read as the type of its field.
pub(super) struct Written(pub(super) Value);

impl Written {
    /// The text of a value from the environment.
    fn text(&self) -> Option<&str> {
        match (&self.0.kind, self.0.origin()) {
            (ValueKind::String(text), Some(ENVIRONMENT)) => Some(text),
            _ => None,
        }
    }

    fn parse<T: FromStr>(&self, remedy: impl Display) -> Option<Result<T, Error>> {
        Some(self.text()?.parse().map_err(|_| Error::custom(remedy)))
    }

    fn integer<T: FromStr + TryFrom<i128>>(&self, remedy: &str) -> Result<T, Error> {
        if let Some(parsed) = self.parse(remedy) {
            return parsed;
        }
        let number = match self.0.kind {
            ValueKind::I64(number) => Some(number.into()),
            ValueKind::U64(number) => Some(number.into()),
            ValueKind::I128(number) => Some(number),
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| Error::custom(remedy))
    }

    fn into_text(self) -> Result<String, Error> {
        match self.0.kind {
            ValueKind::String(text) => Ok(text),
            ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => {
                Err(Error::custom("must be a text"))
            }
            _ => Err(Error::custom("must be a text: write it in quotes")),
        }
    }
}

/// One method for each integer type: parsed from a text, or taken from a file's number when it fits.
macro_rules! integers {
    ($($method:ident $visit:ident $number:ty,)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let remedy = format!("must be an integer from {} to {}", <$number>::MIN, <$number>::MAX);
            visitor.$visit(self.integer(&remedy)?)
        }
    )+};
}

impl<'de> Deserializer<'de> for Written {
    type Error = Error;

    /// For what may have several types: a text of the environment is a text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_unit(),
            ValueKind::Boolean(value) => visitor.visit_bool(value),
            ValueKind::I64(number) => visitor.visit_i64(number),
            ValueKind::U64(number) => visitor.visit_u64(number),
            ValueKind::I128(number) => visitor.visit_i128(number),
            ValueKind::U128(number) => visitor.visit_u128(number),
            ValueKind::Float(number) => visitor.visit_f64(number),
            ValueKind::String(text) => visitor.visit_string(text),
            ValueKind::Array(_) => self.deserialize_seq(visitor),
            ValueKind::Table(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        const REMEDY: &str = "must be true or false";
        match (self.parse(REMEDY), &self.0.kind) {
            (Some(parsed), _) => visitor.visit_bool(parsed?),
            (None, ValueKind::Boolean(value)) => visitor.visit_bool(*value),
            _ => Err(Error::custom(REMEDY)),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    /// A file may have a whole number in the place of one with a fraction.
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        const REMEDY: &str = "must be a number, such as 0.25";
        if let Some(parsed) = self.parse(REMEDY) {
            return visitor.visit_f64(parsed?);
        }
        match self.0.kind {
            ValueKind::Float(number) => visitor.visit_f64(number),
            ValueKind::I64(number) => visitor.visit_f64(number as f64),
            _ => Err(Error::custom(REMEDY)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.into_text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.kind {
            ValueKind::Nil => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A list of the environment has commas between its elements, and blanks around them do not count. An empty text is
    /// an empty list.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let elements: Vec<Value> = match (self.text(), &self.0.kind) {
            (Some(text), _) if text.trim().is_empty() => Vec::new(),
            (Some(text), _) => text.split(',').map(|element| in_environment(element.trim())).collect(),
            (None, ValueKind::Array(elements)) => elements.clone(),
            _ => return Err(Error::custom("must be a list")),
        };
        let mut elements = SeqDeserializer::new(elements.into_iter().map(Written));
        let read = visitor.visit_seq(&mut elements)?;
        elements.end()?;
        Ok(read)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let ValueKind::Table(entries) = self.0.kind else {
            return Err(Error::custom("must be a section with keys of its own"));
        };
        let entries = entries.into_iter().map(|(key, value)| (key, Written(value)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = self.into_text()?;
        if !variants.contains(&text.as_str()) {
            return Err(Error::custom(format!("must be one of {}", variants.join(", "))));
        }
        visitor.visit_enum(text.into_deserializer())
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Written {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A text of the environment.
pub(super) fn in_environment(text: impl Into<String>) -> Value {
    Value::new(Some(&ENVIRONMENT.to_owned()), text.into())
}
