//! Our ledger and the provider's books, charge by charge: what differs, and why.

use super::{
    Desk, Unknown,
    ledger::Booked,
    provider::{Captured, Error, Page, Provider},
};
use std::time::Duration;
use workflows::{
    booking::BookingId,
    contracts::payment::{Cause, ComparePage, ComparedPage, Discrepancy, Whose},
};

/// So many charges of ours are compared at once: each is looked up there, and an attempt at it all has seconds.
const PAGE_MAX: usize = 20;
/// The longest pause before the provider is asked again that is asked as often as it may be.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl<P: Provider> Desk<P> {
    /// Keeps the contract [`workflows::contracts::payment::Compare`].
    ///
    /// # Errors
    /// [`Unknown`]: ask again.
    pub async fn compare(&self, page: &ComparePage) -> Result<ComparedPage, Unknown> {
        match page.whose {
            Whose::Ours => self.compare_ours(page).await,
            Whose::Theirs => self.compare_theirs(page).await,
        }
    }

    async fn compare_ours(&self, page: &ComparePage) -> Result<ComparedPage, Unknown> {
        let (booked, after) = self.ledger.settled_since(page.since, page.after.as_deref(), PAGE_MAX).await?;
        let mut differences = Vec::new();
        for (booking, ours) in &booked {
            let key = booking.to_string();
            let theirs = self.find(&key).await?;
            if difference(Some(ours), theirs.as_ref()).is_some() {
                // One was read before the other, and something may have happened in between.
                let ours = self.ledger.booked(*booking).await?;
                let theirs = self.find(&key).await?;
                let cause = difference(ours.as_ref(), theirs.as_ref());
                differences.extend(cause.map(|cause| told(key, cause, ours.as_ref(), theirs.as_ref())));
            }
        }
        Ok(ComparedPage { compared: count(booked.len()), differences, after })
    }

    async fn compare_theirs(&self, page: &ComparePage) -> Result<ComparedPage, Unknown> {
        let listed = self.list(page).await?;
        let mut differences = Vec::new();
        for (key, theirs) in &listed.taken {
            let booking = key.parse().ok().map(BookingId);
            let mut ours = None;
            if let Some(booking) = booking {
                ours = self.ledger.booked(booking).await?;
            }
            let Some(mut cause) = difference(ours.as_ref(), Some(theirs)) else { continue };
            let mut seen = theirs.clone();
            // What was listed may have gone on since. A second charge is not the one that is found.
            if cause != Cause::ChargedTwice
                && let Some(booking) = booking
            {
                ours = self.ledger.booked(booking).await?;
                let Some(found) = self.find(key).await? else { continue };
                let Some(still) = difference(ours.as_ref(), Some(&found)) else { continue };
                (cause, seen) = (still, found);
            }
            differences.push(told(key.clone(), cause, ours.as_ref(), Some(&seen)));
        }
        Ok(ComparedPage { compared: count(listed.taken.len()), differences, after: listed.after })
    }

    async fn find(&self, key: &str) -> Result<Option<Captured>, Unknown> {
        patiently(|| self.provider.find(key)).await
    }

    async fn list(&self, page: &ComparePage) -> Result<Page, Unknown> {
        patiently(|| self.provider.list(page.since, page.after.as_deref())).await
    }
}

/// Asks the provider, and again when there is room, where others have asked it as often as is allowed.
async fn patiently<T, F: Future<Output = Result<T, Error>>>(ask: impl Fn() -> F) -> Result<T, Unknown> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(Error::Busy { retry_in }) => tokio::time::sleep(retry_in.min(PAUSE_MAX)).await,
            Err(error) => return Err(error.into()),
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn told(key: String, cause: Cause, ours: Option<&Booked>, theirs: Option<&Captured>) -> Discrepancy {
    Discrepancy {
        key,
        reference: theirs.map(|theirs| theirs.reference.clone()).or_else(|| ours?.reference.clone()),
        cause,
        ours: ours.map(|ours| ours.amount),
        theirs: theirs.map(|theirs| theirs.amount),
    }
}

