//! Our ledger against the provider's books, page by page: a page of ours is looked up there, and a page of theirs here. Nothing is
//! changed: what differs is somebody's money, and what has to be done about it is done by people.

use super::Reconciler;
use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::json;
use workflows::contracts::{
    Contract as _,
    payment::{self, Compare, ComparePage, ComparedPage, Discrepancy, Whose},
};

/// How often a page is asked for.
const ATTEMPTS: u32 = 10;

impl<S: Fn(&str)> Reconciler<'_, S> {
    /// Compares what was settled, or taken, since a time. How many charges of ours were compared, and how many differ.
    pub(super) async fn compare_money(&self, since: DateTime<Utc>) -> anyhow::Result<(usize, usize)> {
        let (mut charges, mut found) = (0, Vec::<Discrepancy>::new());
        for whose in [Whose::Ours, Whose::Theirs] {
            let (mut after, mut compared) = (None, 0);
            loop {
                let page = ComparePage { whose, since, after };
                let page: ComparedPage = self
                    .answered(payment::QUEUE, Compare::NAME, json!(page), ATTEMPTS)
                    .await
                    .context("the ledger and the provider's books")?;
                compared += page.compared;
                // Most are seen from both sides.
                found.extend(page.differences.into_iter().filter(|one| !found.contains(one)).collect::<Vec<_>>());
                let books = if whose == Whose::Ours { "our ledger" } else { "the provider's books" };
                (self.say)(&format!("{compared} charges of {books} compared ..."));
                after = page.after;
                if after.is_none() {
                    break;
                }
            }
            if whose == Whose::Ours {
                charges = usize::try_from(compared)?;
            }
        }
        for difference in &found {
            (self.say)(&told(difference));
        }
        Ok((charges, found.len()))
    }
}

fn told(Discrepancy { key, reference, cause, ours, theirs }: &Discrepancy) -> String {
    let amount =
        |money: &Option<workflows::money::Money>| money.map_or_else(|| "nothing".to_owned(), |money| money.to_string());
    format!(
        "{key}  payment: {} ({}): we have {}, the provider has {}. To do: {}",
        cause.as_str(),
        reference.as_deref().unwrap_or("no number there"),
        amount(ours),
        amount(theirs),
        cause.what_to_do()
    )
}
