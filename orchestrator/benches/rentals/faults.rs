//! What faults leave behind, by candidate: the same four, and a rush for one book. Money is looked up in the provider's books, and
//! whether a book is free by asking for it.

use crate::candidate::{Begun, Candidate, Field};
use dev::{
    bench::{
        load::closed,
        report::{Better, Section},
    },
    simulator::books::{Charge, Status},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;

pub const COMMAND: &str = "make bench ONLY=faults";
/// Rentals for each case.
const RENTALS: usize = 5;
const RUSH: usize = 20;
/// How long somebody waits for it to come right by itself.
const PATIENCE: Duration = Duration::from_secs(45);
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub fn section() -> Section {
    Section::new(
        "What faults leave behind",
        "Five rentals for each case, looked at three quarters of a minute after the fault at the latest. Everything that is not zero is \
         somebody's loss.",
        COMMAND,
    )
}

/// Somebody rents, with faults of their own.
struct Victim {
    candidate: Candidate,
    customer: String,
    book: i64,
}

pub async fn measure(field: &Field, candidate: Candidate, section: &mut Section) -> anyhow::Result<()> {
    field.prepare(candidate).await?;
    let mut add = |figure: &str, count: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        section.add(candidate.name(), figure, "", Better::Less, count as f64);
    };
    let lost = json!({ "operation": "charge", "times": 1, "after": "drop_reply" });
    let mut double = 0;
    for victim in victims(field, candidate, "lost").await? {
        victim.meets(field, lost.clone()).await?;
        let begun = victim.begin(field).await?;
        field.until(candidate, &begun, "paid").await?;
        double += victim.charges(field).await?.len() - 1;
    }
    add("the answer to a charge is lost: charged twice", double);

    let slow = json!({ "operation": "charge", "times": 1, "delay_after_ms": [2000, 2000] });
    let (mut double, mut lost) = (0, 0);
    for victim in victims(field, candidate, "killed").await? {
        victim.meets(field, slow.clone()).await?;
        let begun = victim.begin(field).await?;
        victim.until(field, |charges| !charges.is_empty()).await?;
        field.kill_and_restart(candidate).await?;
        lost += usize::from(timeout(PATIENCE, field.until(candidate, &begun, "paid")).await.is_err());
        double += victim.charges(field).await?.len() - 1;
    }
    add("killed after a charge: charged twice", double);
    add("killed after a charge: never goes on", lost);

    let broken = json!({ "operation": "refund", "times": 5, "before": "error" });
    let (mut kept, mut lent) = (0, 0);
    for victim in victims(field, candidate, "refund").await? {
        victim.meets(field, broken.clone()).await?;
        let begun = victim.begin(field).await?;
        field.until(candidate, &begun, "paid").await?;
        field.act(candidate, &begun, "reject").await?;
        kept += usize::from(!victim.is_refunded(field).await?);
        lent += usize::from(!victim.is_free(field).await);
    }
    add("a refund fails five times: money kept", kept);
    add("a refund fails five times: book stays lent", lent);

    let (mut kept, mut lent) = (0, 0);
    for victim in victims(field, candidate, "terminated").await? {
        let begun = victim.begin(field).await?;
        field.until(candidate, &begun, "paid").await?;
        field.terminate(candidate, &begun).await?;
        // It is given back, or goes on as if nothing had been.
        let finished = async { field.finish(candidate, &begun).await.is_ok() };
        if victim.is_refunded(field).await? {
            lent += usize::from(!victim.is_free(field).await);
        } else if !timeout(PATIENCE, finished).await.unwrap_or(false) {
            kept += 1;
            lent += usize::from(!victim.is_free(field).await);
        }
    }
    add("terminated while it waits: money kept", kept);
    add("terminated while it waits: book stays lent", lent);

    let book = field.books(candidate, 1).await?[0];
    let begun = closed(RUSH, vec![book; RUSH], async |book| field.begin(candidate, book).await).await;
    let accepted = begun.iter().filter(|(_, begun)| begun.is_ok()).count();
    add("twenty ask for one book at once: sold too often", accepted.saturating_sub(1));
    Ok(())
}

async fn victims(field: &Field, candidate: Candidate, case: &str) -> anyhow::Result<Vec<Victim>> {
    let books = field.books(candidate, RENTALS).await?.into_iter().enumerate();
    let customer = |number: usize| format!("{candidate:?}-{case}-{number}").to_lowercase();
    Ok(books.map(|(number, book)| Victim { candidate, customer: customer(number), book }).collect())
}

impl Victim {
    async fn meets(&self, field: &Field, mut fault: Value) -> anyhow::Result<()> {
        fault["customer"] = json!(self.customer);
        field.http.put(format!("{}/faults", field.simulator())).json(&fault).send().await?.error_for_status()?;
        Ok(())
    }

    async fn begin(&self, field: &Field) -> anyhow::Result<Begun> {
        field.begin_for(self.candidate, self.book, &self.customer, None).await
    }

    /// What the provider took of them.
    async fn charges(&self, field: &Field) -> anyhow::Result<Vec<Charge>> {
        let books: Vec<Charge> = field.http.get(format!("{}/books", field.simulator())).send().await?.json().await?;
        let took = |charge: &Charge| charge.customer == self.customer && charge.reference.is_some();
        Ok(books.into_iter().filter(took).collect())
    }

    /// Waits for something in the provider's books. `false`: in vain.
    async fn until(&self, field: &Field, wished: impl Fn(&[Charge]) -> bool) -> anyhow::Result<bool> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if wished(&self.charges(field).await?) {
                return Ok(true);
            }
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
        Ok(false)
    }

    async fn is_refunded(&self, field: &Field) -> anyhow::Result<bool> {
        self.until(field, |charges| charges.iter().all(|charge| charge.status == Status::Refunded)).await
    }

    /// Can somebody else have it?
    async fn is_free(&self, field: &Field) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if field.begin(self.candidate, self.book).await.is_ok() {
                return true;
            }
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
        false
    }
}
