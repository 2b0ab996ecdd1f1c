//! Whole numbers in JSON. `2.0` is one: some languages have no other numbers, and write all of theirs so.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::Number;

/// From here on a floating number may stand for several whole ones.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// The number, if it is whole and 0 or more.
pub fn whole(number: &Number) -> Option<u64> {
    let of_float = |float: f64| {
        let is_whole = float.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&float);
        is_whole.then_some(float as u64)
    };
    number.as_u64().or_else(|| of_float(number.as_f64()?))
}

/// A field that is a whole number, or `null`.
pub(super) fn whole_or_null<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let fits = whole(&number).and_then(|number| T::try_from(number).ok());
    fits.map(Some).ok_or_else(|| {
        let bits = size_of::<T>() * 8;
        D::Error::custom(format_args!("invalid number, expected a whole one of {bits} bits, 0 or more"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        for (json, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("2e0", Some(2)),
            ("0.0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("2.5", None),
            ("-1", None),
            ("-1.0", None),
            ("1e300", None),
            ("9007199254740993.0", None),
        ] {
            assert_eq!(whole(&serde_json::from_str(json).unwrap()), expected, "{json}");
        }
    }
}
