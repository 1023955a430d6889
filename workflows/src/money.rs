//! Money: an integer of minor units and its currency. Never a float, never a bare number.

use iso_currency::Currency;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest amount one booking may move, in minor units. A typing error must not become a charge.
pub const AMOUNT_MAX_MINOR: i64 = 100_000_000_000;

/// An amount that is not negative, in minor units of an ISO 4217 currency (won have none: 3000 is 3,000 won; dollars
/// have two digits: 3000 is 30.00 dollars).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Unchecked")]
pub struct Money {
    #[schemars(range(min = 0))]
    amount_minor: i64,
    /// ISO 4217 code, such as KRW.
    #[schemars(with = "String", regex(pattern = "^[A-Z]{3}$"))]
    currency: Currency,
}

#[derive(Deserialize, JsonSchema)]
struct Unchecked {
    #[schemars(range(min = 0))]
    amount_minor: i64,
    /// ISO 4217 code, such as KRW.
    #[schemars(with = "String", regex(pattern = "^[A-Z]{3}$"))]
    currency: Currency,
}

/// Why a number is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Below zero: nothing here pays a customer for booking.
    #[error("an amount must not be negative")]
    Negative,
    /// Above [`AMOUNT_MAX_MINOR`].
    #[error("an amount must be at most {AMOUNT_MAX_MINOR} minor units")]
    TooLarge,
}

impl Money {
    /// Checks an amount in minor units.
    ///
    /// # Errors
    /// [`Error`] when the amount is negative or above [`AMOUNT_MAX_MINOR`].
    pub const fn new(amount_minor: i64, currency: Currency) -> Result<Self, Error> {
        if amount_minor < 0 {
            Err(Error::Negative)
        } else if amount_minor > AMOUNT_MAX_MINOR {
            Err(Error::TooLarge)
        } else {
            Ok(Self { amount_minor, currency })
        }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { amount_minor: 0, currency }
    }

    /// The amount in minor units.
    #[must_use]
    pub const fn amount_minor(self) -> i64 {
        self.amount_minor
    }

    /// The currency of the amount.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Nothing to pay?
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.amount_minor == 0
    }
}

impl TryFrom<Unchecked> for Money {
    type Error = Error;

    fn try_from(unchecked: Unchecked) -> Result<Self, Error> {
        Self::new(unchecked.amount_minor, unchecked.currency)
    }
}

/// As people write it: `3000 KRW`, `30.00 USD`.
impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = u32::from(self.currency.exponent().unwrap_or(0));
        let unit = 10_i64.pow(digits);
        let (whole, part) = (self.amount_minor / unit, self.amount_minor % unit);
        if digits == 0 {
            write!(out, "{whole} {}", self.currency.code())
        } else {
            write!(out, "{whole}.{part:0width$} {}", self.currency.code(), width = digits as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_with_the_digits_of_its_currency() {
        let shown = |amount, currency| Money::new(amount, currency).unwrap().to_string();

        assert_eq!(shown(3000, Currency::KRW), "3000 KRW");
        assert_eq!(shown(3005, Currency::USD), "30.05 USD");
        assert_eq!(shown(0, Currency::USD), "0.00 USD");
    }

    #[test]
    fn an_amount_below_zero_or_above_the_limit_is_refused_also_when_read_from_json() {
        assert_eq!(Money::new(-1, Currency::KRW), Err(Error::Negative));
        assert_eq!(Money::new(AMOUNT_MAX_MINOR + 1, Currency::KRW), Err(Error::TooLarge));
        assert!(serde_json::from_str::<Money>(r#"{"amount_minor":-5,"currency":"KRW"}"#).is_err());
    }
}
