//! Demo: two rentals, played against a running system through its HTTP entrance alone, and told as they go.

use crate::{addresses::Addresses, stack::sibling};
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
    librarian: String,
    member: String,
}

/// Plays one approved and one rejected rental.
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
    tell(&format!(
        "\nBoth are in Temporal's web UI: http://127.0.0.1:{}/namespaces/holdfast/workflows",
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
    let mut command = Command::new(sibling("holdfast")?);
    command.args(["token", "--subject", subject, "--role", role]).envs(addresses.environment());
    let output = command.output().context("holdfast token")?;
    ensure!(output.status.success(), "holdfast token: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[expect(clippy::print_stdout, reason = "telling is what a demo is for")]
fn tell(text: &str) {
    println!("{text}");
}
