//! Problems: every refusal is an RFC 9457 document with a stable code. Each code has a paragraph in `docs/errors.md`.

use crate::worker::{Away, Why};
use serde_json::{Map, Value, json};
use warp::{
    http::{HeaderValue, StatusCode, header},
    reply::Response,
};

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[doc = $doc])* $code,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The stable text of the code.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }

            /// The HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            /// What happened, for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not the JSON object that was expected.
    MalformedBody = "malformed_body", BAD_REQUEST, "The body is not a JSON object.";
    /// A field of the body, the query or a header is missing or wrong.
    InvalidField = "invalid_field", BAD_REQUEST, "A field is missing or cannot be used.";
    /// No token, or one that is not valid.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Sign in: a valid bearer token is needed.";
    /// The card was declined.
    PaymentDeclined = "payment_declined", PAYMENT_REQUIRED, "The payment was declined. Nothing was charged.";
    /// The caller's roles do not allow it.
    Forbidden = "forbidden", FORBIDDEN, "Your roles do not allow this.";
    /// Nobody decides on their own request.
    OwnRequest = "own_request", FORBIDDEN, "Nobody decides on their own request.";
    /// They have not been there.
    NotAttended = "not_attended", FORBIDDEN, "Only who has watched a movie can review it.";
    /// There is no such path.
    NoSuchPath = "no_such_path", NOT_FOUND, "There is nothing at this path.";
    /// There is no such booking, or it is somebody else's.
    NoSuchBooking = "no_such_booking", NOT_FOUND, "You have no booking of this id.";
    /// The catalogue does not list it.
    UnknownBook = "unknown_book", NOT_FOUND, "There is no book of this number.";
    /// There is nothing of this number.
    UnknownItem = "unknown_item", NOT_FOUND, "There is nothing of this number or name in the catalogue.";
    /// There is no such receiver.
    NoSuchReceiver = "no_such_receiver", NOT_FOUND, "There is no webhook receiver of this id.";
    /// There is no dead letter of this number.
    NoSuchLetter = "no_such_letter", NOT_FOUND, "There is no dead letter of this number.";
    /// There is no voucher.
    NoVoucher = "no_voucher", NOT_FOUND, "This booking has no voucher.";
    /// The path does not take this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path does not take this method.";
    /// The body took too long to arrive.
    SlowBody = "slow_body", REQUEST_TIMEOUT, "The body took too long to arrive.";
    /// The customer has bookings that have not ended.
    StillOpen = "still_open", CONFLICT, "This customer has bookings that have not ended.";
    /// Another member has the book.
    BookAlreadyRented = "book_already_rented", CONFLICT, "Another member has this book until it is returned.";
    /// Somebody else has it.
    ItemTaken = "item_taken", CONFLICT, "Somebody else has it, or was quicker.";
    /// A booking holds a unit of it.
    ItemInUse = "item_in_use", CONFLICT, "A booking holds it, so it cannot be removed.";
    /// Somebody else was quicker.
    AlreadyAssigned = "already_assigned", CONFLICT, "Another teacher has taken this request.";
    /// It is too early for that.
    NotYet = "not_yet", CONFLICT, "It is too early for this: the booking has not come that far.";
    /// Bookings of this kind hear nothing of the sort.
    NotSaid = "not_said", CONFLICT, "This booking does not hear such a word.";
    /// Nobody was named, and nobody was wished for.
    StylistNeeded = "stylist_needed", CONFLICT, "Name a stylist: the customer wished for nobody.";
    /// No live booking has this book.
    NothingToDecide = "nothing_to_decide", CONFLICT, "Nobody's request for this book waits for a decision.";
    /// It is not paid yet.
    NotPaidYet = "not_paid_yet", CONFLICT, "The booking is not paid yet, so it cannot be decided.";
    /// It was decided the other way.
    DecidedOtherwise = "decided_otherwise", CONFLICT, "The booking has been decided otherwise.";
    /// It is too late for that.
    TooLate = "too_late", CONFLICT, "It is too late for this: the booking has moved on.";
    /// The board does not show that version.
    VersionNotReached = "version_not_reached", CONFLICT, "The booking has not reached that version in time.";
    /// It is not lent.
    NotLent = "not_lent", CONFLICT, "The book is not lent, so it cannot be returned.";
    /// Nothing is waiting to be tried again.
    NotStuck = "not_stuck", CONFLICT, "The booking is not stuck.";
    /// Another operator's move is being carried out.
    MovePending = "move_pending", CONFLICT, "Another move is being carried out.";
    /// The saga has heard as many moves as it can.
    TooManyMoves = "too_many_moves", CONFLICT, "This booking's saga has heard as many moves as it can.";
    /// The move would break a promise.
    MoveNotAllowed = "move_not_allowed", CONFLICT, "This move is not allowed here: it would leave something behind.";
    /// Another amount is at risk.
    AmountDiffers = "amount_differs", CONFLICT, "Another amount is at risk.";
    /// There are more or fewer than the caller expects.
    CountDiffers = "count_differs", CONFLICT, "There are more or fewer bookings than expected. Nothing was done.";
    /// The booking was turned back before it was accepted.
    TurnedBack = "turned_back", CONFLICT, "The booking was turned back.";
    /// The row has another version.
    VersionDiffers = "version_differs", PRECONDITION_FAILED, "The booking has moved on: it has another version now.";
    /// The body is too large.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large.";
    /// The path or the query is too long.
    PathTooLong = "path_too_long", URI_TOO_LONG, "The path or the query is too long.";
    /// The body is not JSON.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json.";
    /// The idempotency key was used for another body.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY,
        "This idempotency key was used for another request.";
    /// The caller sends too many requests.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, "You send more requests than you may. This one was not looked at.";
    /// Too many requests are in flight.
    TooBusy = "too_busy", SERVICE_UNAVAILABLE, "Too many requests are in flight. Nothing was done.";
    /// A part that is needed does not answer.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "A part that is needed for this does not answer.";
    /// It is not known whether the booking was started.
    OutcomeUnknown = "outcome_unknown", SERVICE_UNAVAILABLE, "It is not known yet whether the booking was started.";
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Why.
    pub code: Code,
    members: Map<String, Value>,
    headers: Vec<(header::HeaderName, String)>,
}

