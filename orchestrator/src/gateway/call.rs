//! Calls: what a request says, read carefully. Whatever cannot be used is refused by name.

use super::{
    auth::Caller,
    limits::Place,
    problem::{Code, Problem},
};
use bytes::Bytes;
use process::traces::{self, Context};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};
use tokio::time::Instant;
use warp::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    reply::Response,
};
use workflows::booking::{BookingId, Row};

/// The longest wait that can be asked for with `Prefer: wait=`.
pub const WAIT_SECONDS_MAX: u64 = 30;
/// Bookings, books and so on in one page.
pub const PAGE_MAX: i64 = 100;

/// A request, once it is known who sent it and which route it takes.
pub struct Call {
    /// Who.
    pub caller: Caller,
    /// The parts of the path that vary, in order.
    pub parameters: Vec<String>,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When it arrived.
    pub arrived: Instant,
    /// When an answer is due, unless the caller asks for more.
    pub answer_by: Instant,
    /// The caller's place that it takes; none for what is asked from within.
    pub place: Option<Place>,
}

/// Names the booking that a request is about, in its trace and wherever it is logged.
pub(super) fn concerns(booking: BookingId) {
    tracing::Span::current().record("booking", tracing::field::display(booking));
    traces::say(&Context::current(), "booking", booking.to_string());
}

impl Call {
    /// The body, as a JSON object.
    ///
    /// # Errors
    /// [`Code::UnsupportedMediaType`] or [`Code::MalformedBody`].
    pub fn fields(&self) -> Result<Fields, Problem> {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(Problem::new(Code::MalformedBody).detail("expected a JSON object")),
            // Where it breaks, not what it says: that may be private.
            Err(error) => Err(Problem::new(Code::MalformedBody).detail(&format!(
                "not valid JSON at line {}, column {}",
                error.line(),
                error.column()
            ))),
        }
    }

    /// A number in the path, such as a book's.
    ///
    /// # Errors
    /// `unknown` when it is none: there is nothing under such a path.
    pub fn number(&self, index: usize, unknown: Code) -> Result<i64, Problem> {
        let number = self.parameters.get(index).and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        number.ok_or_else(|| Problem::new(unknown))
    }

    /// A booking's id in the path.
    ///
    /// # Errors
    /// [`Code::NoSuchBooking`] when it is none.
    pub fn booking(&self, index: usize) -> Result<BookingId, Problem> {
        let id = self.parameters.get(index).and_then(|text| text.parse().ok());
        let id = id.ok_or_else(|| Problem::new(Code::NoSuchBooking))?;
        concerns(id);
        Ok(id)
    }

    /// `Idempotency-Key`, when it was sent.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is empty, long, or not plain text.
    pub fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let Some(key) = self.headers.get("idempotency-key") else { return Ok(None) };
        let plain = |key: &&str| (1..=200).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        let wrong = || Problem::field("Idempotency-Key", "1 to 200 visible ASCII characters");
        key.to_str().ok().filter(plain).ok_or_else(wrong).map(Some)
    }

    /// Refuses a query that means nothing here, where a misspelt one would do harm.
    ///
    /// # Errors
    /// [`Code::InvalidField`] for the first that is not among the known ones.
    pub fn only_query(&self, known: &[&str]) -> Result<(), Problem> {
        match self.query.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Problem::field(name, &format!("no such parameter, only {}", known.join(", ")))),
        }
    }

    /// Some text of the query.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when no column could hold it.
    pub fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.query.get(name) {
            Some(text) if text.contains('\0') => Err(Problem::field(name, "text without NUL")),
            other => Ok(other.cloned()),
        }
    }

    /// How long the caller is willing to wait for more than the acceptance (`Prefer: wait=N`).
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        let prefer = self.headers.get("prefer")?.to_str().ok()?;
        let seconds: u64 = prefer.split(',').find_map(|part| part.trim().strip_prefix("wait="))?.parse().ok()?;
        Some(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
    }

    /// When an answer is due.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.answer_by.max(self.arrived + self.wait().unwrap_or_default())
    }

    /// The version of a booking that the caller knows of (`?version=`).
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is no number.
    pub fn version(&self) -> Result<Option<i32>, Problem> {
        let read = |text: &String| text.parse().map_err(|_| Problem::field("version", "the version of a booking"));
        self.query.get("version").map(read).transpose()
    }

    /// The only version of a booking that the caller wants to move (`If-Match`).
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is no entity tag of ours.
    pub fn if_match(&self) -> Result<Option<i32>, Problem> {
        let Some(tag) = self.headers.get(header::IF_MATCH) else { return Ok(None) };
        let tag = tag.to_str().unwrap_or_default().trim();
        let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
        match version {
            _ if tag == "*" => Ok(None),
            Some(version) => Ok(Some(version)),
            None => Err(Problem::field("If-Match", "the ETag of a booking, such as \"3\"")),
        }
    }

    /// The length of a page, and where it begins.
    ///
    /// # Errors
    /// [`Code::InvalidField`] for a limit or cursor that is no number in range.
    pub fn page(&self) -> Result<(Option<i64>, i64), Problem> {
        Ok((self.in_range("cursor", 0..=i64::MAX)?, self.limit()?))
    }

    /// The length of a page.
    ///
    /// # Errors
    /// [`Code::InvalidField`] for a limit that is no number in range.
    pub fn limit(&self) -> Result<i64, Problem> {
        Ok(self.in_range("limit", 1..=PAGE_MAX)?.unwrap_or(50))
    }

    fn in_range(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Problem> {
        match self.query.get(name).map(|text| text.parse()) {
            None => Ok(None),
            Some(Ok(number)) if range.contains(&number) => Ok(Some(number)),
            Some(_) => Err(Problem::field(name, &format!("a number from {} to {}", range.start(), range.end()))),
        }
    }
}

