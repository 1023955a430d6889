//! Addresses: where each part of a stack listens, and the settings that follow from that.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::TcpListener};

/// The secrets of a stack that listens on loopback only.
const JWT_SECRET: &str = "holdfast-development-secret-0123456789";
const SERVICE_SECRET: &str = "holdfast-development-service";
pub(crate) const NAMESPACE: &str = "holdfast";

/// A port, and the variable that moves it.
struct Port {
    variable: &'static str,
    usual: u16,
}

/// Where everything is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The gateway.
    pub http: u16,
    /// The orchestrator's health and metrics.
    pub admin: u16,
    /// Where the catalog worker serves its HTTP side.
    pub catalog_http: u16,
    /// Where the gateway finds it.
    pub catalog_url_port: u16,
    /// Health and metrics of the catalog worker.
    pub catalog_admin: u16,
    /// Where the payment worker serves its HTTP side.
    pub payment_http: u16,
    /// Where the gateway finds it.
    pub payment_url_port: u16,
    /// Health and metrics of the payment worker.
    pub payment_admin: u16,
    /// Health and metrics of the notification worker.
    pub notification_admin: u16,
    /// Where the notification worker serves its HTTP side.
    pub notification_http: u16,
    /// Where the gateway finds it.
    pub notification_url_port: u16,
    /// Where the fulfilment worker serves its HTTP side.
    pub fulfilment_http: u16,
    /// Where the gateway finds it.
    pub fulfilment_url_port: u16,
    /// Health and metrics of the fulfilment worker.
    pub fulfilment_admin: u16,
    /// The payment simulator.
    pub simulator: u16,
    /// Postgres.
    pub postgres: u16,
    /// Temporal.
    pub temporal: u16,
    /// Temporal's web UI.
    pub temporal_ui: u16,
    /// Temporal's metrics.
    pub temporal_metrics: u16,
    /// Where tests ask for faults; nowhere in a stack that people use.
    pub faults: Option<u16>,
    /// Settings that are not the usual ones.
    pub also: BTreeMap<String, String>,
}

/// Tests do not wait as long as people would.
const IN_TESTS: [(&str, &str); 2] = [("HOLDFAST_RECOVERY_SWEEP_SECONDS", "5"), ("HOLDFAST_RECOVERY_AGE_SECONDS", "2")];

/// Settings, but for those that the environment has set.
#[must_use]
pub fn unless_asked_otherwise(usual: &[(&str, &str)]) -> BTreeMap<String, String> {
    let usual = usual.iter().filter(|(setting, _)| std::env::var_os(setting).is_none());
    usual.map(|(setting, value)| ((*setting).to_owned(), (*value).to_owned())).collect()
}

impl Addresses {
    /// The usual ports, each of which a variable can move.
    ///
    /// # Errors
    /// When a variable does not hold a port.
    pub fn configured() -> anyhow::Result<Self> {
        Self::chosen(Port::number)
    }

    /// The same, if nobody uses them yet. A busy one is named, with its variable.
    ///
    /// # Errors
    /// When a port is busy, or a variable does not hold one.
    pub fn configured_and_free() -> anyhow::Result<Self> {
        // Held until all are known to be free, so that no two are the same.
        let taken = std::cell::RefCell::new(Vec::new());
        Self::chosen(|port| {
            let (number, listener) = port.free()?;
            taken.borrow_mut().push(listener);
            Ok(number)
        })
    }

    fn chosen(choose: impl Fn(&Port) -> anyhow::Result<u16>) -> anyhow::Result<Self> {
        let port = |variable, usual| choose(&Port { variable, usual });
        let catalog_http = port("HOLDFAST_CATALOG_PORT", 8181)?;
        let fulfilment_http = port("HOLDFAST_FULFILMENT_PORT", 8182)?;
        let notification_http = port("HOLDFAST_NOTIFICATION_PORT", 8183)?;
        let payment_http = port("HOLDFAST_PAYMENT_PORT", 8184)?;
        Ok(Self {
            http: port("HOLDFAST_PORT", 8080)?,
            admin: port("HOLDFAST_ADMIN_PORT", 8190)?,
            catalog_http,
            catalog_url_port: catalog_http,
            catalog_admin: port("HOLDFAST_CATALOG_ADMIN_PORT", 8191)?,
            payment_http,
            payment_url_port: payment_http,
            payment_admin: port("HOLDFAST_PAYMENT_ADMIN_PORT", 8192)?,
            notification_admin: port("HOLDFAST_NOTIFICATION_ADMIN_PORT", 8193)?,
            notification_http,
            notification_url_port: notification_http,
            fulfilment_http,
            fulfilment_url_port: fulfilment_http,
            fulfilment_admin: port("HOLDFAST_FULFILMENT_ADMIN_PORT", 8194)?,
            simulator: port("HOLDFAST_SIMULATOR_PORT", 8199)?,
            postgres: port("HOLDFAST_POSTGRES_PORT", 8532)?,
            temporal: port("HOLDFAST_TEMPORAL_PORT", 7233)?,
            temporal_ui: port("HOLDFAST_TEMPORAL_UI_PORT", 8233)?,
            temporal_metrics: port("HOLDFAST_TEMPORAL_METRICS_PORT", 8234)?,
            faults: None,
            also: BTreeMap::new(),
        })
    }

