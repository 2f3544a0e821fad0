//! A real headless Chromium, driven by its DevTools protocol over a pipe: JSON messages, each ended by a zero byte.
//! Chromium exits when the pipe is closed, at the latest when this process exits.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The time limit for anything on a page.
const PATIENCE: Duration = Duration::from_secs(30);

/// The browser, shared by all tests.
struct Browser {
    input: Mutex<ChildStdin>,
    next: AtomicU64,
    heard: Arc<Heard>,
}

/// Messages from the browser: replies by request, events by session.
#[derive(Default)]
struct Heard {
    waiting: Mutex<HashMap<u64, Sender<Value>>>,
    events: Mutex<HashMap<String, Vec<Value>>>,
}

/// The executable: from `SPIKELENS_CHROMIUM`, else from PATH, in the same order as `scripts/chromium.sh`.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("SPIKELENS_CHROMIUM") {
        return PathBuf::from(named);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let mut all = names
        .iter()
        .flat_map(|name| std::env::split_paths(&folders).map(move |folder| folder.join(name)));
    all.find(|path| path.is_file())
        .expect("the page's tests need a Chromium: run `make test`, or scripts/chromium.sh, which gets one")
}

fn browser() -> &'static Browser {
    static BROWSER: OnceLock<Browser> = OnceLock::new();
    BROWSER.get_or_init(|| {
        // A fresh profile, with one of a few names: old profiles do not accumulate, and processes rarely collide.
        let profile =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{}", std::process::id() % 8));
        let _ = std::fs::remove_dir_all(&profile);
        // Chromium expects the pipe at file descriptors 3 and 4; a shell moves it there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program())
            .args(["--headless=new", "--remote-debugging-pipe", "--no-first-run"])
            // It opens only our pages, and the sandbox does not work for root.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take().unwrap();
        let heard = Arc::<Heard>::default();
        let hearing = Arc::clone(&heard);
        std::thread::spawn(move || {
            hear(output, &hearing);
            child.wait().expect("a child that is not waited for elsewhere")
        });
        Browser {
            input: Mutex::new(input),
            next: AtomicU64::new(1),
            heard,
        }
    })
}

fn hear(output: impl BufRead, heard: &Heard) {
    for message in output.split(0).map_while(Result::ok) {
        let message: Value = serde_json::from_slice(&message).expect("JSON of the browser");
        if let Some(id) = message["id"].as_u64() {
            if let Some(asked) = heard.waiting.lock().unwrap().remove(&id) {
                // The caller may have given up.
                let _ = asked.send(message);
            }
        } else if let Some(session) = message["sessionId"].as_str() {
            let mut events = heard.events.lock().unwrap();
            events.entry(session.to_owned()).or_default().push(message);
        }
    }
}

impl Browser {
    fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let (asked, answer) = channel();
        self.heard.waiting.lock().unwrap().insert(id, asked);
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input
            .lock()
            .unwrap()
            .write_all(&bytes)
            .expect("the browser runs");
        let mut answer = answer
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{method}: the browser says nothing"));
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }
}

/// Starts the browser if it is not running, for tests that must not wait for it later.
pub fn start() {
    browser().call(None, "Browser.getVersion", json!({}));
}

/// The size and settings of a page's window.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub dark: bool,
}

pub const DESK: Look = Look {
    width: 1280,
    dark: false,
};
pub const PHONE: Look = Look {
    width: 390,
    dark: true,
};

/// The narrowest screen that everything must fit.
pub const NARROW: Look = Look {
    width: 360,
    dark: true,
};

/// A page in its own browser context: it shares no cookies, caches or storage.
pub struct Page {
    session: String,
    context: String,
}

