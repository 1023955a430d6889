//! Turns: where a story waits for somebody, and what they may say there.
//!
//! What a saga declares here is data about what it hears: the inbox offers it, one route carries it out for many bookings at
//! once, and the fault tests bring every booking to its end by it.

use crate::booking::{Party, Subject};
use serde_json::{Map, Value, json};

/// A person's turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The stage at which they are waited for.
    pub stage: &'static str,
    /// Who.
    pub party: Party,
    /// What they may say. The first takes the story on.
    pub says: &'static [Say],
}

/// Something that may be said.
#[derive(Clone, Copy, Debug)]
pub struct Say {
    /// What it is called for people: `approve`.
    pub word: &'static str,
    /// The update, or the signal, that carries it.
    pub update: &'static str,
    /// What the message always holds, beside who says it: names and values.
    pub fixed: &'static [(&'static str, &'static str)],
    /// What the speaker has to add: names of text fields.
    pub needs: &'static [&'static str],
    /// What they may add.
    pub takes: &'static [May],
    /// Nothing that follows from it can fail before it shows on the board: so it may be said without being answered, by a signal.
    /// After any other, the board may show that the booking turned back, and not whether it was heard before.
    pub is_sure: bool,
}

/// Something that may be added to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// Text under this name.
    Text(&'static str),
    /// Under this name, the number of an item of the system's catalogue that the booking is to have.
    Item(&'static str),
}

impl May {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Item(name) => name,
        }
    }
}

/// Under which name somebody who turns a booking back says why, in their own words.
pub const BECAUSE: &str = "because";

impl Say {
    /// Something that is said by its name alone.
    #[must_use]
    pub const fn plain(word: &'static str, update: &'static str) -> Self {
        Self { word, update, fixed: &[], needs: &[], takes: &[], is_sure: true }
    }

    /// The message.
    #[must_use]
    pub fn message(&self, by: &Subject, added: &Map<String, Value>) -> Value {
        let mut message = Map::new();
        for (name, value) in self.fixed {
            message.insert((*name).to_owned(), json!(value));
        }
        for name in self.needs {
            message.insert((*name).to_owned(), added.get(*name).cloned().unwrap_or_default());
        }
        let taken = self.takes.iter().filter_map(|may| Some((may.name(), added.get(may.name())?)));
        message.extend(taken.map(|(name, value)| (name.to_owned(), value.clone())));
        message.insert("by".to_owned(), json!(by));
        Value::Object(message)
    }
}