/// What one charge differs in. What is under way is nobody's mistake.
fn difference(ours: Option<&Booked>, theirs: Option<&Captured>) -> Option<Cause> {
    let Some(ours) = ours else { return theirs.filter(|theirs| !theirs.refunded).map(|_| Cause::UnknownToUs) };
    if matches!(ours.state.as_str(), "intended" | "refunding") {
        return None;
    }
    let Some(theirs) = theirs else {
        return matches!(ours.state.as_str(), "captured" | "written_off").then_some(Cause::UnknownAtProvider);
    };
    if ours.reference.as_ref().is_some_and(|reference| *reference != theirs.reference) {
        return (!theirs.refunded).then_some(Cause::ChargedTwice);
    }
    match (ours.state.as_str(), theirs.refunded) {
        ("declined" | "voided", false) => Some(Cause::CapturedAtProvider),
        ("captured", true) => Some(Cause::RefundedAtProvider),
        ("refunded", false) => Some(Cause::NotRefundedAtProvider),
        ("written_off", true) => Some(Cause::RefundedAfterWriteOff),
        ("captured" | "written_off", false) if ours.amount != theirs.amount => Some(Cause::AmountDiffers),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iso_currency::Currency;
    use workflows::money::Money;

    fn won(amount: i64) -> Money {
        Money::new(amount, Currency::KRW).unwrap()
    }

    fn ours(state: &str) -> Booked {
        let reference = (!matches!(state, "declined" | "voided" | "intended")).then(|| "ch_1".to_owned());
        Booked { state: state.to_owned(), amount: won(3000), reference }
    }

    fn theirs(refunded: bool) -> Captured {
        Captured { reference: "ch_1".to_owned(), amount: won(3000), refunded }
    }

    #[test]
    fn every_way_to_differ_has_its_cause_and_what_agrees_has_none() {
        let cases = [
            (None, Some(theirs(false)), Some(Cause::UnknownToUs)),
            (None, Some(theirs(true)), None),
            (Some(ours("captured")), Some(theirs(false)), None),
            (Some(ours("captured")), Some(theirs(true)), Some(Cause::RefundedAtProvider)),
            (Some(ours("captured")), None, Some(Cause::UnknownAtProvider)),
            (Some(ours("captured")), Some(Captured { amount: won(3001), ..theirs(false) }), Some(Cause::AmountDiffers)),
            (
                Some(ours("captured")),
                Some(Captured { reference: "ch_2".to_owned(), ..theirs(false) }),
                Some(Cause::ChargedTwice),
            ),
            (Some(ours("captured")), Some(Captured { reference: "ch_2".to_owned(), ..theirs(true) }), None),
            (Some(ours("refunded")), Some(theirs(true)), None),
            (Some(ours("refunded")), Some(theirs(false)), Some(Cause::NotRefundedAtProvider)),
            (Some(ours("refunded")), None, None),
            (Some(ours("declined")), None, None),
            (Some(ours("declined")), Some(theirs(false)), Some(Cause::CapturedAtProvider)),
            (Some(ours("voided")), Some(theirs(false)), Some(Cause::CapturedAtProvider)),
            (Some(ours("voided")), Some(theirs(true)), None),
            (Some(ours("written_off")), Some(theirs(false)), None),
            (Some(ours("written_off")), Some(theirs(true)), Some(Cause::RefundedAfterWriteOff)),
            (Some(ours("written_off")), None, Some(Cause::UnknownAtProvider)),
            (Some(ours("intended")), Some(theirs(false)), None),
            (Some(ours("refunding")), Some(theirs(true)), None),
        ];
        for (ours, theirs, cause) in cases {
            let state = ours.as_ref().map(|ours| ours.state.clone());
            assert_eq!(difference(ours.as_ref(), theirs.as_ref()), cause, "{state:?} {theirs:?}");
        }
    }
}
