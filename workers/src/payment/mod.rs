//! Payment worker: the only code that talks to a payment provider.
//!
//! Promises at most one capture and one refund per booking, across retries, restarts and lost answers, and a ledger that
//! agrees with the provider's books. Does not know why a booking is charged.

mod activities;
pub mod chosen;
mod compare;
pub mod events;
pub mod guarded;
mod http;
mod ledger;
pub mod provider;
mod simulator;
pub mod stripe;
pub mod switch;
mod timed;

pub use guarded::Guarded;
pub use ledger::{Ledger, Posting};
pub use simulator::Simulator;
pub use stripe::Stripe;
pub use timed::Timed;

use crate::{
    GRACE, Setup, host,
    metrics::{CHARGES, DIFFERENCE, DISAGREEMENTS},
};
use activities::Activities;
use chosen::Chosen;
use futures::future::Either;
use ledger::{Ended, Opened, Standing, Undoing};
use process::breaker::Breaker;
use provider::{Cancelled, Captured, Charged, Order, Provider, Refunded};
use secrecy::SecretString;
use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
};
use temporalio_sdk::WorkerOptions;
use workflows::{
    booking::BookingId,
    contracts::{
        ByHand, Due, Settled,
        payment::{self, ChargeAnswer, ChargeRequest},
    },
};

mod embedded {
    refinery::embed_migrations!("src/payment/migrations");
}

/// What the payment worker reads from its environment.
pub struct Settings {
    /// `HOLDFAST_PAYMENT_DATABASE_URL`.
    pub database: SecretString,
    /// `HOLDFAST_PAYMENT_ADMIN`: where health and metrics are served.
    pub admin: SocketAddr,
    /// `HOLDFAST_PAYMENT_PROVIDER`: who takes the money.
    pub provider: chosen::Settings,
    /// When the provider is left alone, and how often it may be asked.
    pub guard: guarded::Settings,
    /// `HOLDFAST_PAYMENT_HTTP`: where the gateway reaches the worker.
    pub http: SocketAddr,
    /// `HOLDFAST_SERVICE_SECRET`: what the gateway shows there.
    pub service_secret: SecretString,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{database, or, secret};
        Ok(Self {
            database: database("HOLDFAST_PAYMENT_DATABASE_URL")?,
            admin: or("HOLDFAST_PAYMENT_ADMIN", "address:port", SocketAddr::from(([127, 0, 0, 1], 8192)))?,
            provider: chosen::Settings::read()?,
            guard: guarded::Settings::read()?,
            http: or("HOLDFAST_PAYMENT_HTTP", "address:port", SocketAddr::from(([127, 0, 0, 1], 8184)))?,
            service_secret: secret("HOLDFAST_SERVICE_SECRET", "at least 16 random characters", 16)?,
        })
    }
}

/// Brings the schema up to date.
///
/// # Errors
/// When the database stays away, or a migration fails.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    process::postgres::migrate(&settings.database, &embedded::migrations::runner()).await
}

/// Runs the worker until it is told to stop.
///
/// # Errors
/// When it cannot start, or Temporal refuses it for good.
pub async fn run(settings: Settings, setup: &Setup) -> anyhow::Result<()> {
    migrate(&settings).await?;
    let pool = process::postgres::pool(&settings.database)?;
    let ledger = Ledger::new(pool.clone());
    let breaker = Arc::new(Breaker::new(guarded::PART, settings.guard.breaker));
    let provider = Timed(Chosen::new(&settings.provider)?);
    let provider = Guarded::new(provider, breaker.clone(), settings.guard.calls_per_second_max);
    let listener = process::admin::bind(settings.http).await?;
    let shown = http::Shown { pool: pool.clone(), ledger: ledger.clone(), breaker: breaker.clone() };
    let http = crate::http::serve(listener, settings.service_secret, setup.stop.clone(), http::routes(shown));
    // There from the start, so that a first one is seen to be one more.
    LazyLock::force(&DISAGREEMENTS);
    let books = ledger.clone();
    let desk = Arc::new(Desk { ledger, provider });
    let calls = match settings.provider {
        chosen::Settings::Stripe { events: Some((at, secret)), .. } => {
            let listener = process::admin::bind(at).await?;
            Either::Left(events::hear(listener, secret, desk.clone(), pool.clone(), setup.stop.clone()))
        }
        _ => Either::Right(std::future::ready(())),
    };
    let options = WorkerOptions::new(payment::QUEUE)
        .register_activities(Activities::new(desk, settings.guard.calls_per_second_max))
        .graceful_shutdown_period(GRACE)
        .build();
    tokio::try_join!(
        host(setup, options, settings.admin),
        async {
            process::levels::measure("charges", setup.stop.clone(), || show(&books)).await;
            Ok(())
        },
        async {
            http.await;
            Ok(())
        },
        async {
            calls.await;
            Ok(())
        },
        async {
            switch::obey(pool, breaker, setup.stop.clone()).await;
            Ok(())
        },
    )?;
    Ok(())
}

