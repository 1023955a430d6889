//! Resort: a room for some days, confirmed at once, paid by the customer afterwards, used with a voucher.
//!
//! | step                  | undo         | turns back when                                   |
//! |-----------------------|--------------|---------------------------------------------------|
//! | hold it for the days  | release it   | somebody else has it on one of them               |
//! | (confirmed)           | -            | cancelled, or not paid within the limit           |
//! | charge the price      | refund       | the card is declined                              |
//! | issue the voucher     | disable it   | -                                                 |
//! | (voucher issued)      | -            | cancelled, or not sent before the days begin      |
//! | send the voucher      | -            | -                                                 |
//! | (voucher sent)        | -            | cancelled before the days are over                |
//! | (stayed)              | never undone | from here on we only move forward                 |
//! | release               | -            | -                                                 |
//!
//! A request is *accepted* when it is held, which is when it is confirmed. On the way back the voucher is disabled first,
//! then the money goes back, then the days become free: whoever has a good voucher has also paid.
//!
//! The way from request to stayed costs Temporal 47 events, beside those of workflow tasks and of deadlines.

#![expect(
    missing_docs,
    reason = "the SDK's macro makes constants beside the messages; what is written here is documented"
)]

use crate::{
    booking::{Ending, Party, Period, Subject},
    booking_messages,
    contracts::{
        Contract as _, Due, catalog,
        fulfilment::{self, IssueRequest},
        payment,
    },
    saga::{
        self, Booking, Deadline, Forward, Progress, Refusal, Request, Saga, Said, Say, Stage as _, Stop, Turn,
        Undoable, stage,
    },
    stages,
};
use serde::{Deserialize, Serialize};
use temporalio_macros::workflow;
use temporalio_workflow::{WorkflowContext, WorkflowContextView, WorkflowResult};

stages! {
    /// Where a reservation is, beside the kit's own stages.
    pub enum Stage {
        /// The days are the customer's, who has to pay.
        Confirmed = "confirmed",
        /// The price is taken.
        Paid = "paid",
        /// The voucher is good; the sender has to send it.
        Issued = "issued",
        /// The customer has the voucher.
        Sent = "sent",
        /// The days are over.
        Stayed = "stayed",
    }
}

const WORKFLOW: &str = "resort.reservation";
/// The reason of a reservation that was not paid in time.
pub const UNPAID: &str = "not_paid_in_time";
/// The reason of a reservation whose voucher was not sent in time.
pub const UNSENT: &str = "voucher_not_sent_in_time";

/// A customer's word that they pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The customer.
    pub by: Subject,
    /// The provider's token for the card to charge; the one of the request when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// The state of one reservation of a resort.
#[workflow]
pub struct Resort {
    request: Request,
    progress: Progress,
    payment: Option<Payment>,
    sent_by: Option<Subject>,
}

impl Booking for Resort {
    const SYSTEM: &'static str = "resort";
    const WORKFLOW: &'static str = WORKFLOW;
    const NOUN: &'static str = "Reservation";
    const STAGES: &'static [&'static str] = Stage::NAMES;
    const ACCEPTED: &'static str = stage::HELD;
    const UNDOABLE_STEPS: &'static [Undoable<Self>] = &[
        Undoable::of::<catalog::Hold, catalog::Release>(),
        Undoable::of::<payment::Charge, payment::Refund>(),
        Undoable::of::<fulfilment::Issue, fulfilment::Disable>(),
    ];
    const ASKED_STEPS: &'static [&'static str] = &[fulfilment::Send::NAME];
    const FORWARD_STEPS: &'static [&'static str] = &[catalog::Release::NAME];
    const ANNOUNCED: &'static [&'static str] =
        &[Stage::Confirmed.as_str(), Stage::Paid.as_str(), Stage::Sent.as_str(), stage::UNDONE];
    const TURNS: &'static [Turn] = &[
        Turn {
            stage: Stage::Confirmed.as_str(),
            party: Party::Customer,
            says: &[Say { is_sure: false, ..Say::plain("pay", "pay") }],
        },
        Turn {
            stage: Stage::Issued.as_str(),
            party: Party::Sender,
            says: &[Say { is_sure: false, ..Say::plain("send", "send") }],
        },
        Turn { stage: Stage::Sent.as_str(), party: Party::Administrator, says: &[Say::plain("stayed", "complete")] },
    ];

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }
}