    /// The same, with one setting that is not the usual one.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.also.insert(setting.to_owned(), value.to_owned());
        self
    }

    /// Ports nobody uses.
    ///
    /// # Errors
    /// When the machine has none left.
    pub fn free() -> anyhow::Result<Self> {
        // Held until all are chosen, so that no two are the same.
        let mut taken = Vec::new();
        let mut port = || {
            let listener = free_listener()?;
            let port = listener.local_addr()?.port();
            taken.push(listener);
            anyhow::Ok(port)
        };
        let (catalog_http, fulfilment_http, notification_http, payment_http) = (port()?, port()?, port()?, port()?);
        Ok(Self {
            http: port()?,
            admin: port()?,
            catalog_http,
            catalog_url_port: catalog_http,
            catalog_admin: port()?,
            payment_http,
            payment_url_port: payment_http,
            payment_admin: port()?,
            notification_admin: port()?,
            notification_http,
            notification_url_port: notification_http,
            fulfilment_http,
            fulfilment_url_port: fulfilment_http,
            fulfilment_admin: port()?,
            simulator: port()?,
            postgres: port()?,
            temporal: port()?,
            temporal_ui: port()?,
            temporal_metrics: port()?,
            faults: Some(port()?),
            also: unless_asked_otherwise(&IN_TESTS),
        })
    }

    /// The same stack, seen by one more process of Holdfast that listens on ports of its own.
    ///
    /// # Errors
    /// When the machine has no free ports left.
    pub fn for_a_replica(&self) -> anyhow::Result<Self> {
        Ok(Self {
            catalog_url_port: self.catalog_url_port,
            notification_url_port: self.notification_url_port,
            fulfilment_url_port: self.fulfilment_url_port,
            payment_url_port: self.payment_url_port,
            simulator: self.simulator,
            postgres: self.postgres,
            temporal: self.temporal,
            temporal_ui: self.temporal_ui,
            temporal_metrics: self.temporal_metrics,
            also: self.also.clone(),
            ..Self::free()?
        })
    }

    /// The settings of every process of Holdfast in this stack.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let database = |role: &str| {
            format!("postgres://{role}:{}@127.0.0.1:{}/holdfast", crate::postgres::PASSWORD, self.postgres)
        };
        let settings = [
            ("HOLDFAST_HTTP", local(self.http)),
            ("HOLDFAST_PUBLIC_URL", format!("http://{}", local(self.http))),
            ("HOLDFAST_TEMPORAL_UI_URL", format!("http://{}", local(self.temporal_ui))),
            ("HOLDFAST_ADMIN", local(self.admin)),
            ("HOLDFAST_BOARD_DATABASE_URL", database("board")),
            ("HOLDFAST_JWT_SECRET", JWT_SECRET.to_owned()),
            ("HOLDFAST_SERVICE_SECRET", SERVICE_SECRET.to_owned()),
            ("HOLDFAST_CATALOG_URL", format!("http://{}", local(self.catalog_url_port))),
            ("HOLDFAST_CATALOG_HTTP", local(self.catalog_http)),
            ("HOLDFAST_CATALOG_ADMIN", local(self.catalog_admin)),
            ("HOLDFAST_CATALOG_DATABASE_URL", database("catalog")),
            ("HOLDFAST_PAYMENT_URL", format!("http://{}", local(self.payment_url_port))),
            ("HOLDFAST_PAYMENT_HTTP", local(self.payment_http)),
            ("HOLDFAST_PAYMENT_ADMIN", local(self.payment_admin)),
            ("HOLDFAST_PAYMENT_DATABASE_URL", database("payment")),
            ("HOLDFAST_PAYMENT_PROVIDER_URL", format!("http://{}", local(self.simulator))),
            ("HOLDFAST_NOTIFICATION_URL", format!("http://{}", local(self.notification_url_port))),
            ("HOLDFAST_NOTIFICATION_HTTP", local(self.notification_http)),
            ("HOLDFAST_FULFILMENT_URL", format!("http://{}", local(self.fulfilment_url_port))),
            ("HOLDFAST_FULFILMENT_HTTP", local(self.fulfilment_http)),
            ("HOLDFAST_FULFILMENT_ADMIN", local(self.fulfilment_admin)),
            ("HOLDFAST_FULFILMENT_DATABASE_URL", database("fulfilment")),
            ("HOLDFAST_NOTIFICATION_ADMIN", local(self.notification_admin)),
            ("HOLDFAST_NOTIFICATION_DATABASE_URL", database("notification")),
            ("HOLDFAST_ADMIN_DATABASE_URL", database("postgres")),
            ("HOLDFAST_SIMULATOR_URL", format!("http://{}", local(self.simulator))),
            ("TEMPORAL_ADDRESS", local(self.temporal)),
            ("TEMPORAL_NAMESPACE", NAMESPACE.to_owned()),
        ];
        let usual = settings.into_iter().map(|(name, value)| (name.to_owned(), value));
        usual.chain(self.also.clone()).collect()
    }
}

/// Listens on a port that the system gives to no outgoing connection: one that was only chosen would not be free for long.
fn free_listener() -> anyhow::Result<TcpListener> {
    let tries = std::iter::repeat_with(|| rand::random_range(15_000..32_000_u16)).take(1000);
    let free = tries.map(|port| TcpListener::bind(("127.0.0.1", port))).find_map(Result::ok);
    free.context("no free port")
}

impl Port {
    fn number(&self) -> anyhow::Result<u16> {
        match std::env::var(self.variable) {
            Ok(text) => text.parse().with_context(|| format!("{}: expected a port, got {text:?}", self.variable)),
            Err(_) => Ok(self.usual),
        }
    }

    fn free(&self) -> anyhow::Result<(u16, TcpListener)> {
        let port = self.number()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("port {port} is busy. Free it, or choose another with {}=<port>", self.variable)
        })?;
        Ok((port, listener))
    }
}