/// The board did not answer as it should: that is all the caller is told.
impl From<crate::board::Error> for Problem {
    fn from(error: crate::board::Error) -> Self {
        Self::unavailable("the board", &error)
    }
}

impl Problem {
    /// A refusal with nothing but its code.
    #[must_use]
    pub fn new(code: Code) -> Self {
        let problem = Self { code, members: Map::new(), headers: Vec::new() };
        match code.status() {
            _ if code == Code::VersionNotReached => problem.header(header::RETRY_AFTER, "1"),
            StatusCode::SERVICE_UNAVAILABLE => problem.header(header::RETRY_AFTER, "1"),
            StatusCode::UNAUTHORIZED => problem.header(header::WWW_AUTHENTICATE, "Bearer"),
            _ => problem,
        }
    }

    /// A refusal by a saga, which begins with its code.
    #[must_use]
    pub fn named(text: &str) -> Self {
        let code = text.split(':').next().unwrap_or_default();
        Self::new(Code::ALL.iter().copied().find(|known| known.text() == code).unwrap_or_else(|| {
            tracing::warn!(text, "a refusal without a known code");
            Code::TooLate
        }))
    }

    /// A field that cannot be used.
    #[must_use]
    pub fn field(field: &str, expected: &str) -> Self {
        Self::new(Code::InvalidField)
            .with("field", field)
            .with("expected", expected)
            .detail(&format!("{field}: expected {expected}"))
    }

    /// A part that does not answer. The causes go to the log, not to the caller.
    #[must_use]
    pub fn unavailable(part: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::warn!(part, error = process::logs::chain(error), "{part} did not answer");
        Self::new(Code::Unavailable).with("part", part)
    }

    /// Adds what is particular to this occurrence.
    #[must_use]
    pub fn detail(self, detail: &str) -> Self {
        self.with("detail", detail)
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A member of the document.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// The answer. The status of RFC 9457 documents, their type, and `Retry-After` where it is due.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut document = self.members;
        document.insert("type".to_owned(), json!(format!("urn:holdfast:problem:{}", self.code.text())));
        document.insert("code".to_owned(), json!(self.code.text()));
        document.insert("title".to_owned(), json!(self.code.title()));
        document.insert("status".to_owned(), json!(self.code.status().as_u16()));
        let mut response = Response::new(Value::Object(document).to_string().into());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<Away> for Problem {
    fn from(Away { worker, why }: Away) -> Self {
        match why {
            Why::Resting(resting) => {
                let seconds = resting.retry_in.as_secs() + 1;
                Self::new(Code::Unavailable).with("part", worker).header(header::RETRY_AFTER, seconds.to_string())
            }
            Why::Failed(error) => Self::unavailable(worker, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_paragraph_with_a_remedy() {
        let explained = include_str!("../../../docs/errors.md");
        for code in Code::ALL {
            let heading = format!("### `{}` ({})", code.text(), code.status().as_u16());
            assert!(explained.contains(&heading), "docs/errors.md lacks the heading: {heading}");
        }
    }
}
