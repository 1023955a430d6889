//! What the gateway asks of the notification and the fulfilment worker.

use super::{
    Gateway,
    call::{Call, json, next},
    problem::Problem,
    shape::{Field, Shape},
    systems,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use warp::{http::StatusCode, reply::Response};
use workflows::booking::BookingId;

#[derive(Deserialize)]
struct Voucher {
    booking: BookingId,
    code: Option<String>,
}

#[derive(Deserialize)]
struct Points {
    customer: String,
    points: i64,
}

pub(super) const MESSAGE: Shape = Shape::new(
    "Message",
    &[
        Field::number("msgId", "Its number.", "1"),
        Field::id("booking", "About which booking."),
        Field::count("item", "About which item.", "1"),
        Field::text_to(2000, "content", "What it says.", "Your book waits for approval."),
        Field::text("stage", "About which stage.", "paid"),
        Field::choice("language", "In which language.", &["en", "ko"], "en"),
        Field::text("state", "How far it is.", "sent"),
        Field::moment("sentDate", "When it was sent.").or_null(),
    ],
);

impl Gateway {
    /// The codes of vouchers that are good. A worker that is away has none to show.
    pub(super) async fn voucher_codes(&self, bookings: &[BookingId]) -> BTreeMap<BookingId, String> {
        let url = format!("{}/vouchers", self.fulfilment.base);
        let asked = self.fulfilment.ask::<Vec<Voucher>>(self.fulfilment.client.post(url).json(&bookings));
        let vouchers = asked.await.ok().flatten().unwrap_or_default().into_iter();
        vouchers.filter_map(|voucher| Some((voucher.booking, voucher.code?))).collect()
    }

    /// What members have.
    ///
    /// # Errors
    /// [`super::problem::Code::Unavailable`] when the fulfilment worker does not answer.
    pub(super) async fn points(&self, of: Option<&str>, after: &str) -> Result<Vec<Value>, Problem> {
        let url = format!("{}/points", self.fulfilment.base);
        let mut request = self.fulfilment.client.get(url).query(&[("after", after)]);
        if let Some(of) = of {
            request = request.query(&[("of", of)]);
        }
        let points: Vec<Points> = self.fulfilment.ask(request).await?.unwrap_or_default();
        Ok(points.iter().map(|one| json!({ "memberId": one.customer, "point": one.points })).collect())
    }

    /// The messages of a system that the caller may read, or those about one booking.
    pub(super) async fn messages(
        &self,
        call: &Call,
        system: &str,
        booking: Option<BookingId>,
    ) -> Result<Response, Problem> {
        let (after, limit) = call.page()?;
        let url = format!("{}/messages/{system}", self.notification.base);
        let page = [("after", after.unwrap_or(0)), ("limit", limit)];
        let mut request = self.notification.client.get(url).query(&page);
        if !systems::sees_all_of(&call.caller, system) {
            request = request.query(&[("customer", call.caller.subject.as_str())]);
        }
        if let Some(booking) = booking {
            request = request.query(&[("booking", booking.to_string())]);
        }
        let messages: Vec<Value> = self.notification.ask(request).await?.unwrap_or_default();
        let next = next(&messages, limit, |last| last["msgId"].clone());
        Ok(json(StatusCode::OK, &json!({ "messages": messages, "next": next })))
    }
}