/// Writes down what a booking hears: what its saga takes, and what every booking takes, *cancel*, *intervene* and the two
/// questions.
///
/// What a saga takes is named once, with whether it is possible (`may`) and what it changes (`does`), and can be said in two
/// ways under the same name, by the three methods that are named last. An *update* is answered, also with a refusal. A *signal*
/// is in the history as soon as it is sent, which costs the engine less than half, and is not answered: where it is not
/// possible it changes nothing.
#[macro_export]
macro_rules! booking_messages {
    ($saga:ident { $($own:tt)* } hears {
        $($(#[$about:meta])* {
            name: $name:tt, says: $said:ident, may: $may:ident, does: $does:ident,
            methods: [$update:ident, $validate:ident, $signal:ident]
        })*
    }) => {
        #[temporalio_macros::workflow_methods]
        impl $saga {
            $($own)*

            $(
                $(#[$about])*
                #[update(name = $name)]
                pub fn $update(
                    &mut self,
                    _: &mut temporalio_workflow::SyncWorkflowContext<Self>,
                    said: $said,
                ) -> $crate::saga::Heard {
                    self.$does(said);
                    self.progress.heard()
                }

                #[update_validator($update)]
                fn $validate(
                    &self,
                    _: &temporalio_workflow::WorkflowContextView,
                    said: &$said,
                ) -> Result<(), $crate::saga::turn::Refused> {
                    Ok(self.$may(said)?)
                }

                $(#[$about])*
                #[signal(name = $name)]
                pub fn $signal(&mut self, _: &mut temporalio_workflow::SyncWorkflowContext<Self>, said: $said) {
                    if self.$may(&said).is_ok() {
                        self.$does(said);
                    }
                }
            )*

            /// The customer changes their mind, before the point of no return.
            #[update(name = "cancel")]
            pub fn cancel(
                &mut self,
                _: &mut temporalio_workflow::SyncWorkflowContext<Self>,
                said: $crate::saga::Said,
            ) -> $crate::saga::Heard {
                self.progress.cancel(said);
                self.progress.heard()
            }

            #[update_validator(cancel)]
            fn validate_cancel(
                &self,
                _: &temporalio_workflow::WorkflowContextView,
                _: &$crate::saga::Said,
            ) -> Result<(), $crate::saga::turn::Refused> {
                Ok($crate::saga::Booking::may_cancel(self)?)
            }

            /// An operator does something about what the booking is stuck at.
            #[update(name = "intervene")]
            pub fn intervene(
                &mut self,
                _: &mut temporalio_workflow::SyncWorkflowContext<Self>,
                intervention: $crate::saga::Intervention,
            ) -> $crate::saga::Heard {
                self.progress.intervene(intervention)
            }

            #[update_validator(intervene)]
            fn validate_intervene(
                &self,
                _: &temporalio_workflow::WorkflowContextView,
                intervention: &$crate::saga::Intervention,
            ) -> Result<(), $crate::saga::turn::Refused> {
                self.progress.preview(&intervention.action)?;
                Ok(())
            }

            /// What an intervention would do.
            #[query(name = "foresee")]
            #[must_use]
            pub fn foresee(
                &self,
                _: &temporalio_workflow::WorkflowContextView,
                action: $crate::saga::Action,
            ) -> $crate::saga::Foresight {
                self.progress.preview(&action).into()
            }

            /// Where the booking is, also when the board is behind.
            #[query(name = "state")]
            #[must_use]
            pub fn state(&self, _: &temporalio_workflow::WorkflowContextView) -> $crate::saga::Snapshot {
                self.progress.snapshot()
            }
        }
    };
}

/// Declares the stages of a saga: an enum whose values are written on the board by name.
#[macro_export]
macro_rules! stages {
    ($(#[$about:meta])* pub enum $stages:ident { $($(#[$meaning:meta])* $stage:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $stages { $($(#[$meaning])* $stage,)* }

        impl $stages {
            /// All of them, as written on the board, in the order of a story that goes well.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// As written on the board.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$stage => $name,)* }
            }
        }

        impl $crate::saga::Stage for $stages {
            fn name(self) -> &'static str {
                self.as_str()
            }
        }
    };
}

/// What a validator answers when it refuses: its text begins with the code.
pub type Refused = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use crate::{
        cinema::Cinema, matching::Matching, parcel::Parcel, rental::Rental, resort::Resort, saga::Booking, salon::Salon,
    };
    use temporalio_workflow::workflows::WorkflowImplementation;

    fn hears_what_its_turns_offer<B: Booking + WorkflowImplementation>() {
        let heard = B::definition();
        let says: Vec<_> = B::TURNS.iter().chain(B::FORWARD_TURNS).flat_map(|turn| turn.says).collect();
        assert!(!says.is_empty(), "{} is nobody's turn", B::SYSTEM);
        for say in says {
            assert!(heard.signals.iter().any(|signal| signal == say.update), "{}: no signal {}", B::SYSTEM, say.update);
            let answers = heard.updates.iter().any(|update| update.name == say.update && update.has_validator);
            assert!(answers, "{}: no update {} that may refuse", B::SYSTEM, say.update);
        }
    }

    #[test]
    fn every_word_can_be_said_both_ways() {
        hears_what_its_turns_offer::<Rental>();
        hears_what_its_turns_offer::<Resort>();
        hears_what_its_turns_offer::<Cinema>();
        hears_what_its_turns_offer::<Matching>();
        hears_what_its_turns_offer::<Salon>();
        hears_what_its_turns_offer::<Parcel>();
    }
}
