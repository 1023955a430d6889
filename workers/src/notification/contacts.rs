//! Contacts: where customers can be reached, and in which language. Nothing else in Holdfast knows an address.

use super::words::Language;
use crate::store::Error;
use deadpool_postgres::{GenericClient, Pool};
use serde::{Deserialize, Serialize};

/// Where a customer can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Their mail address.
    #[serde(default)]
    pub mail: Option<String>,
    /// Their phone number.
    #[serde(default)]
    pub phone: Option<String>,
    /// What they read.
    #[serde(default)]
    pub language: Language,
}

pub(super) async fn find(client: &impl GenericClient, customer: &str) -> Result<Option<Contact>, Error> {
    let find = client.prepare_cached("select mail, phone, language from contacts where customer = $1").await?;
    let row = client.query_opt(&find, &[&customer]).await?;
    Ok(row.map(|row| Contact {
        mail: row.get("mail"),
        phone: row.get("phone"),
        language: Language::named(row.get("language")),
    }))
}

pub(super) async fn of(pool: &Pool, customer: &str) -> Result<Option<Contact>, Error> {
    find(&pool.get().await?, customer).await
}

pub(super) async fn keep(pool: &Pool, customer: &str, contact: &Contact) -> Result<Contact, Error> {
    let keep = "insert into contacts (customer, mail, phone, language) values ($1, $2, $3, $4) \
                on conflict (customer) do update set mail = excluded.mail, phone = excluded.phone, \
                language = excluded.language, changed_at = now()";
    let Contact { mail, phone, language } = contact;
    pool.get().await?.execute(keep, &[&customer, mail, phone, &language.as_str()]).await?;
    Ok(contact.clone())
}