async fn show(ledger: &Ledger) -> Result<(), crate::store::Error> {
    let levels = ledger.levels().await?;
    CHARGES.reset();
    DIFFERENCE.reset();
    for state in ["intended", "captured", "refunding"] {
        CHARGES.with_label_values(&[state]).set(0);
    }
    DIFFERENCE.with_label_values(&["KRW"]).set(0);
    for level in levels {
        CHARGES.with_label_values(&[&level.state]).add(level.charges);
        DIFFERENCE.with_label_values(&[&level.currency]).add(level.difference_minor);
    }
    Ok(())
}

/// Not known yet: ask again.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The ledger did not answer.
    #[error("the ledger does not answer")]
    Ledger(#[from] crate::store::Error),
    /// The provider did not answer, or not clearly.
    #[error("the provider's answer is not known")]
    Provider(#[from] provider::Error),
    /// Something is on its way at the provider that cannot be stopped, so it is looked up again until none can come any
    /// more.
    #[error("what was sent to the provider may still take effect")]
    Settling,
}

/// Where charges and refunds are made: a ledger and a provider.
pub struct Desk<P> {
    /// Our books.
    pub ledger: Ledger,
    /// Theirs.
    pub provider: P,
}

impl<P: Provider> Desk<P> {
    /// Keeps the contract [`payment::Charge`].
    ///
    /// # Errors
    /// [`Unknown`]: ask again.
    pub async fn charge(&self, request: &ChargeRequest) -> Result<ChargeAnswer, Unknown> {
        if request.amount.is_zero() {
            // Nothing to take, so nothing to give back: the provider never hears of it.
            return Ok(ChargeAnswer::Captured);
        }
        if let Err(later) = self.provider.admit() {
            // Whoever asks again for what is known hears it, also while the provider is away.
            return self.ledger.answered(request.booking).await?.ok_or_else(|| later.into());
        }
        if request.was_captured {
            return self.take_over(request).await;
        }
        let in_doubt = match self.ledger.open(request).await? {
            Opened::Answered(answer) => return Ok(answer),
            Opened::New => false,
            Opened::InDoubt => true,
        };
        let order = Order {
            key: request.booking.to_string(),
            customer: request.customer.to_string(),
            amount: request.amount,
            method: request.method.clone(),
        };
        // After a doubt the provider is asked first: it may have taken the money and lost the reply.
        let known = if in_doubt { self.provider.find(&order.key).await? } else { None };
        let charged = match known {
            // Somebody gave it back there by hand: it is not ours to count on.
            Some(captured) if captured.refunded => Charged::Declined { reason: "refunded_at_provider".to_owned() },
            Some(captured) => Charged::Captured(captured),
            None => {
                if in_doubt && let Some(answer) = self.ledger.resend(request.booking).await? {
                    return Ok(answer);
                }
                self.provider.charge(&order).await?
            }
        };
        Ok(self.ledger.settle(request.booking, charged).await?)
    }

    /// Writes down again what was captured, as the provider has it. Whether it has been given back since is another question.
    async fn take_over(&self, request: &ChargeRequest) -> Result<ChargeAnswer, Unknown> {
        if let Some(answer) = self.ledger.answered(request.booking).await? {
            return Ok(answer);
        }
        let Some(captured) = self.provider.find(&request.booking.to_string()).await? else {
            return Ok(ChargeAnswer::Declined { reason: "unknown_at_provider".to_owned() });
        };
        self.ledger.open(request).await?;
        Ok(self.ledger.settle(request.booking, Charged::Captured(captured)).await?)
    }

    /// Keeps the contract [`payment::Refund`].
    ///
    /// # Errors
    /// [`Unknown`]: ask again.
    pub async fn refund(&self, due: &Due) -> Result<Settled, Unknown> {
        let booking = due.booking;
        // From here on no attempt at charging begins. One that is on its way is refused by the provider, or found there.
        let standing = match self.ledger.begin_refund(booking).await? {
            Undoing::Over(ended) => return Ok(over(ended, due.by_hand.as_ref())),
            Undoing::Open(standing) => standing,
        };
        let key = booking.to_string();
        let captured = match standing {
            // The provider may have refunded and lost its reply, or somebody did it there by hand.
            Standing::Captured { captured, in_doubt } if in_doubt || due.by_hand.is_some() => {
                self.provider.find(&key).await?.unwrap_or(captured)
            }
            Standing::Captured { captured, .. } => captured,
            Standing::InDoubt { sent_at } => {
                let captured = match self.provider.cancel(&key).await? {
                    Cancelled::Refused => None,
                    Cancelled::Captured(captured) => Some(captured),
                    Cancelled::Unsupported { settle_window } => match self.provider.find(&key).await? {
                        None if chrono::Utc::now() < sent_at + settle_window => return Err(Unknown::Settling),
                        known => known,
                    },
                };
                match captured {
                    Some(captured) => self.ledger.record_capture(booking, captured).await?,
                    None => return Ok(self.ledger.void(booking).await?),
                }
            }
        };
        if captured.refunded {
            let reference = match &due.by_hand {
                Some(ByHand::Resolved { reference }) => Some(reference.as_str()),
                Some(ByHand::WrittenOff { .. }) | None => None,
            };
            let ended = self.ledger.record_refund(booking, reference).await?;
            return Ok(over(ended, due.by_hand.as_ref()));
        }
        match &due.by_hand {
            Some(ByHand::Resolved { .. }) => Ok(refused("not_refunded_at_provider")),
            Some(ByHand::WrittenOff { amount }) if *amount != captured.amount => Ok(refused("amount_differs")),
            // A refund whose answer was lost may still take effect: to give the money up beside it would be to lie.
            Some(ByHand::WrittenOff { .. }) => match self.ledger.write_off(booking).await? {
                Some(ended) => Ok(over(ended, due.by_hand.as_ref())),
                None => Err(Unknown::Settling),
            },
            None => self.give_back(booking, &key, &captured).await,
        }
    }

    /// Looks up what has become of a charge or a refund that is under way, and writes it down. Whoever asks for it next hears it.
    ///
    /// # Errors
    /// [`Unknown`]: look again.
    pub async fn look_again(&self, booking: BookingId) -> Result<(), Unknown> {
        // First ours, which costs nobody else anything: most calls say what is known.
        let Some(state) = self.ledger.state(booking).await? else { return Ok(()) };
        if state == "captured" {
            return Ok(());
        }
        let Some(captured) = self.provider.find(&booking.to_string()).await? else { return Ok(()) };
        match (state.as_str(), captured.refunded) {
            ("intended", false) => {
                self.ledger.settle(booking, Charged::Captured(captured)).await?;
            }
            ("refunding", true) => {
                self.ledger.record_capture(booking, captured).await?;
                self.ledger.record_refund(booking, None).await?;
            }
            // They have the money, and our books say that they do not: a refund that failed later, for one.
            ("refunded" | "voided" | "declined", false) => {
                DISAGREEMENTS.inc();
                tracing::error!(%booking, state, "the provider has money that our books do not know of");
            }
            // Known already, or under way.
            _ => {}
        }
        Ok(())
    }

    async fn give_back(&self, booking: BookingId, key: &str, captured: &Captured) -> Result<Settled, Unknown> {
        if !self.ledger.send_refund(booking).await? {
            // Another attempt has come to an end meanwhile: what is asked next hears of it.
            return Err(Unknown::Settling);
        }
        match self.provider.refund(key, captured).await? {
            Refunded::Done => Ok(over(self.ledger.record_refund(booking, None).await?, None)),
            Refunded::Refused { reason } => {
                self.ledger.refund_refused(booking).await?;
                Ok(Settled::Refused { reason })
            }
        }
    }
}

/// The answer about a charge that is closed.
fn over(ended: Ended, by_hand: Option<&ByHand>) -> Settled {
    match (ended, by_hand) {
        // It went back after all: who gave it up must hear that, and what is asked next finds it done.
        (Ended::Refunded, Some(ByHand::WrittenOff { .. })) => refused("refunded_meanwhile"),
        (Ended::Refunded, _) => Settled::Done,
        (Ended::WrittenOff, _) => Settled::GivenUp,
        (Ended::Empty, _) => Settled::Nothing,
    }
}

fn refused(reason: &str) -> Settled {
    Settled::Refused { reason: reason.to_owned() }
}