/// The fields of a body.
#[derive(Clone, Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// The same text for the same fields and values, in whatever order and layout they came.
    #[must_use]
    pub fn canonical(&self) -> String {
        // The map is sorted by name.
        Value::Object(self.0.clone()).to_string()
    }

    /// Refuses fields that mean nothing here, where a misspelt one would do harm.
    ///
    /// # Errors
    /// [`Code::InvalidField`] for the first that is not among the known ones.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|field| !known.contains(&field.as_str())) {
            None => Ok(()),
            Some(field) => Err(Problem::field(field, &format!("no such field, only {}", known.join(", ")))),
        }
    }

    /// A whole number, sent as a number or as its digits.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is something else or out of range.
    pub fn number(&self, field: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Problem> {
        let number = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let wrong = || {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            Problem::field(field, &expected)
        };
        number.filter(|number| range.contains(number)).ok_or_else(wrong).map(Some)
    }

    /// Yes or no, sent as a boolean or as its word.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is something else.
    pub fn flag(&self, field: &str) -> Result<Option<bool>, Problem> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(word)) if word == "true" || word == "false" => Ok(Some(word == "true")),
            Some(_) => Err(Problem::field(field, "true or false")),
        }
    }

    /// A list of 1 to `length_max` ids of bookings.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is something else.
    pub fn ids(&self, field: &str, length_max: usize) -> Result<Option<Vec<BookingId>>, Problem> {
        let wrong = || Problem::field(field, &format!("a list of 1 to {length_max} ids of bookings"));
        let list = match self.0.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) if (1..=length_max).contains(&list.len()) => list,
            Some(_) => return Err(wrong()),
        };
        let ids: Option<Vec<BookingId>> = list.iter().map(|id| id.as_str()?.parse().ok()).collect();
        ids.map(Some).ok_or_else(wrong)
    }

    /// Some text of 1 to `length_max` characters that can be seen.
    ///
    /// # Errors
    /// [`Code::InvalidField`] when it is something else.
    pub fn text(&self, field: &str, length_max: usize) -> Result<Option<String>, Problem> {
        let good = |text: &&String| {
            (1..=length_max).contains(&text.chars().count()) && !text.trim().is_empty() && !text.chars().any(unseen)
        };
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if good(&text) => Ok(Some(text.clone())),
            Some(_) => {
                let expected = format!("text of 1 to {length_max} visible characters");
                Err(Problem::field(field, &expected))
            }
        }
    }
}

