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
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};
use tokio::time::timeout;

pub const COMMAND: &str = "make bench ONLY=faults";
/// Rentals for each case.
const RENTALS: usize = 5;
const RUSH: usize = 20;
/// How long somebody waits for it to come right by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// And for their money, while the provider refuses to give it back.
const REFUND_PATIENCE: Duration = Duration::from_mins(3);
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub fn section() -> Section {
    Section::new(
        "What faults leave behind",
        "Five rentals for each case, each looked at for half a minute after the fault, and for three where refunds fail: what comes \
         right later is not seen. Holdfast tries again at growing pauses, and leaves a provider alone that fails again and again.",
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
    let mut add = |figure: &str, count: u32| section.add(candidate.name(), figure, "", Better::Less, f64::from(count));
    let lost = json!({ "operation": "charge", "times": 1, "after": "drop_reply" });
    let victims = meet(field, candidate, "lost", Some(lost)).await?;
    let [double] = of_all(&victims, async |victim| {
        let begun = victim.begin(field).await?;
        field.until(candidate, &begun, "paid").await?;
        Ok([victim.charged_again(field).await?])
    })
    .await?;
    add("the answer to a charge is lost: charged twice", double);

    let slow = json!({ "operation": "charge", "times": 1, "delay_after_ms": [5000, 5000] });
    let victims = meet(field, candidate, "killed", Some(slow)).await?;
    let charged = victims.iter().map(async |victim| {
        let begun = victim.begin(field).await?;
        victim.until(field, PATIENCE, |charges| !charges.is_empty()).await?;
        anyhow::Ok((victim, begun))
    });
    let charged = try_join_all(charged).await?;
    field.kill_and_restart(candidate).await?;
    let [double, lost] = of_all(&charged, async |(victim, begun)| {
        let lost = timeout(PATIENCE, field.until(candidate, begun, "paid")).await.is_err();
        Ok([victim.charged_again(field).await?, u32::from(lost)])
    })
    .await?;
    add("killed after a charge: charged twice", double);
    add("killed after a charge: never goes on", lost);

    let broken = json!({ "operation": "refund", "times": 5, "before": "error" });
    let victims = meet(field, candidate, "refund", Some(broken)).await?;
    let rejected = Mutex::new(Vec::new());
    let [kept, lent] = of_all(&victims, async |victim| {
        let begun = victim.begin(field).await?;
        field.until(candidate, &begun, "paid").await?;
        field.act(candidate, &begun, "reject").await?;
        let since = Instant::now();
        let kept = !victim.is_refunded(field, REFUND_PATIENCE).await?;
        rejected.lock().expect("nobody panics with it").push(since.elapsed());
        Ok([u32::from(kept), u32::from(!victim.is_free(field).await)])
    })
    .await?;
    let waited = rejected.into_inner().expect("nobody panics with it").into_iter().max().unwrap_or_default();
    add("a refund fails five times: money kept", kept);
    add("a refund fails five times: book stays lent", lent);
    add("a refund fails five times: seconds until the last has their money", u32::try_from(waited.as_secs())?);

    let victims = meet(field, candidate, "terminated", None).await?;
    let [kept, lent] = of_all(&victims, async |victim| {
        let begun = victim.begin(field).await?;
        field.until(candidate, &begun, "paid").await?;
        field.terminate(candidate, &begun).await?;
        // It is given back, or goes on as if nothing had been.
        let is_refunded = victim.is_refunded(field, PATIENCE).await?;
        let goes_on =
            async { !is_refunded && matches!(timeout(PATIENCE, field.finish(candidate, &begun)).await, Ok(Ok(()))) };
        if goes_on.await {
            return Ok([0, 0]);
        }
        Ok([u32::from(!is_refunded), u32::from(!victim.is_free(field).await)])
    })
    .await?;
    add("terminated while it waits: money kept", kept);
    add("terminated while it waits: book stays lent", lent);

    let book = field.books(candidate, 1).await?[0];
    let begun = closed(RUSH, vec![book; RUSH], async |book| field.begin(candidate, book).await).await;
    let accepted = begun.iter().filter(|(_, begun)| begun.is_ok()).count();
    add("twenty ask for one book at once: sold too often", u32::try_from(accepted.saturating_sub(1))?);
    Ok(())
}

/// Victims of a fault, each with a book of their own.
async fn meet(field: &Field, candidate: Candidate, case: &str, fault: Option<Value>) -> anyhow::Result<Vec<Victim>> {
    let books = field.books(candidate, RENTALS).await?.into_iter().enumerate();
    let customer = |number: usize| format!("{candidate:?}-{case}-{number}").to_lowercase();
    let victims: Vec<Victim> =
        books.map(|(number, book)| Victim { candidate, customer: customer(number), book }).collect();
    for (victim, fault) in victims.iter().zip(fault.into_iter().cycle()) {
        victim.meets(field, fault).await?;
    }
    Ok(victims)
}

/// Counts something of all, at once.
async fn of_all<V, const N: usize>(
    victims: &[V],
    count: impl AsyncFn(&V) -> anyhow::Result<[u32; N]>,
) -> anyhow::Result<[u32; N]> {
    let counts = try_join_all(victims.iter().map(|victim| count(victim))).await?;
    Ok(std::array::from_fn(|at| counts.iter().map(|count| count[at]).sum()))
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

    /// How often the provider took it beside the first time.
    async fn charged_again(&self, field: &Field) -> anyhow::Result<u32> {
        Ok(u32::try_from(self.charges(field).await?.len().saturating_sub(1))?)
    }

    /// Waits for something in the provider's books. `false`: in vain.
    async fn until(
        &self,
        field: &Field,
        patience: Duration,
        wished: impl Fn(&[Charge]) -> bool,
    ) -> anyhow::Result<bool> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if wished(&self.charges(field).await?) {
                return Ok(true);
            }
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
        Ok(false)
    }

    async fn is_refunded(&self, field: &Field, patience: Duration) -> anyhow::Result<bool> {
        self.until(field, patience, |charges| charges.iter().all(|charge| charge.status == Status::Refunded)).await
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
