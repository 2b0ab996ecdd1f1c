//! Batches of rows, and the statements that read or write them: one round trip for a batch, whatever its size.
//!
//! A row is declared once, with [`batch_row`]: its fields are the columns of the batch, and their types say the SQL types.
//! The table that a batch unfolds to and the list of columns of an INSERT are made from that.
//!
//! What holds here:
//! - A statement that names a column of its batch which the row does not have does not compile.
//! - A statement takes batches of its own row only.
//! - The text of a statement is made once for each engine and never changes, so that prepared statements are reused.
//!
//! A batch travels as an array for each column on PostgreSQL and as one JSON text on SQLite; `README.md` says why.

use std::{marker::PhantomData, sync::OnceLock};

use sqlx::{Any, any::AnyArguments, query::Query};

use super::{
    Failure, Refusal,
    dialect::{Column, Engine},
};
use crate::domain::Timestamp;

/// A row of a batch. Implemented by [`batch_row`] alone.
pub(super) trait BatchRow {
    const COLUMNS: &'static [Column];

    /// Gives the value of each column, in their order.
    fn each_value(&self, give: &mut dyn FnMut(Value<'_>));
}

/// What a column of a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Null,
}

/// A type that a column of a batch can have.
pub(super) trait ColumnValue {
    const SQL_TYPE: &'static str;

    fn value(&self) -> Value<'_>;
}

impl ColumnValue for &str {
    const SQL_TYPE: &'static str = "text";

    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ColumnValue for String {
    const SQL_TYPE: &'static str = "text";

    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ColumnValue for i64 {
    const SQL_TYPE: &'static str = "bigint";

    fn value(&self) -> Value<'_> {
        Value::Int(*self)
    }
}

impl ColumnValue for u32 {
    const SQL_TYPE: &'static str = "bigint";

    fn value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

/// Stored as 1 and 0.
impl ColumnValue for bool {
    const SQL_TYPE: &'static str = "bigint";

    fn value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

/// Stored in milliseconds since 1970.
impl ColumnValue for Timestamp {
    const SQL_TYPE: &'static str = "bigint";

    fn value(&self) -> Value<'_> {
        Value::Int(self.as_millisecond())
    }
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const SQL_TYPE: &'static str = T::SQL_TYPE;

    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::value)
    }
}

/// Declares a row of a batch: a struct, each of whose fields is a column of that name.
macro_rules! batch_row {
    ($(#[$meta:meta])* $visible:vis struct $name:ident $(<$life:lifetime>)? { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone)]
        $visible struct $name $(<$life>)? { $($visible $field: $type),+ }

        impl $(<$life>)? $crate::store::row_batch::BatchRow for $name $(<$life>)? {
            const COLUMNS: &'static [$crate::store::dialect::Column] = &[$($crate::store::dialect::Column {
                name: stringify!($field),
                sql_type: <$type as $crate::store::row_batch::ColumnValue>::SQL_TYPE,
            }),+];

            fn each_value(&self, give: &mut dyn FnMut($crate::store::row_batch::Value<'_>)) {
                $(give($crate::store::row_batch::ColumnValue::value(&self.$field));)+
            }
        }
    };
}
pub(super) use batch_row;

/// Rows, encoded for one engine.
pub(super) struct Batch<R> {
    engine: Engine,
    len: usize,
    parameters: Vec<String>,
    row: PhantomData<R>,
}

