//! Demo: two rentals and one story of each other system, played against a running system through its HTTP entrance alone, and
//! told as they go.

use crate::{addresses::Addresses, stack::program};
use anyhow::{Context, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// A teller with a token for each part.
struct Teller {
    client: Client,
    api: String,
    addresses: Addresses,
    librarian: String,
    member: String,
}

/// Plays one approved and one rejected rental, and one story of each other system.
///
/// # Errors
/// When the system does not run, or answers otherwise than it should.
pub async fn play() -> anyhow::Result<()> {
    let addresses = Addresses::configured()?;
    let teller = Teller {
        client: Client::builder().timeout(SETTLES_WITHIN).build()?,
        api: format!("http://127.0.0.1:{}", addresses.http),
        librarian: token(&addresses, "librarian", "admin")?,
        member: token(&addresses, "1", "member")?,
        addresses: addresses.clone(),
    };
    tell("One rental that is approved:");
    let (book, rental) = teller.rent().await?;
    teller.librarian_decides("approve", book).await?;
    teller.settled(&rental, "approved").await?;
    tell("  the member reads it, and brings it back");
    teller.ask(Method::PATCH, &format!("/ebook/rents/return/{rental}"), &teller.member, None).await?;
    teller.settled(&rental, "returned").await?;
    teller.timeline(&rental).await?;

    tell("\nOne rental that is rejected:");
    let (book, rental) = teller.rent().await?;
    teller.librarian_decides("reject", book).await?;
    teller.settled(&rental, "undone").await?;
    teller.timeline(&rental).await?;
    let payment = teller.ask(Method::GET, &format!("/ebook/payments/{rental}"), &teller.member, None).await?;
    tell(&format!("  the payment is {}", payment["status"].as_str().unwrap_or_default()));
    teller.resort().await?;
    teller.cinema().await?;
    teller.matching().await?;
    teller.salon().await?;
    teller.parcel().await?;
    tell(&format!(
        "\nAll of them are in Temporal's web UI: http://127.0.0.1:{}/namespaces/holdfast/workflows",
        addresses.temporal_ui
    ));
    Ok(())
}

impl Teller {
    /// Registers a book and rents it, up to the payment.
    async fn rent(&self) -> anyhow::Result<(i64, String)> {
        let new = json!({ "bookName": "Hello, JAVA", "rentalFee": 3000 });
        let book = self.ask(Method::POST, "/ebook/books", &self.librarian, Some(new)).await?;
        let number = book["id"].as_i64().context("a book without a number")?;
        tell(&format!(
            "  the librarian registers book {number}, fee {} {}",
            book["rentalFee"],
            book["currency"].as_str().unwrap_or_default()
        ));
        let asked = Instant::now();
        let rental = self.ask(Method::POST, "/ebook/rents", &self.member, Some(json!({ "bookId": number }))).await?;
        let id = rental["id"].as_str().context("a rental without an id")?.to_owned();
        let took = asked.elapsed().as_millis();
        tell(&format!(
            "  member 1 asks for it; answered after {took} ms: {} ({id})",
            rental["stage"].as_str().unwrap_or_default()
        ));
        self.settled(&id, "paid").await?;
        Ok((number, id))
    }

    /// Somebody with a role.
    fn who(&self, role: &str) -> anyhow::Result<String> {
        token(&self.addresses, role, role)
    }

    /// Makes something, and gives back its number or its id.
    async fn make(&self, path: &str, token: &str, body: Value) -> anyhow::Result<String> {
        let made = self.ask(Method::POST, path, token, Some(body)).await?;
        let named = ["id", "movieId", "stylistId"].iter().find_map(|name| made.get(*name).filter(|id| !id.is_null()));
        let named = named.with_context(|| format!("{path}: nothing was made: {made}"))?;
        Ok(named.as_str().map_or_else(|| named.to_string(), str::to_owned))
    }

    async fn resort(&self) -> anyhow::Result<()> {
        tell("\nA resort, confirmed at once and paid afterwards:");
        let resort = json!({
            "resortName": "Jeju", "resortType": "Hotel", "resortPrice": 100_000, "resortPeriod": "7/23~25",
        });
        let resort = self.make("/resort/resorts", &self.librarian, resort).await?;
        let asked = json!({ "resortId": resort, "memberName": "MK" });
        let id = self.make("/resort/reservations", &self.member, asked).await?;
        self.settled(&id, "confirmed").await?;
        tell("  the customer pays");
        let paid = json!({ "reservStatus": "Paid" });
        self.ask(Method::PATCH, &format!("/resort/payments/{id}"), &self.member, Some(paid)).await?;
        self.settled(&id, "issued").await?;
        let voucher = format!("/resort/vouchers/{id}");
        self.ask(Method::PATCH, &voucher, &self.who("sender")?, Some(json!({ "voucherStatus": "Send" }))).await?;
        let shown = self.ask(Method::GET, &voucher, &self.member, None).await?;
        let code = shown["voucherCode"].as_str().map_or(0, str::len);
        tell(&format!("  the voucher is sent: a code of {code} characters"));
        tell("  the customer changes their mind");
        let cancelled = json!({ "resortStatus": "Cancelled" });
        self.ask(Method::PATCH, &format!("/resort/reservations/{id}"), &self.member, Some(cancelled)).await?;
        self.settled(&id, "undone").await?;
        let shown = self.ask(Method::GET, &format!("/resort/myPages/{id}"), &self.member, None).await?;
        tell(&format!(
            "  their page says: {}, payment {}, voucher {}",
            shown["resortStatus"], shown["reservStatus"], shown["voucherStatus"]
        ));
        Ok(())
    }

    async fn cinema(&self) -> anyhow::Result<()> {
        tell("\nA seat at a movie, watched and reviewed:");
        let manager = self.who("manager")?;
        let movie = json!({ "desc": "Beautiful Movie~", "price": 12_000 });
        let movie = self.make("/cinema/movies", &manager, movie).await?;
        let id = self.make("/cinema/reservations", &self.member, json!({ "movieId": movie })).await?;
        self.settled(&id, "reserved").await?;
        let watched = json!({ "status": "watched" });
        self.ask(Method::PATCH, &format!("/cinema/reservations/{id}"), &manager, Some(watched)).await?;
        self.settled(&id, "watched").await?;
        let review = json!({ "movieId": movie, "content": "I laughed." });
        self.ask(Method::POST, "/cinema/reviews", &self.member, Some(review)).await?;
        tell("  the customer reviews it, which only who has been there may");
        Ok(())
    }

    async fn matching(&self) -> anyhow::Result<()> {
        tell("\nA student offers an amount, and a teacher takes the request:");
        let id = self.make("/matching/matches", &self.member, json!({ "price": 50_000 })).await?;
        self.settled(&id, "listed").await?;
        let teacher = self.who("teacher")?;
        let visit = json!({ "matchId": id, "teacher": "Smith", "visitDate": "21/01/21" });
        self.ask(Method::POST, "/matching/visits", &teacher, Some(visit)).await?;
        self.settled(&id, "assigned").await?;
        let finished = json!({ "status": "classFinished" });
        self.ask(Method::PATCH, &format!("/matching/visits/{id}"), &teacher, Some(finished)).await?;
        self.settled(&id, "visited").await
    }

    async fn salon(&self) -> anyhow::Result<()> {
        tell("\nAn appointment, which the shop confirms with a stylist:");
        let manager = self.who("manager")?;
        let stylist = self.make("/salon/hrSystems", &manager, json!({ "stylistName": "Kim" })).await?;
        let asked = json!({ "userName": "Lee", "time": "10:00" });
        let id = self.make("/salon/reservationSystems", &self.member, asked).await?;
        self.settled(&id, "offered").await?;
        let path = format!("/salon/hairShopManagementSystems/{id}");
        self.ask(Method::PATCH, &path, &manager, Some(json!({ "stylist": stylist }))).await?;
        self.settled(&id, "confirmed").await?;
        self.ask(Method::PATCH, &path, &manager, Some(json!({ "status": "SERVED" }))).await?;
        self.settled(&id, "served").await
    }

    async fn parcel(&self) -> anyhow::Result<()> {
        tell("\nA parcel, and the points for it:");
        let id = self.make("/parcel/requests", &self.member, json!({ "qty": 5 })).await?;
        self.settled(&id, "paid").await?;
        let finished = json!({ "courierName": "Lee", "location": "Seoul City", "status": "Finish" });
        self.ask(Method::PUT, &format!("/parcel/deliveries/{id}"), &self.who("courier")?, Some(finished)).await?;
        self.settled(&id, "delivered").await?;
        let until = Instant::now() + SETTLES_WITHIN;
        loop {
            let points = self.ask(Method::GET, "/parcel/points", &self.member, None).await?;
            if let Some(points) = points["points"][0]["point"].as_i64() {
                tell(&format!("  member 1 has {points} points"));
                return Ok(());
            }
            ensure!(Instant::now() < until, "no points after {SETTLES_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn librarian_decides(&self, what: &str, book: i64) -> anyhow::Result<()> {
        tell(&format!("  the librarian decides: {what}"));
        self.ask(Method::PATCH, &format!("/ebook/books/{what}/{book}"), &self.librarian, None).await?;
        Ok(())
    }

    /// Waits until the board shows a stage.
    async fn settled(&self, rental: &str, stage: &str) -> anyhow::Result<()> {
        let until = Instant::now() + SETTLES_WITHIN;
        loop {
            let booking = self.ask(Method::GET, &format!("/bookings/{rental}"), &self.member, None).await?;
            if booking["stage"] == stage {
                tell(&format!("  the board says: {stage}"));
                return Ok(());
            }
            ensure!(Instant::now() < until, "the rental is still {} after {SETTLES_WITHIN:?}", booking["stage"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn timeline(&self, rental: &str) -> anyhow::Result<()> {
        let booking = self.ask(Method::GET, &format!("/bookings/{rental}"), &self.member, None).await?;
        tell("  its timeline:");
        for change in booking["timeline"].as_array().into_iter().flatten() {
            let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
            tell(&format!("    {}  {:<10} {}", text("at"), text("stage"), text("reason")));
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.api)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.context("the system does not answer: is `make up` running?")?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {body}");
        }
        Ok(body)
    }
}

/// A token for somebody, made by the orchestrator's own command.
///
/// # Errors
/// When the orchestrator is not built.
pub fn token(addresses: &Addresses, subject: &str, role: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program("holdfast")?);
    command.args(["token", "--subject", subject, "--role", role]).envs(addresses.environment());
    let output = command.output().context("holdfast token")?;
    ensure!(output.status.success(), "holdfast token: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[expect(clippy::print_stdout, reason = "telling is what a demo is for")]
fn tell(text: &str) {
    println!("{text}");
}
