//! What the workers count. Each answers a question; `grafana/README.md` says which panel asks it.

use process::metrics::{QUICK, counter, gauge, seconds};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};
use std::sync::LazyLock;

/// How fast, and how clearly, does the payment provider answer?
pub static PROVIDER: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time a call to the payment provider took, by operation and outcome.";
    seconds("holdfast_provider_seconds", help, QUICK, &["operation", "outcome"])
});

/// How many holds were granted, and how many refused?
pub static HOLDS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("holdfast_holds_total", "Answers to requests for a hold.", &["system", "answer"]));

/// How much is held now?
pub static HOLDS_LIVE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Units that are held now: held until somebody decides, confirmed when they have.";
    gauge("holdfast_holds_live", help, &["system", "state"])
});

/// How many charges are open?
pub static CHARGES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Charges whose money may still have to go back, by what is known of them.";
    gauge("holdfast_charges_open", help, &["state"])
});

/// Is any money not where it should be?
pub static DIFFERENCE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "What open charges and their postings differ by, in minor units. Anything but 0 is a mistake.";
    gauge("holdfast_ledger_difference_minor", help, &["currency"])
});

/// Does the provider have money that we do not know of?
pub static DISAGREEMENTS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Times the provider turned out to have money that our books say it has not, such as after a refund that failed later.";
    counter("holdfast_provider_disagreements_total", help, &[]).with_label_values::<&str>(&[])
});

/// How many messages were sent, and how many not?
pub static MESSAGES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Attempts at messages to customers, by channel and outcome.";
    counter("holdfast_messages_total", help, &["system", "stage", "channel", "outcome"])
});

/// How many loyalty points were given?
pub static POINTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("holdfast_points_total", "Loyalty points given to customers.", &["system"]));
