//! The trace that a message belongs to, as the headers `traceparent` and `tracestate` have it:
//! <https://www.w3.org/TR/trace-context/>. Pure; what is done with it is `runtime::traces`.
//!
//! What holds here:
//! - What is no trace context is none: it never refuses what it came with.
//! - What is written is of version 00 and keeps nothing of a header but what was understood.

use std::fmt;

/// The header that names a trace and a span in it.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what tracing systems add to it.
pub const TRACESTATE: &str = "tracestate";

/// The longest `tracestate` that is carried, in bytes: what everybody has to carry at the least.
pub const TRACESTATE_BYTES_MAX: usize = 512;
/// Its members at the most.
const TRACESTATE_MEMBERS_MAX: usize = 32;

/// Of the flags, those that are known: sampled, and that the trace's id is random.
const FLAGS_KNOWN: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// A place in a trace: what comes next belongs below it.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// Which trace. Never 0.
    pub trace_id: u128,
    /// Which span of it. Never 0.
    pub span_id: u64,
    flags: u8,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// A sampled place in a trace; none when one of the ids is 0, which no trace has.
    pub fn sampled(trace_id: u128, span_id: u64, state: Option<&str>) -> Option<Self> {
        let state = state.filter(|state| is_tracestate(state)).map(Into::into);
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags: SAMPLED, state })
    }

    /// Reads the headers. A `tracestate` that cannot be used is left out; a `traceparent` that cannot be is no trace.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let is_dash = |at: usize| bytes.get(at) == Some(&b'-');
        if !(is_dash(2) && is_dash(35) && is_dash(52)) {
            return None;
        }
        let version = hexadecimal(traceparent.get(0..2)?)?;
        // A later version may add something, after one more dash.
        let is_whole = match version {
            0 => bytes.len() == 55,
            0xff => false,
            _ => bytes.len() == 55 || is_dash(55),
        };
        if !is_whole {
            return None;
        }
        let trace_id = hexadecimal(traceparent.get(3..35)?)?;
        let span_id = hexadecimal(traceparent.get(36..52)?)? as u64;
        let flags = hexadecimal(traceparent.get(53..55)?)? as u8 & FLAGS_KNOWN;
        let state = tracestate.map(str::trim).filter(|state| is_tracestate(state)).map(Into::into);
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, flags, state })
    }

    /// Reads what [`Self::stored`] wrote.
    pub fn read_stored(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None => Self::parse(text, None),
            Some((traceparent, state)) => Self::parse(traceparent, Some(state)),
        }
    }

    /// Both headers as one text, for a store.
    pub fn stored(&self) -> String {
        match &self.state {
            None => self.traceparent(),
            Some(state) => format!("{} {state}", self.traceparent()),
        }
    }

    /// Whether its producer wants this trace recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same place, where nothing is recorded.
    pub fn unsampled(self) -> Self {
        Self { flags: self.flags & !SAMPLED, ..self }
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The header `tracestate`, if there is anything in it.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Puts both headers in the place of whatever is there.
    pub fn write_to(&self, mut set: impl FnMut(&'static str, String)) {
        set(TRACEPARENT, self.traceparent());
        if let Some(state) = &self.state {
            set(TRACESTATE, state.to_string());
        }
    }
}

/// What others wrote into `tracestate` is not printed.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

/// A number of small hexadecimal digits alone.
fn hexadecimal(digits: &str) -> Option<u128> {
    let are_digits = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(digits, 16).ok().filter(|_| are_digits)
}

/// Whether it is a list of names with values, of printable ASCII. What they mean is their systems' business.
fn is_tracestate(text: &str) -> bool {
    let is_member = |member: &str| {
        let member = member.trim();
        let is_pair = member.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
        member.is_empty() || is_pair
    };
    (1..=TRACESTATE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.split(',').count() <= TRACESTATE_MEMBERS_MAX
        && text.split(',').all(is_member)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_read_and_written_as_it_came() {
        let context = TraceContext::parse(GOOD, Some(" rojo=00f067aa0ba902b7,congo=t61rcWkgMzE ")).unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.traceparent(), GOOD);
        assert_eq!(context.tracestate(), Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
        assert_eq!(TraceContext::read_stored(&context.stored()).unwrap(), context);
        let bare = TraceContext::parse(GOOD, None).unwrap();
        assert_eq!(bare.stored(), GOOD);
        assert_eq!(TraceContext::read_stored(GOOD).unwrap(), bare);
        assert!(!format!("{context:?}").contains("rojo"));
    }

    #[test]
    fn what_is_no_context_is_none() {
        let later = GOOD.replacen("00-", "01-", 1);
        for (why, text, expected) in [
            ("as it should be", GOOD.to_owned(), true),
            ("not sampled", GOOD.replace("-01", "-00"), true),
            ("a later version", later.clone(), true),
            ("a later version with more", format!("{later}-more"), true),
            ("a later version that runs on", format!("{later}more"), false),
            ("empty", String::new(), false),
            ("capital letters", GOOD.to_uppercase(), false),
            ("the forbidden version", GOOD.replacen("00-", "ff-", 1), false),
            ("no trace", GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
            ("no parent", GOOD.replace("b7ad6b7169203331", &"0".repeat(16)), false),
            ("a tail", format!("{GOOD}-x"), false),
            ("too short", GOOD[..54].to_owned(), false),
            ("a sign", GOOD.replace("0af765", "+af765"), false),
            ("other letters", GOOD.replace("0af765", "żf765"), false),
            ("blanks around it", format!(" {GOOD}"), false),
        ] {
            assert_eq!(TraceContext::parse(&text, None).is_some(), expected, "{why}");
        }
    }

    #[test]
    fn a_state_that_cannot_be_used_does_not_end_the_trace() {
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for (why, state, expected) in [
            ("one", "a=b", Some("a=b")),
            ("empty members are allowed", "a=b,,c=d", Some("a=b,,c=d")),
            ("nothing", "", None),
            ("no value", "a=", None),
            ("no pair", "a", None),
            ("a line break", "a=b\nc", None),
            ("not ASCII", "a=ż", None),
            ("too many", many.as_str(), None),
        ] {
            let context = TraceContext::parse(GOOD, Some(state)).unwrap();
            assert_eq!(context.tracestate(), expected, "{why}");
        }
        let long = format!("a={}", "x".repeat(TRACESTATE_BYTES_MAX));
        assert_eq!(TraceContext::parse(GOOD, Some(&long)).unwrap().tracestate(), None);
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let context = TraceContext::parse(&GOOD.replace("-01", "-ff"), None).unwrap();
        assert!(context.traceparent().ends_with("-03"));
    }
}
