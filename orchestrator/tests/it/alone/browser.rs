//! A real browser, driven by clicks and keys.

use super::own_stack::OwnStack;
use fantoccini::{Client, ClientBuilder, Locator, elements::Element, error::CmdError, key::Key};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::{interval, timeout};

/// The slowest machine opens a page in less.
const SOON: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What `tools/setup test` fetches for the browser tests.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/browser")
}

/// A program that ends with the test.
pub struct Helper(Child);

impl Helper {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run `tools/setup test` first"))
    }

    /// Waits until a program answers at an address.
    pub async fn answers(&self, url: &str) {
        let answered = timeout(SOON, async {
            let mut look = interval(LOOK_EVERY);
            while reqwest::get(url).await.is_err() {
                look.tick().await;
            }
        });
        assert!(answered.await.is_ok(), "nobody answers at {url}");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// The program that drives browsers.
pub struct Driver {
    /// Dropped after it was told to end its browsers.
    _program: Helper,
    port: u16,
    url: String,
}

impl Driver {
    pub async fn start() -> Self {
        let port = dev::addresses::Addresses::free().unwrap().http;
        let program = Helper::start(Command::new("chromedriver").arg(format!("--port={port}")));
        let url = format!("http://127.0.0.1:{port}");
        program.answers(&format!("{url}/status")).await;
        Self { _program: program, port, url }
    }

    /// A window of its own, with cookies of its own.
    pub async fn open(&self, own: &OwnStack) -> Window {
        let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1100,900"];
        let options = json!({ "args": arguments, "binary": "/usr/bin/chromium" });
        let capabilities = json!({ "goog:chromeOptions": options }).as_object().unwrap().clone();
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        let page = builder.capabilities(capabilities).connect(&self.url).await.expect("a browser");
        Window { page, base: format!("http://127.0.0.1:{}", own.stack.addresses.http) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Browsers outlive a driver that is killed.
        let told = std::net::TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut driver| {
            driver.set_read_timeout(Some(SOON))?;
            driver.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
            driver.read_to_end(&mut Vec::new())
        });
        if let Err(error) = told {
            eprintln!("browsers may be left: {error}");
        }
    }
}

/// A window of a browser.
pub struct Window {
    pub page: Client,
    base: String,
}

impl Window {
    pub async fn go(&self, path: &str) {
        self.page.goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    /// Signs in as somebody, for development.
    pub async fn sign_in(&self, subject: &str, roles: &[&str]) {
        self.go("/console/sign-in").await;
        self.fill("subject", subject).await;
        for role in ["member", "admin", "manager", "teacher", "courier", "sender", "operator"] {
            let role_box = self.find(&format!("input[name={role}]")).await;
            if role_box.is_selected().await.unwrap() != roles.contains(&role) {
                role_box.click().await.unwrap();
            }
        }
        self.click("form.card button").await;
        self.find(".who").await;
    }

    pub async fn find(&self, css: &str) -> Element {
        match self.page.wait().at_most(SOON).for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("no {css}: {error}\n{}", self.text().await),
        }
    }

    pub async fn click(&self, css: &str) {
        self.on(css, async |element| element.click().await).await;
    }

    pub async fn fill(&self, id: &str, text: &str) {
        let fill = async |field: Element| {
            field.clear().await?;
            field.send_keys(text).await
        };
        self.on(&format!("#{id}"), fill).await;
    }

    /// Does something with an element; with the one that takes its place, where the page is replaced meanwhile.
    async fn on(&self, css: &str, act: impl AsyncFn(Element) -> Result<(), CmdError>) {
        let begun = Instant::now();
        while let Err(error) = act(self.find(css).await).await {
            assert!(error.is_stale_element_reference() && begun.elapsed() < SOON, "{css}: {error}");
        }
    }

    pub async fn choose(&self, id: &str, label: &str) {
        self.on(&format!("#{id}"), async |choice| choice.select_by_label(label).await).await;
    }

    /// What stands on the page.
    pub async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    pub async fn run(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until the page shows some text, without being asked to load again.
    #[track_caller]
    pub fn shows(&self, wished: &str) -> impl Future<Output = ()> {
        self.until(format!("document.body.innerText.toLowerCase().includes({})", json!(wished.to_lowercase())))
    }

    /// Waits until something is true on the page.
    pub async fn until(&self, condition: String) {
        let script = format!("return Boolean({condition})");
        let waited = timeout(SOON, async {
            let mut look = interval(LOOK_EVERY);
            loop {
                look.tick().await;
                // A page that is just being replaced answers nothing.
                if self.page.execute(&script, Vec::new()).await.is_ok_and(|answer| answer == true) {
                    return;
                }
            }
        });
        assert!(waited.await.is_ok(), "never: {condition}\n{}", self.text().await);
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, key: Key) {
        self.page.active_element().await.unwrap().send_keys(&String::from(char::from(key))).await.unwrap();
    }

    /// Goes from one thing to the next with the keyboard until the focus is where it is wanted.
    pub async fn tab_to(&self, css: &str) {
        let there = format!("return document.activeElement.matches({})", json!(css));
        for _ in 0..80 {
            if self.run(&there).await == true {
                let seen = self.run("return getComputedStyle(document.activeElement).outlineStyle !== 'none'").await;
                assert_eq!(seen, true, "the focus on {css} cannot be seen");
                return;
            }
            self.press(Key::Tab).await;
        }
        panic!("the keyboard does not get to {css}");
    }

    /// No page leaves anybody out: what the checker finds is a failure.
    pub async fn assert_accessible(&self, what: &str) {
        let axe = std::fs::read_to_string(tools().join("node_modules/axe-core/axe.min.js")).unwrap();
        self.run(&axe).await;
        let found = self
            .run("return axe.run().then((all) => all.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ')}`))")
            .await;
        assert_eq!(found, json!([]), "{what}: {found:#}");
    }

    /// Nothing is wider than the screen.
    pub async fn assert_fits(&self, what: &str) {
        let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(self.run(wide).await, 0, "{what} is wider than the screen");
    }

    /// Keeps a picture of the page, where pictures are wanted.
    pub async fn picture(&self, name: &str) {
        if let Some(folder) = std::env::var_os("HOLDFAST_PICTURES") {
            std::fs::create_dir_all(&folder).unwrap();
            let picture = self.page.screenshot().await.unwrap();
            std::fs::write(Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
        }
    }
}
