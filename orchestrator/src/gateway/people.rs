//! Where customers can be reached, and the messages that did not reach them.

use super::{
    Gateway,
    auth::Role,
    call::{Call, json, next},
    problem::{Code, Problem},
    routes::{Access, Gives, Route},
    shape::{Field, Shape},
};
use serde_json::{Value, json};
use warp::{http::StatusCode, reply::Response};

const OPERATORS: Access = Access::Any(&[Role::Operator]);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/me/contact", Access::SignedIn, "Shows where you can be reached.", |gateway, call| {
        Box::pin(async move { contact(&gateway, &call).await })
    })
    .gives(&[200], Gives::One(&CONTACT)),
    Route::put("/me/contact", Access::SignedIn, "Says where you can be reached.", |gateway, call| {
        Box::pin(async move { keep(&gateway, &call).await })
    })
    .takes(&[
        Field::text_to(254, "mail", "Your address; not by mail without.", "you@example.com"),
        Field::text_to(32, "phone", "Your number; not by text without.", "+82 10 1234 5678"),
        Field::choice("language", "Your language.", &["en", "ko"], "en"),
    ])
    .gives(&[200], Gives::One(&CONTACT)),
    Route::get("/messages/dead", OPERATORS, "Lists messages that will not arrive by themselves.", |gateway, call| {
        Box::pin(async move { dead(&gateway, &call).await })
    })
    .lists("letters", &LETTER),
    Route::post("/messages/dead/{letter}/resend", OPERATORS, "Sends such a message again.", |gateway, call| {
        Box::pin(async move { resend(&gateway, &call).await })
    })
    .gives(&[200], Gives::One(&LETTER))
    .refuses(&[&[Code::NoSuchLetter]]),
];

fn url(gateway: &Gateway, call: &Call) -> String {
    format!("{}/contacts/{}", gateway.notification.base, call.caller.subject)
}

const CONTACT: Shape = Shape::new(
    "Contact",
    &[
        Field::text_to(254, "mail", "The address.", "you@example.com").or_null(),
        Field::text_to(32, "phone", "The number.", "+82 10 1234 5678").or_null(),
        Field::choice("language", "The language.", &["en", "ko"], "en"),
    ],
);
const LETTER: Shape = Shape::new(
    "DeadLetter",
    &[
        Field::number("message", "Its number.", "1"),
        Field::id("booking", "About which booking."),
        Field::text("system", "Of which system.", "ebook"),
        Field::text("stage", "About which stage.", "paid"),
        Field::text("channel", "By which way.", "mail").or_null(),
        Field::text_to(2000, "problem", "Why it did not arrive.", "refused").or_null(),
        Field::text("state", "How far it is.", "dead"),
        Field::count("attempts", "How often it was tried.", "3"),
        Field::moment("asked_at", "When it was asked for."),
    ],
);

/// The caller's own, and nobody else's.
async fn contact(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let worker = &gateway.notification;
    let known: Option<Value> = worker.ask(worker.client.get(url(gateway, call))).await?;
    Ok(json(StatusCode::OK, &known.unwrap_or_else(|| json!({ "mail": null, "phone": null, "language": "en" }))))
}

async fn keep(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let fields = call.fields()?;
    fields.only(&["mail", "phone", "language"])?;
    let mail = fields.text("mail", 254)?;
    if mail.as_deref().is_some_and(|mail| !is_mail(mail)) {
        return Err(Problem::field("mail", "an address such as you@example.com"));
    }
    let phone = fields.text("phone", 32)?;
    if phone.as_deref().is_some_and(|phone| !is_phone(phone)) {
        return Err(Problem::field("phone", "a number such as +82 10 1234 5678"));
    }
    let language = fields.text("language", 2)?.unwrap_or_else(|| "en".to_owned());
    if !["en", "ko"].contains(&language.as_str()) {
        return Err(Problem::field("language", "en or ko"));
    }
    let worker = &gateway.notification;
    let body = json!({ "mail": mail, "phone": phone, "language": language });
    let kept: Option<Value> = worker.ask(worker.client.put(url(gateway, call)).json(&body)).await?;
    Ok(json(StatusCode::OK, &kept))
}

fn is_mail(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !"<>,;:\"()[]\\".contains(c));
    text.split_once('@').is_some_and(|(name, host)| plain(name) && plain(host) && !host.contains('@'))
}

fn is_phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    (5..=20).contains(&digits) && text.chars().all(|c| c.is_ascii_digit() || "+-() .".contains(c))
}

/// What did not arrive, and will not by itself. Whose it is and what it says is not shown.
async fn dead(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let (after, limit) = call.page()?;
    let worker = &gateway.notification;
    let url = format!("{}/dead", worker.base);
    let page = worker.client.get(url).query(&[("after", after.unwrap_or(0)), ("limit", limit)]);
    let letters: Vec<Value> = worker.ask(page).await?.unwrap_or_default();
    let next = next(&letters, limit, |last| last["message"].clone());
    Ok(json(StatusCode::OK, &json!({ "letters": letters, "next": next })))
}

async fn resend(gateway: &Gateway, call: &Call) -> Result<Response, Problem> {
    let number = call.number(0, Code::NoSuchLetter)?;
    let worker = &gateway.notification;
    let url = format!("{}/dead/{number}/resend", worker.base);
    let sent: Option<Value> = worker.ask(worker.client.post(url)).await?;
    Ok(json(StatusCode::OK, &sent.ok_or_else(|| Problem::new(Code::NoSuchLetter))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        for good in ["a@b", "you@example.com", "이름@예시.한국"] {
            assert!(is_mail(good), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b@c", "a@b\r\nBcc: x@y", "<a@b>", "a@b,c@d"] {
            assert!(!is_mail(bad), "{bad}");
        }
        assert!(is_phone("+82 10-1234-5678") && !is_phone("call me") && !is_phone("12"));
    }
}
