//! The trace that a request belongs to (W3C Trace Context): in the log, and in the spans that are exported.

use axum::http::{HeaderMap, HeaderName};

/// The header that carries it.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `00-`, a trace of 32 digits, a span of 16, and flags of 2.
const LENGTH: usize = 55;
/// The flag that the caller records the trace.
const SAMPLED: u8 = 1;

/// The span of the caller that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// 32 digits of lower-case hex.
    pub trace_id: String,
    /// 16 digits of lower-case hex.
    pub span_id: String,
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads the one `traceparent`; none if there is no valid one, or several.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        Self::parse(value.to_str().ok()?)
    }

    /// Later versions may add to the text, behind a further dash.
    fn parse(text: &str) -> Option<Self> {
        let (known, added) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let mut digits = |count: usize| parts.next().filter(|part| part.len() == count && is_hex(part));
        let (version, trace_id, span_id, flags) = (digits(2)?, digits(32)?, digits(16)?, digits(2)?);
        let may_add = match version {
            "ff" => return None,
            "00" => added.is_empty(),
            _ => added.is_empty() || added.starts_with('-'),
        };
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        if !may_add || is_zero(trace_id) || is_zero(span_id) {
            return None;
        }
        Some(Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            is_sampled: u8::from_str_radix(flags, 16).ok()? & SAMPLED != 0,
        })
    }
}

/// The id of a trace that begins here.
#[must_use]
pub fn new_trace_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(values: &[&str]) -> Option<TraceParent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        TraceParent::of(&headers)
    }

    #[test]
    fn a_valid_traceparent_is_taken() {
        for (flags, is_sampled) in [
            ("00", false),
            ("01", true),
            ("02", false),
            ("03", true),
            ("ff", true),
        ] {
            let expected = TraceParent {
                trace_id: TRACE.to_owned(),
                span_id: SPAN.to_owned(),
                is_sampled,
            };
            assert_eq!(
                read(&[&format!("00-{TRACE}-{SPAN}-{flags}")]),
                Some(expected.clone())
            );
            // A version that is not known yet.
            for added in ["", "-", "-what the future brings"] {
                assert_eq!(
                    read(&[&format!("cc-{TRACE}-{SPAN}-{flags}{added}")]),
                    Some(expected.clone()),
                    "{added}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_a_traceparent_is_ignored() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let zeros = ["0".repeat(32), "0".repeat(16)];
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}-"),
            &format!("{good}-more"),
            &format!("{good}0"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("cc-{TRACE}-{SPAN}-01.more"),
            &format!("0-{TRACE}-{SPAN}-011"),
            &format!(".0-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            &format!("00-{TRACE}-{SPAN}-0A"),
            &format!("00-{TRACE}-{SPAN}-+1"),
            &format!("00-{}-{SPAN}-01", zeros[0]),
            &format!("00-{TRACE}-{}-01", zeros[1]),
            &format!("00-{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}0-{}-01", &SPAN[1..]),
            &format!("00_{TRACE}_{SPAN}_01"),
            &format!("00-{}ü{SPAN}-01", &TRACE[1..]),
            &"0".repeat(60_000),
            &format!("cc-{TRACE}-{SPAN}-0{}", "é".repeat(100)),
        ] {
            assert_eq!(read(&[bad]), None, "{bad:.80}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[&good, &good]), None);
    }

    #[test]
    fn each_new_trace_has_an_id_of_its_own() {
        let (one, other) = (new_trace_id(), new_trace_id());
        assert_ne!(one, other);
        let parent = read(&[&format!("00-{one}-{SPAN}-01")]);
        assert_eq!(parent.map(|parent| parent.trace_id), Some(one));
    }
}