impl Resort {
    async fn reserve(saga: &mut Saga<Self>, request: Request) -> Result<(), Stop> {
        let opening = &request.opening;
        let (limits, period) = (&opening.limits, opening.period);
        let resort = saga.hold(request.hold(opening.item.clone())).await?;
        // Who has not paid when the days begin does not come.
        let in_time = period.map(Period::from).map(|begins| Deadline::Before(limits.payment, begins));
        let in_time = in_time.unwrap_or(Deadline::Within(limits.payment));
        saga.reach(Stage::Confirmed.waiting_for(Party::Customer, in_time)).await;

        let Some(payment) = saga.wait(|resort| resort.payment.clone()).await? else {
            return Err(Stop::because(UNPAID));
        };
        let method = payment.method.or_else(|| request.method.clone());
        saga.charge(Request { method, ..request.clone() }.charge(resort.price)).await?;
        saga.reach(Stage::Paid).await;

        let issue = IssueRequest { booking: opening.booking, customer: opening.customer.clone() };
        saga.step(fulfilment::Issue, issue, fulfilment::Disable).await?;
        saga.reach(Stage::Issued.waiting_for(Party::Sender, opening.until_it_begins(limits.decision))).await;

        let Some(_sender) = saga.wait(|resort| resort.sent_by.clone()).await? else {
            return Err(Stop::because(UNSENT));
        };
        saga.ask(fulfilment::Send, Due::of(opening.booking)).await?;
        saga.reach(Stage::Sent.waiting_for(Party::Administrator, opening.until_it_is_over(limits.service))).await;
        saga.wait_until_given().await
    }

    async fn leave(stayed: &mut Forward<'_, Self>) {
        // Shown first: from now on a recovery carries it on.
        stayed.reach(Stage::Stayed).await;
        stayed.finish(catalog::Release).await;
        stayed.complete().await;
    }

    fn may_pay(&self, payment: &Payment) -> Result<(), Refusal> {
        if payment.by != *self.progress.customer() {
            return Err(self.progress.refuse("forbidden"));
        }
        // Paid already: the first payment counts, and to say it again is harmless.
        let paid = self.payment.is_some() && !self.progress.is_turning_back();
        if paid || self.progress.is_at(Stage::Confirmed) { Ok(()) } else { Err(self.progress.refuse_at_this_stage()) }
    }

    fn may_send(&self, said: &Said) -> Result<(), Refusal> {
        if said.by == *self.progress.customer() {
            return Err(self.progress.refuse("own_request"));
        }
        let sent = self.sent_by.is_some() && !self.progress.is_turning_back();
        if sent || self.progress.is_at(Stage::Issued) { Ok(()) } else { Err(self.progress.refuse_at_this_stage()) }
    }

    fn paid(&mut self, payment: Payment) {
        self.payment.get_or_insert(payment);
    }

    fn sent(&mut self, said: Said) {
        self.sent_by.get_or_insert(said.by);
    }

    fn may_complete(&self, said: &Said) -> Result<(), Refusal> {
        self.progress.may_complete(said, Stage::Sent)
    }

    fn completed(&mut self, said: Said) {
        self.progress.complete(said);
    }
}

booking_messages!(Resort {
    #[init]
    fn new(_: &WorkflowContextView, request: Request) -> Self {
        Self { progress: Progress::new(&request.opening), request, payment: None, sent_by: None }
    }

    /// The whole reservation.
    ///
    /// # Errors
    /// None: it ends as completed or undone, or stays open.
    #[run(name = WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Ending> {
        let request = ctx.state(|resort| resort.request.clone());
        saga::tell(ctx, async |saga| Self::reserve(saga, request).await, Self::leave).await
    }
} hears {
    /// The customer pays. The first payment counts.
    {
        name: "pay", says: Payment, may: may_pay, does: paid,
        methods: [pay, validate_pay, signal_pay]
    }
    /// The sender sends the voucher.
    {
        name: "send", says: Said, may: may_send, does: sent,
        methods: [send, validate_send, signal_send]
    }
    /// The days are over.
    {
        name: "complete", says: Said, may: may_complete, does: completed,
        methods: [complete, validate_complete, signal_complete]
    }
});