impl<R: BatchRow> Batch<R> {
    /// # Errors
    /// [`Failure::Refused`] for a text with a NUL: PostgreSQL has no such text, and SQLite's JSON cuts it off there.
    pub(super) fn of(engine: Engine, rows: impl IntoIterator<Item = R>) -> Result<Self, Failure> {
        let mut encoder = match engine {
            Engine::Postgres => Encoder::arrays(R::COLUMNS.len()),
            Engine::Sqlite => Encoder::Json(String::new()),
        };
        let (mut len, mut has_nul) = (0, false);
        for row in rows {
            let mut column = 0;
            row.each_value(&mut |value| {
                has_nul |= matches!(value, Value::Text(text) if text.contains('\0'));
                encoder.put(len, column, value);
                column += 1;
            });
            len += 1;
        }
        match has_nul {
            true => Err(Failure::Refused(Refusal::nul())),
            false => Ok(Self { engine, len, parameters: encoder.parameters(len), row: PhantomData }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The rows as the parameters of a statement.
    pub(super) fn into_parameters(self) -> Vec<String> {
        self.parameters
    }
}

/// Writes the parameters of a batch, value by value.
enum Encoder {
    /// The literal of an array for each column.
    Arrays(Vec<String>),
    /// One JSON array of rows, each of which is an array of its values.
    Json(String),
}

impl Encoder {
    fn arrays(columns: usize) -> Self {
        Self::Arrays(vec![String::from("{"); columns])
    }

    fn put(&mut self, row: usize, column: usize, value: Value<'_>) {
        match self {
            Self::Arrays(arrays) => {
                let array = &mut arrays[column];
                if row > 0 {
                    array.push(',');
                }
                put_element(array, value);
            }
            Self::Json(json) => {
                json.push_str(match (row, column) {
                    (0, 0) => "[",
                    (_, 0) => "],[",
                    _ => ",",
                });
                match value {
                    Value::Text(text) => json.push_str(&serde_json::Value::from(text).to_string()),
                    Value::Int(number) => json.push_str(&number.to_string()),
                    Value::Null => json.push_str("null"),
                }
            }
        }
    }

    fn parameters(self, rows: usize) -> Vec<String> {
        match self {
            Self::Arrays(mut arrays) => {
                arrays.iter_mut().for_each(|array| array.push('}'));
                arrays
            }
            Self::Json(json) if rows == 0 => vec![format!("[{json}]")],
            Self::Json(json) => vec![format!("[{json}]]")],
        }
    }
}

/// One element of the literal of a PostgreSQL array. In quotes, only a quote and a backslash have to be escaped.
fn put_element(array: &mut String, value: Value<'_>) {
    match value {
        Value::Text(text) => {
            array.push('"');
            for part in text.split_inclusive(['"', '\\']) {
                let special = part.ends_with(['"', '\\']);
                array.push_str(&part[..part.len() - usize::from(special)]);
                if special {
                    array.push('\\');
                    array.push_str(&part[part.len() - 1..]);
                }
            }
            array.push('"');
        }
        Value::Int(number) => array.push_str(&number.to_string()),
        Value::Null => array.push_str("NULL"),
    }
}

/// A statement over a batch of rows, written once for both engines. Kept in a `static`, so that its names are checked when
/// it is compiled.
///
/// Its text may say `{batch}`, the table that is called `batch` and has the row's columns; `{columns}`, their names, for an
/// INSERT and its SELECT; `{lock:t}` and `{skip_locked:t}`, which lock the rows of `t` (nothing on SQLite). Its own
/// parameters are `$1`, `$2` and so on; those of the batch are put before them.
pub(super) struct Statement<R> {
    template: &'static str,
    postgres: OnceLock<&'static str>,
    sqlite: OnceLock<&'static str>,
    row: PhantomData<R>,
}

impl<R: BatchRow> Statement<R> {
    pub(super) const fn new(template: &'static str) -> Self {
        check_names(template, R::COLUMNS);
        Self { template, postgres: OnceLock::new(), sqlite: OnceLock::new(), row: PhantomData }
    }

    /// The statement over these rows; its own parameters are still to be bound.
    pub(super) fn over(&self, batch: &Batch<R>) -> Query<'static, Any, AnyArguments> {
        let query = sqlx::query(self.text(batch.engine));
        batch.parameters.iter().fold(query, |query, parameter| query.bind(parameter.as_str()))
    }

    /// Its text for an engine, always the same one.
    pub(super) fn text(&self, engine: Engine) -> &'static str {
        let text = match engine {
            Engine::Postgres => &self.postgres,
            Engine::Sqlite => &self.sqlite,
        };
        // Leaked once for each engine: a statement lives as long as the process.
        text.get_or_init(|| composed(self.template, R::COLUMNS, engine).leak())
    }
}

/// The text of a statement for an engine.
fn composed(template: &str, columns: &[Column], engine: Engine) -> String {
    let mut text = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some(at) = rest.find(['{', '$']) {
        text.push_str(&rest[..at]);
        let begins = &rest[at + 1..];
        rest = if rest[at..].starts_with('$') {
            let digits = begins.bytes().take_while(u8::is_ascii_digit).count();
            let number: usize = begins[..digits].parse().unwrap_or_default();
            text.push_str(&format!("${}", number + engine.batch_parameters(columns)));
            &begins[digits..]
        } else {
            let (placeholder, rest) = begins.split_once('}').unwrap_or((begins, ""));
            text.push_str(&filled(placeholder, columns, engine));
            rest
        };
    }
    text + rest
}

fn filled(placeholder: &str, columns: &[Column], engine: Engine) -> String {
    match placeholder.split_once(':') {
        Some(("lock", table)) => engine.lock(table),
        Some(("skip_locked", table)) => engine.skip_locked_of(table),
        _ if placeholder == "batch" => engine.batch_table(columns),
        _ => columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", "),
    }
}

