//! Settings: environment variables, read once at the start. A bad one stops the start, by name.

use secrecy::SecretString;
use std::{fmt::Display, str::FromStr, time::Duration};

/// Nothing waits longer, and sums of times stay within what a date can hold.
const TIME_MAX: Duration = Duration::from_hours(24 * 3653);

/// A variable that cannot be used. Never shows the value: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no default for it.
    #[error("{name} is not set: expected {expected}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// It holds something else.
    #[error("{name} cannot be used ({why}): expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What the parser said.
        why: String,
    },
}

/// Reads a variable that must be set.
///
/// # Errors
/// [`Error`] when it is missing or does not parse.
pub fn required<T: FromStr<Err: Display>>(name: &'static str, expected: &'static str) -> Result<T, Error> {
    optional(name, expected)?.ok_or(Error::Missing { name, expected })
}

/// Reads a variable that has a default.
///
/// # Errors
/// [`Error::Invalid`] when it is set and does not parse.
pub fn or<T: FromStr<Err: Display>>(name: &'static str, expected: &'static str, default: T) -> Result<T, Error> {
    Ok(optional(name, expected)?.unwrap_or(default))
}

/// Reads a variable whose default is written as it would be in the environment.
///
/// # Errors
/// [`Error::Invalid`] when it does not parse.
pub fn required_or<T: FromStr<Err: Display>>(
    name: &'static str,
    expected: &'static str,
    default: &str,
) -> Result<T, Error> {
    match optional(name, expected)? {
        Some(value) => Ok(value),
        None => default.parse().map_err(|error: T::Err| Error::Invalid { name, expected, why: error.to_string() }),
    }
}

/// Reads a time in seconds, with fractions.
///
/// # Errors
/// [`Error::Invalid`] when it is set and is not a positive number.
pub fn seconds_or(name: &'static str, default: Duration) -> Result<Duration, Error> {
    let expected = "a positive number of seconds, such as 0.5 or 3600";
    let Some(seconds) = optional::<f64>(name, expected)? else { return Ok(default) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration.is_zero() => Err(Error::Invalid { name, expected, why: "it is zero".to_owned() }),
        Ok(duration) if duration > TIME_MAX => {
            Err(Error::Invalid { name, expected, why: "it is more than ten years".to_owned() })
        }
        Ok(duration) => Ok(duration),
        Err(error) => Err(Error::Invalid { name, expected, why: error.to_string() }),
    }
}

/// Reads a secret of at least `length_min` bytes.
///
/// # Errors
/// [`Error`] when it is missing or too short.
pub fn secret(name: &'static str, expected: &'static str, length_min: usize) -> Result<SecretString, Error> {
    optional_secret(name, expected, length_min)?.ok_or(Error::Missing { name, expected })
}

/// Reads a secret of at least `length_min` bytes that may be absent: from the variable, or from the file that the variable
/// with `_FILE` behind its name leads to.
///
/// # Errors
/// [`Error`] when it is too short, or its file cannot be read.
pub fn optional_secret(
    name: &'static str,
    expected: &'static str,
    length_min: usize,
) -> Result<Option<SecretString>, Error> {
    match text(name, expected)? {
        Some(secret) if secret.len() < length_min => {
            Err(Error::Invalid { name, expected, why: format!("it is shorter than {length_min} bytes") })
        }
        secret => Ok(secret.map(SecretString::from)),
    }
}

/// What a variable holds, or the file that its namesake with `_FILE` leads to.
fn text(name: &'static str, expected: &'static str) -> Result<Option<String>, Error> {
    let file: Option<String> = match std::env::var(format!("{name}_FILE")) {
        Ok(path) if !path.trim().is_empty() => Some(path),
        _ => None,
    };
    match (optional::<String>(name, expected)?, file) {
        (Some(_), Some(_)) => Err(Error::Invalid { name, expected, why: format!("{name}_FILE is set as well") }),
        (value, None) => Ok(value),
        (None, Some(path)) => match std::fs::read_to_string(path.trim()) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) => Err(Error::Invalid { name, expected, why: format!("the file of {name}_FILE: {error}") }),
        },
    }
}

/// Reads where a process has its tables.
///
/// # Errors
/// [`Error`] when it is missing or no URL of a Postgres database.
pub fn database(name: &'static str) -> Result<SecretString, Error> {
    let expected = "postgres://user:password@host/database";
    let url = text(name, expected)?.ok_or(Error::Missing { name, expected })?;
    // What the parser says may quote the password.
    let parsed = url.parse::<tokio_postgres::Config>().ok().filter(|config| !config.get_hosts().is_empty());
    parsed.ok_or_else(|| Error::Invalid { name, expected, why: "it is no database URL".to_owned() })?;
    Ok(url.into())
}

/// Reads a variable that may be absent.
///
/// # Errors
/// [`Error::Invalid`] when it is set and does not parse.
pub fn optional<T: FromStr<Err: Display>>(name: &'static str, expected: &'static str) -> Result<Option<T>, Error> {
    let invalid = |why: String| Error::Invalid { name, expected, why };
    match std::env::var(name) {
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(invalid("it is not UTF-8".to_owned())),
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => text.trim().parse().map(Some).map_err(|error: T::Err| invalid(error.to_string())),
    }
}
