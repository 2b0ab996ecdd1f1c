//! The lines of a log, in each of its formats: nothing that is written into one can begin another.
//!
//! Outside text is logged as [`Untrusted`](crate::domain::Untrusted). This is the wall behind it: whatever a field or
//! a message holds, its control characters and marks of direction are written out. JSON escapes most of them by itself.

use std::{fmt, io};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, MakeWriter, format::Writer},
};

use super::{
    config::{LogConfig, LogFormat},
    log_filter::log_filter,
};
use crate::domain::untrusted::{steers, write_escaped};

/// What writes log lines to `writer`, as configured.
///
/// # Errors
/// The filter cannot be read.
pub(super) fn log_lines<W>(
    config: &LogConfig,
    is_terminal: bool,
    writer: W,
) -> anyhow::Result<tracing::Dispatch>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder =
        tracing_subscriber::fmt().with_env_filter(log_filter(&config.filter)?).with_ansi(is_terminal);
    Ok(match config.format {
        LogFormat::Text => builder.fmt_fields(EscapedFields).with_writer(writer).finish().into(),
        LogFormat::Json => {
            builder.json().flatten_event(true).with_writer(EscapedJson(writer)).finish().into()
        }
    })
}

/// Writes what may stand in a string of JSON as it is, and yet does more than be read, as `\u009b`.
struct EscapedJson<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for EscapedJson<W> {
    type Writer = EscapedJson<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        EscapedJson(self.0.make_writer())
    }
}

impl<W: io::Write> io::Write for EscapedJson<W> {
    /// Takes a whole line at a time, as it is given one.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut escaped = String::with_capacity(line.len());
        for c in String::from_utf8_lossy(line).chars() {
            match steers(c) && c != '\n' {
                true => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
                false => escaped.push(c),
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Fields as `name=value`, the message by itself, with a blank between them.
struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_first: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn write(&mut self, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        match (name, self.writer.has_ansi_escapes()) {
            ("message", _) => {}
            (name, false) => write!(self.writer, "{name}=")?,
            // In italics, the sign dimmed.
            (name, true) => write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
        }
        // The value by itself: formatted into the writer, its control characters would be ours.
        write_escaped(&mut self.writer, &format!("{value:?}"))
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // What `log` adds about the place of a line is in the line's head already.
        if self.result.is_ok() && !name.starts_with("log.") {
            self.result = self.write(name.trim_start_matches("r#"), value);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing::{info, warn};

    use super::*;
    use crate::domain::Untrusted;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Buffer {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    fn logged(format: LogFormat, is_terminal: bool, log: impl Fn()) -> String {
        let buffer = Buffer::default();
        let config = LogConfig { format, ..LogConfig::default() };
        tracing::dispatcher::with_default(&log_lines(&config, is_terminal, buffer.clone()).unwrap(), log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const FORGED: &str =
        "a\n2026-11-30T00:00:00Z  INFO watchbell::forged: all is well\u{1b}[31mRED\r\u{9b}2J";

    /// By whichever way a text gets into a line.
    fn log_what_is_forged() {
        let error = io::Error::other(FORGED);
        info!(message.id = %FORGED, "by Display");
        info!(message.id = ?FORGED, "by Debug");
        info!(message.id = FORGED, "as a text");
        info!("in the message: {FORGED}");
        warn!(%error, "as an error");
        warn!(error = &error as &dyn std::error::Error, "as an error that is recorded as one");
        warn!(message.id = %Untrusted(FORGED), "as what it is");
    }

    #[test]
    fn no_format_lets_a_line_be_forged() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, false, log_what_is_forged);
            assert_eq!(text.lines().count(), 7, "{format:?}: {text}");
            let own = text.chars().filter(|c| c.is_control()).all(|c| c == '\n');
            assert!(own, "{format:?} writes no control character but its line ends: {text:?}");
            if format == LogFormat::Json {
                let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
                assert_eq!(first["message.id"], FORGED, "it stays the same value");
            }
            assert_eq!(text.lines().filter(|line| line.starts_with("2026-11-30T00:00:00Z")).count(), 0);
        }
        let coloured = logged(LogFormat::Text, true, log_what_is_forged);
        assert_eq!(coloured.lines().count(), 7, "{coloured}");
        assert!(!coloured.contains("\u{1b}[31m"), "the colour is not the outsider's: {coloured:?}");
        assert!(coloured.contains("\u{1b}[3m"), "ours are there");
    }

    #[test]
    fn a_line_reads_as_before() {
        let text = logged(LogFormat::Text, false, || {
            info!(part = "publish", number = 3, host = %"db-1", why = ?Some("ż"), "Connected to {}", "db-1");
        });
        let line = text.trim_end().split_once("watchbell").unwrap().1;
        assert!(
            line.ends_with(r#": Connected to db-1 part="publish" number=3 host=db-1 why=Some("ż")"#),
            "{text}"
        );
        let nothing = logged(LogFormat::Text, false, || tracing::debug!("not at this level"));
        assert_eq!(nothing, "");
    }
}