/// Stops the compiler at a statement with a name that means nothing.
const fn check_names(template: &str, columns: &[Column]) {
    let text = template.as_bytes();
    let (mut at, mut has_batch) = (0, false);
    while at < text.len() {
        if text[at] == b'{' {
            let is_batch = begins_with(text, at + 1, "batch}");
            has_batch = has_batch || is_batch;
            let is_known = is_batch
                || begins_with(text, at + 1, "columns}")
                || begins_with(text, at + 1, "lock:")
                || begins_with(text, at + 1, "skip_locked:");
            assert!(is_known, "the statement has a placeholder that nobody fills");
        }
        let is_own_word = at == 0 || !is_of_a_name(text[at - 1]);
        if is_own_word && begins_with(text, at, "batch.") {
            let is_known = names_one_of(text, at + "batch.".len(), columns);
            assert!(is_known, "the statement names a column of `batch` that its row does not have");
        }
        at += 1;
    }
    assert!(has_batch, "the statement does not use its batch");
}

const fn names_one_of(text: &[u8], at: usize, columns: &[Column]) -> bool {
    let mut column = 0;
    while column < columns.len() {
        let name = columns[column].name;
        let end = at + name.len();
        if begins_with(text, at, name) && (end >= text.len() || !is_of_a_name(text[end])) {
            return true;
        }
        column += 1;
    }
    false
}

const fn begins_with(text: &[u8], at: usize, word: &str) -> bool {
    let word = word.as_bytes();
    if at + word.len() > text.len() {
        return false;
    }
    let mut n = 0;
    while n < word.len() {
        if text[at + n] != word[n] {
            return false;
        }
        n += 1;
    }
    true
}

const fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    batch_row! {
        struct Example<'a> {
            user_id: &'a str,
            seq: i64,
            looked: Option<String>,
        }
    }

    fn example(user_id: &str, looked: Option<&str>) -> [Example<'static>; 1] {
        let user_id: &'static str = user_id.to_owned().leak();
        [Example { user_id, seq: -7, looked: looked.map(str::to_owned) }]
    }

    #[test]
    fn a_statement_is_written_for_each_engine_from_its_row() {
        static INSERT: Statement<Example<'static>> = Statement::new(
            "INSERT INTO t ({columns}, at_ms) SELECT {columns}, $1 FROM {batch} WHERE batch.seq > $2 {lock:t}",
        );
        assert_eq!(
            INSERT.text(Engine::Postgres),
            "INSERT INTO t (user_id, seq, looked, at_ms) SELECT user_id, seq, looked, $4 \
             FROM unnest($1::text[], $2::bigint[], $3::text[]) AS batch(user_id, seq, looked) WHERE batch.seq > $5 \
             FOR UPDATE OF t"
        );
        assert_eq!(
            INSERT.text(Engine::Sqlite),
            "INSERT INTO t (user_id, seq, looked, at_ms) SELECT user_id, seq, looked, $2 \
             FROM (SELECT value ->> 0 AS user_id, value ->> 1 AS seq, value ->> 2 AS looked FROM json_each($1)) AS batch \
             WHERE batch.seq > $3 "
        );
    }

    #[test]
    fn a_name_that_the_row_does_not_have_is_found() {
        let checked = |template: &'static str| {
            std::panic::catch_unwind(|| check_names(template, Example::COLUMNS)).is_ok()
        };
        for (why, template, expected) in [
            ("each column", "SELECT batch.user_id, batch.seq FROM {batch} WHERE batch.looked=$1", true),
            (
                "columns of other tables",
                "SELECT t.user, rebatch.user FROM {batch} JOIN t {skip_locked:t}",
                true,
            ),
            ("a column misspelt", "SELECT batch.user FROM {batch}", false),
            ("the beginning of a column", "SELECT batch.se FROM {batch}", false),
            ("more than a column", "SELECT batch.seq_no FROM {batch}", false),
            ("a placeholder misspelt", "SELECT {column} FROM {batch}", false),
            ("no batch", "SELECT {columns} FROM t", false),
        ] {
            assert_eq!(checked(template), expected, "{why}: {template}");
        }
    }

    #[test]
    fn values_are_encoded_as_each_engine_reads_them() {
        for (why, user, looked, arrays, json) in [
            ("plain", "ana", Some("info"), [r#"{"ana"}"#, "{-7}", r#"{"info"}"#], r#"[["ana",-7,"info"]]"#),
            ("nothing", "", None, [r#"{""}"#, "{-7}", "{NULL}"], r#"[["",-7,null]]"#),
            (
                "the word for nothing",
                "NULL",
                None,
                [r#"{"NULL"}"#, "{-7}", "{NULL}"],
                r#"[["NULL",-7,null]]"#,
            ),
            (
                "what ends an element",
                r#"a"b\c,{}"#,
                Some("é\n"),
                [r#"{"a\"b\\c,{}"}"#, "{-7}", "{\"é\n\"}"],
                r#"[["a\"b\\c,{}",-7,"é\n"]]"#,
            ),
        ] {
            assert_eq!(encoded(Engine::Postgres, example(user, looked)), arrays, "{why}");
            assert_eq!(encoded(Engine::Sqlite, example(user, looked)), [json], "{why}");
        }
        let two = || [example("a", None), example("b", None)].concat();
        assert_eq!(encoded(Engine::Postgres, two()), [r#"{"a","b"}"#, "{-7,-7}", "{NULL,NULL}"]);
        assert_eq!(encoded(Engine::Sqlite, two()), [r#"[["a",-7,null],["b",-7,null]]"#]);
        assert_eq!(encoded(Engine::Postgres, []), ["{}", "{}", "{}"]);
        assert_eq!(encoded(Engine::Sqlite, []), ["[]"]);
    }

    fn encoded(engine: Engine, rows: impl IntoIterator<Item = Example<'static>>) -> Vec<String> {
        let Ok(batch) = Batch::of(engine, rows) else { panic!("a batch without a NUL is refused") };
        batch.parameters
    }

    #[test]
    fn a_text_with_a_nul_is_refused_on_both_engines() {
        for engine in [Engine::Postgres, Engine::Sqlite] {
            for (why, text, is_refused) in [
                ("a NUL", "a\0b", true),
                ("a backslash, then a NUL", "\\\0", true),
                ("the text that names one", r"a\u0000b", false),
            ] {
                let refused = matches!(Batch::of(engine, example(text, None)), Err(Failure::Refused(_)));
                assert_eq!(refused, is_refused, "{why}");
            }
        }
    }
}