impl Page {
    /// Opens an address and waits only for its document.
    pub fn open(url: &str, look: Look) -> Self {
        let browser = browser();
        let text = |value: &Value| value.as_str().expect("an id").to_owned();
        let made = browser.call(None, "Target.createBrowserContext", json!({}));
        let context = text(&made["browserContextId"]);
        let about = json!({"url": "about:blank", "browserContextId": context});
        let target = browser.call(None, "Target.createTarget", about)["targetId"].take();
        let attached = browser.call(
            None,
            "Target.attachToTarget",
            json!({"targetId": target, "flatten": true}),
        );
        let page = Self {
            session: text(&attached["sessionId"]),
            context,
        };
        for domain in ["Page", "Runtime", "Log", "Network", "DOM"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        let size =
            json!({"width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 600});
        page.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        page.call("Emulation.setEmulatedMedia", json!({"features": features}));
        // The reply comes once the new document has begun.
        page.call("Page.navigate", json!({"url": url}));
        page.until("document.readyState !== 'loading'");
        page
    }

    fn call(&self, method: &str, parameters: Value) -> Value {
        browser().call(Some(&self.session), method, parameters)
    }

    /// The value of an expression; a promise is awaited.
    pub fn run(&self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", asked);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].take()
    }

    /// The value of an expression, which must be a string.
    pub fn text(&self, expression: &str) -> String {
        let value = self.run(expression);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{expression} is {value}"))
            .to_owned()
    }

    /// The value of an expression, which must be a number.
    pub fn number(&self, expression: &str) -> f64 {
        let value = self.run(expression);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// Waits until an expression is true.
    pub fn until(&self, expression: &str) {
        let start = Instant::now();
        let asked = format!("Boolean({expression})");
        while self.run(&asked) != true {
            assert!(
                start.elapsed() < PATIENCE,
                "never: {expression}\nthe page says: {}\nand in its console: {:?}",
                self.run("document.body.innerText"),
                self.said()
            );
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// Scrolls to the element of a selector and clicks its centre.
    pub fn click(&self, selector: &str) {
        let (x, y) = self.middle(selector);
        self.mouse("mousePressed", x, y);
        self.mouse("mouseReleased", x, y);
    }

    fn middle(&self, selector: &str) -> (f64, f64) {
        let place = self.run(&format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{block: 'center'}});
             const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    fn mouse(&self, kind: &str, x: f64, y: f64) {
        let event = json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1});
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Draws a line on an element; positions are fractions of its width and height.
    pub fn drag(&self, selector: &str, places: &[(f64, f64)]) {
        let places = self.places(selector, places);
        for (index, (x, y)) in places.iter().enumerate() {
            self.mouse(if index == 0 { "mousePressed" } else { "mouseMoved" }, *x, *y);
        }
        let (x, y) = places.last().expect("a place");
        self.mouse("mouseReleased", *x, *y);
    }

    /// The same by a finger.
    pub fn stroke(&self, selector: &str, places: &[(f64, f64)]) {
        let touch = |kind: &str, points: Value| {
            let event = json!({"type": kind, "touchPoints": points});
            self.call("Input.dispatchTouchEvent", event);
        };
        for (index, (x, y)) in self.places(selector, places).iter().enumerate() {
            let kind = if index == 0 { "touchStart" } else { "touchMove" };
            touch(kind, json!([{"x": x, "y": y}]));
        }
        touch("touchEnd", json!([]));
    }

    /// Scrolls to an element; where fractions of its width and height are on screen.
    fn places(&self, selector: &str, places: &[(f64, f64)]) -> Vec<(f64, f64)> {
        self.middle(selector);
        let r#box = self.run(&format!(
            "(() => {{ const box = document.querySelector({}).getBoundingClientRect();
             return [box.x, box.y, box.width, box.height]; }})()",
            json!(selector)
        ));
        let side = |index: usize| r#box[index].as_f64().unwrap();
        let at = |(x, y): &(f64, f64)| (side(0) + x * side(2), side(1) + y * side(3));
        places.iter().map(at).collect()
    }

    /// Presses a key, by its DevTools name and code.
    pub fn key(&self, key: &str, code: u32) {
        self.press(key, code, false);
    }

    /// Presses a key, with Shift held or not.
    pub fn press(&self, key: &str, code: u32, shift: bool) {
        let text = if key == "Enter" { "\r" } else { "" };
        let text = if key == " " { " " } else { text };
        for kind in [if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
            let modifiers = if shift { 8 } else { 0 };
            let event = json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code, "modifiers": modifiers});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types into the focused element.
    pub fn write(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Selects a file in a file input.
    pub fn upload(&self, selector: &str, file: &Path) {
        let asked = json!({"expression": format!("document.querySelector({})", json!(selector))});
        let object = self.call("Runtime.evaluate", asked)["result"]["objectId"].take();
        self.call(
            "DOM.setFileInputFiles",
            json!({"files": [file], "objectId": object}),
        );
    }

    /// A screenshot of the whole page, as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let height = self.number("document.documentElement.scrollHeight");
        let width = self.number("innerWidth");
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let asked = json!({"captureBeyondViewport": true, "clip": clip});
        let taken = self.call("Page.captureScreenshot", asked);
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    fn events(&self, pick: impl Fn(&str, &Value) -> Option<String>) -> Vec<String> {
        let events = browser().heard.events.lock().unwrap();
        let own = events.get(&self.session).into_iter().flatten();
        own.filter_map(|event| pick(event["method"].as_str()?, &event["params"]))
            .collect()
    }

    /// Everything in the console: messages, exceptions and the browser's own warnings.
    pub fn said(&self) -> Vec<String> {
        self.events(|method, event| match method {
            "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => Some(event.to_string()),
            "Log.entryAdded" => {
                let entry = &event["entry"];
                let text = |name: &str| entry[name].as_str().unwrap_or_default();
                Some(format!("{} {} {}", text("source"), text("text"), text("url")))
            }
            _ => None,
        })
    }

    /// The URL of every request of the page.
    pub fn requests(&self) -> Vec<String> {
        self.events(|method, event| match method {
            "Network.requestWillBeSent" => event["request"]["url"].as_str().map(str::to_owned),
            _ => None,
        })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A failed test must not panic again here.
        if !std::thread::panicking() {
            let context = json!({"browserContextId": self.context});
            browser().call(None, "Target.disposeBrowserContext", context);
        }
    }
}
