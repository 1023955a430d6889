//! Levels: where the bookings are now, for whoever watches all of them.

use crate::{
    board::{Board, Error, Level},
    gateway::paid_from,
};
use chrono::{TimeDelta, Utc};
use futures::FutureExt;
use process::metrics::gauge;
use prometheus::IntGaugeVec;
use std::sync::LazyLock;
use tokio_util::sync::CancellationToken;

/// A wait with less time left than this should be looked at now.
const SOON: TimeDelta = TimeDelta::hours(1);

/// Where are they, and who has to act?
static BOOKINGS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Bookings that have not ended, by stage and by who has to act there.";
    gauge("holdfast_bookings", help, &["system", "stage", "waiting_for"])
});

/// Does anybody let others wait?
static LATE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Bookings that have waited for more than half of the time they may.";
    gauge("holdfast_waits_late", help, &["system", "waiting_for"])
});

/// What lapses next?
static DUE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Bookings whose wait ends within the hour: without an answer they are turned back, and what they hold is freed.";
    gauge("holdfast_waits_due", help, &["system", "waiting_for"])
});

/// How much money is between two people?
static MONEY: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "What customers have paid for bookings that have not ended, in minor units.";
    gauge("holdfast_money_in_flight_minor", help, &["system", "currency"])
});

/// How many cannot be undone, and where?
static STUCK: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge("holdfast_stuck", "Bookings that need an operator, by the step that cannot be undone.", &["system", "step"])
});

/// Since when?
static STUCK_OLDEST: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "For how long the oldest stuck booking has been stuck.";
    gauge("holdfast_stuck_oldest_seconds", help, &["system", "step"])
});

/// What does it cost if nobody looks?
static STUCK_MONEY: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Money that has to go back and has not, in minor units.";
    gauge("holdfast_stuck_money_minor", help, &["system", "currency"])
});

/// Keeps the levels true until told to stop.
pub async fn measure(board: Board, stop: CancellationToken) {
    process::levels::measure("bookings", stop, || look(&board).boxed()).await;
}

async fn look(board: &Board) -> Result<(), Error> {
    show(&board.levels(&paid_from(), Utc::now() + SOON).await?);
    Ok(())
}

fn show(levels: &[Level]) {
    for gauges in [&BOOKINGS, &LATE, &DUE, &MONEY, &STUCK, &STUCK_OLDEST, &STUCK_MONEY] {
        // What is no more is not shown as it was.
        gauges.reset();
    }
    for (system, _) in paid_from() {
        // Nothing is a number too.
        BOOKINGS.with_label_values(&[system, "requested", "nobody"]).set(0);
        LATE.with_label_values(&[system, "nobody"]).set(0);
        DUE.with_label_values(&[system, "nobody"]).set(0);
        STUCK.with_label_values(&[system, "none"]).set(0);
        STUCK_OLDEST.with_label_values(&[system, "none"]).set(0);
        for money in [&MONEY, &STUCK_MONEY] {
            money.with_label_values(&[system, "KRW"]).set(0);
        }
    }
    for level in levels {
        let system = level.system.as_str();
        let party = level.waiting_for.as_deref().unwrap_or("nobody");
        BOOKINGS.with_label_values(&[system, &level.stage, party]).add(level.count);
        LATE.with_label_values(&[system, party]).add(level.late);
        DUE.with_label_values(&[system, party]).add(level.due);
        if let Some(currency) = &level.currency {
            MONEY.with_label_values(&[system, currency]).add(level.held_minor);
            STUCK_MONEY.with_label_values(&[system, currency]).add(level.at_risk_minor);
        }
        if let Some(step) = &level.step {
            STUCK.with_label_values(&[system, step]).add(level.count);
            let oldest = STUCK_OLDEST.with_label_values(&[system, step]);
            oldest.set(oldest.get().max(level.oldest_seconds));
        }
    }
}