/// Control characters, and those that turn the direction of what stands around them.
fn unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A field that must be there.
///
/// # Errors
/// [`Code::InvalidField`] when it is missing.
pub fn needed<T>(value: Option<T>, field: &str, expected: &str) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::field(field, expected))
}

/// A JSON answer.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = match serde_json::to_vec(body) {
        Ok(text) => Response::new(text.into()),
        Err(error) => return Problem::unavailable("the answer", &error).into_response(),
    };
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A booking, with its version as the entity tag.
#[must_use]
pub fn versioned(row: &Row, mut response: Response) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", row.version)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The answer, or only that nothing has changed, where the caller has it already (`If-None-Match`).
#[must_use]
pub fn unless_known(headers: &HeaderMap, response: Response) -> Response {
    let known = |tag: &HeaderValue| {
        let listed = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
        listed.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
    };
    match response.headers().get(header::ETAG).cloned() {
        Some(tag) if response.status() == StatusCode::OK && known(&tag) => {
            without_body(&response, StatusCode::NOT_MODIFIED)
        }
        _ => response,
    }
}

/// An answer that says no more than that it is done.
#[must_use]
pub fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An answer with another status, and nothing but its headers.
#[must_use]
pub fn without_body(response: &Response, status: StatusCode) -> Response {
    let mut bare = no_content();
    *bare.status_mut() = status;
    *bare.headers_mut() = response.headers().clone();
    bare.headers_mut().remove(header::CONTENT_TYPE);
    bare
}

/// Where the next page begins, when this one is full: after its last.
#[must_use]
pub fn next<T, K>(page: &[T], limit: i64, key: impl Fn(&T) -> K) -> Option<K> {
    let full = page.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    page.last().filter(|_| full).map(key)
}

/// Adds where the thing is that was made.
#[must_use]
pub fn located(mut response: Response, location: &str) -> Response {
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any JSON there is, not too deep.
    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1_000..1_000).prop_map(|halves: i32| Value::from(f64::from(halves) / 2.0)),
            any::<String>().prop_map(Value::from),
            "-?[0-9]{1,20}|true|false|\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from);
            let map = prop::collection::btree_map("[a-z]{1,4}", inner, 0..4);
            prop_oneof![list, map.prop_map(|map| Value::Object(map.into_iter().collect()))]
        })
    }

    proptest! {
        /// Whatever a field holds: it is read as what was asked for, within its bounds, or refused by name.
        #[test]
        fn anything_may_stand_in_a_field(value in json_value()) {
            let fields = Fields(Map::from_iter([("field".to_owned(), value)]));
            if let Ok(Some(number)) = fields.number("field", -5..=1_000) {
                prop_assert!((-5..=1_000).contains(&number));
            }
            if let Ok(Some(text)) = fields.text("field", 10) {
                prop_assert!((1..=10).contains(&text.chars().count()) && !text.chars().any(char::is_control));
            }
            if let Ok(Some(ids)) = fields.ids("field", 3) {
                prop_assert!((1..=3).contains(&ids.len()));
            }
            let refused = [
                fields.number("field", 0..=0).err(),
                fields.flag("field").err(),
                fields.text("field", 1).err(),
                fields.ids("field", 1).err(),
            ];
            for problem in refused.into_iter().flatten() {
                prop_assert_eq!(problem.code.status(), StatusCode::BAD_REQUEST);
            }
        }

        /// The same fields have the same text, in whatever order and layout they came.
        #[test]
        fn the_fingerprint_of_a_body_does_not_depend_on_its_layout(values in prop::collection::btree_map("[a-z]{1,6}", json_value(), 0..5)) {
            let forwards = Fields(values.clone().into_iter().collect());
            let backwards: Map<String, Value> = values.into_iter().rev().collect();
            let again: Value = serde_json::from_str(&serde_json::to_string_pretty(&backwards).unwrap()).unwrap();
            let Value::Object(again) = again else { unreachable!() };
            prop_assert_eq!(forwards.canonical(), Fields(again).canonical());
        }
    }
}
