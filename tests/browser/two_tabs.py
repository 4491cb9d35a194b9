#!/usr/bin/env python3
"""The demo page in a real browser: two people talk, a third is hostile, the server dies and comes back.

    tests/browser/two_tabs.py path/to/chatup plugins-dir client-dir

Needs chromium and chromium-driver (Debian's packages), nothing else. Prints one line per check; exit 1 if one
failed. Screenshots go to build/screenshots. Every wait is for a condition; what is started here is stopped here.
"""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PATIENCE_S = 30  # how long a condition may take; generous, since a slow machine is no failure
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
HOSTILE_NAME = "<img src=x onerror=alert(1)>"
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "\"'><svg onload=alert(3)>&lt;b&gt; {{7*7}} ${7*7} `x` \\u003cb\\u003e javascript:alert(4)",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u202egnp.exe",
    "Donaudampfschifffahrt" * 40,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\U0001f44d\U0001f3fd",
]
TALK = [
    ("Ann", "Good morning! Did the seedlings survive the night?"),
    ("Bob", "They did. The fleece was a good idea, it went down to two degrees."),
    ("Bob", "I left the door of the greenhouse open a hand's width."),
    ("Ann", "Wonderful \U0001f331"),
    ("Ann", "Then we can plant the beans on Saturday. I have the list here:\n"
            "· runner beans\n· two rows of peas\n· the old courgettes"),
    ("Bob", "Saturday is fine. \u0634\u0643\u0631\u0627 \u062c\u0632\u064a\u0644\u0627!"),
    ("Bob", "\U0001f44d"),
    ("Ann", "See https://example.org/gardens/spring/planting-calendar-for-cool-and-windy-places for the distances."),
]

# Runs before anything of the page: counts alerts, and while `deaf` the page gets no replies to what it says.
PRELUDE = """
    window.alerts = 0;
    window.alert = () => { window.alerts++; };
    window.deaf = false;
    window.WebSocket = class extends WebSocket {
        constructor(url) {
            super(url);
            this.addEventListener('message', (event) => {
                if (window.deaf && url.endsWith('/pub'))
                    event.stopImmediatePropagation();
            });
        }
    };
"""

# ---------------------------------------------------------------- checks

passed = failed = 0


def check(ok, sentence, why=""):
    global passed, failed
    if ok:
        passed += 1
        print(f"ok - {sentence}", flush=True)
    else:
        failed += 1
        print(f"not ok - {sentence}" + (f"\n  # {why}" if why else ""), flush=True)


def wait(condition):
    """Poll until condition() is true; False when patience is over."""
    end = time.monotonic() + PATIENCE_S
    while True:
        if condition():
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.03)


def check_soon(condition, sentence, why=lambda: ""):
    ok = wait(condition)
    check(ok, sentence, "" if ok else why())
    return ok


# ---------------------------------------------------------------- processes

class Server:
    """chatup; after kill() it starts again on the same port with the same data."""

    def __init__(self, binary, plugins, client, home, demo=True):
        self.binary, self.plugins, self.client, self.home = binary, plugins, client, home
        self.demo = ["--demo"] if demo else []
        self.port, self.process = 0, None
        self.yaml = home / "chatup.yaml"
        self.yaml.write_text("# everything is set on the command line\n", encoding="utf-8")

    def start(self):
        self.log = open(self.home / "chatup.log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "serve", "-c", str(self.yaml), *self.demo, "--set", f"listen.port={self.port}",
             "--set", f"data_dir={self.home / 'data'}", "--set", f"client_dir={self.client}",
             "--set", f"plugins_dir={self.plugins}"],
            stdout=subprocess.PIPE, stderr=self.log)
        deadline = time.monotonic() + PATIENCE_S
        said = b""
        os.set_blocking(self.process.stdout.fileno(), False)
        while time.monotonic() < deadline:
            said += self.process.stdout.read() or b""
            for line in said.decode("utf-8", "replace").split("\n")[:-1]:
                if line.startswith("chatup: http://"):
                    self.url = line.split(" ", 1)[1].strip()
                    self.port = urllib.parse.urlsplit(self.url).port
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("chatup did not start:\n" + said.decode("utf-8", "replace") + self.tail())

    def tail(self):
        return (self.home / "chatup.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def get(self, path):
        with urllib.request.urlopen(self.url.rstrip("/") + path, timeout=10) as answer:
            return json.load(answer)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.log.close()
        self.process = None


class Browser:
    """Chromium through chromedriver: the few WebDriver calls this test needs."""

    def __init__(self, home):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base, self.session = f"http://127.0.0.1:{port}", None
        # A session of its own: should chromedriver fail to end its chromium, the group is ours to end.
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        if not wait(self.ready):
            raise RuntimeError("chromedriver did not start")
        args = ["--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows",
                "--disable-renderer-backgrounding", "--lang=en-GB", f"--user-data-dir={home / 'chromium'}"]
        if os.geteuid() == 0:
            args.append("--no-sandbox")
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "unhandledPromptBehavior": "ignore",
            "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": args}}}})["sessionId"]

    def ready(self):
        try:
            return self.call("GET", "/status")["ready"]
        except OSError:
            return False

    def call(self, method, path, body=None):
        if path.startswith("."):
            path = f"/session/{self.session}{path[1:]}"
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise RuntimeError(f"{value['error']}: {value['message'].splitlines()[0]}") from None

    def cdp(self, command, **params):
        return self.call("POST", "./goog/cdp/execute", {"cmd": command, "params": params})

    def stop(self):
        try:
            if self.session:
                self.call("DELETE", ".")
        except (OSError, RuntimeError):
            pass
        try:
            os.killpg(self.driver.pid, signal.SIGTERM)
            self.driver.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.driver.wait()


class Tab:
    """One person's window. Every call brings it to the front first."""

    def __init__(self, browser, url, fresh=True):
        self.browser = browser
        self.handle = browser.call("POST", "./window/new", {"type": "window"})["handle"] if fresh \
            else browser.call("GET", "./window")
        self.focus()
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=PRELUDE)
        self.open(url)

    def focus(self):
        self.browser.call("POST", "./window", {"handle": self.handle})

    def open(self, url):
        self.focus()
        self.browser.call("POST", "./url", {"url": url})

    def js(self, script, *args):
        self.focus()
        return self.browser.call("POST", "./execute/sync", {"script": script, "args": list(args)})

    def keys(self, selector, text):
        """Type like a person."""
        self.focus()
        found = self.browser.call("POST", "./element", {"using": "css selector", "value": selector})
        self.browser.call("POST", f"./element/{next(iter(found.values()))}/value", {"text": text})

    def click(self, selector):
        self.focus()
        found = self.browser.call("POST", "./element", {"using": "css selector", "value": selector})
        self.browser.call("POST", f"./element/{next(iter(found.values()))}/click")

    def enter(self, name):
        self.js("document.querySelector('#name').value = ''")
        self.keys("#name", name + "\ue007")

    def put(self, text):
        """Into the composer; not typed: chromedriver has no keys beyond the basic plane."""
        self.js("const t = document.querySelector('#text'); t.value = arguments[0];"
                "t.dispatchEvent(new Event('input', {bubbles: true}));", text)

    def say(self, text):
        self.put(text)
        self.click("#send")

    def state(self):
        return self.js("return document.querySelector('#status').dataset.state")

    def talks(self):
        return self.js("return !document.querySelector('#composer').hidden")

    def messages(self):
        return [tuple(pair) for pair in self.js(
            "return [...document.querySelectorAll('#messages .message')].map(m => "
            "[m.querySelector('.who').textContent, m.querySelector('.text').textContent])")]

    def texts(self):
        return [text for _, text in self.messages()]

    def users(self):
        return self.js("return document.querySelector('#users').textContent")

    def notice(self):
        return self.js("const n = document.querySelector('#notice'); return n.hidden ? '' : n.textContent.trim()")

    def problems(self):
        """What the console holds of this page's own errors; a server that is away is none."""
        self.focus()
        log = self.browser.call("POST", "./se/log", {"type": "browser"})
        return [line["message"] for line in log if line["level"] == "SEVERE" and "net::ERR_" not in line["message"]
                and "WebSocket connection to" not in line["message"]]


# ---------------------------------------------------------------- the story

def screenshots(tab, label):
    for form, width, height in (("desktop", 1200, 800), ("phone", 390, 844)):
        for scheme in ("light", "dark"):
            tab.focus()
            tab.browser.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                            deviceScaleFactor=1, mobile=form == "phone")
            tab.browser.cdp("Emulation.setEmulatedMedia",
                            features=[{"name": "prefers-color-scheme", "value": scheme}])
            fits = "return innerWidth === arguments[0] && matchMedia('(prefers-color-scheme: dark)').matches === arguments[1]"
            ok = wait(lambda: tab.js(fits, width, scheme == "dark"))
            check(ok and tab.js("return document.documentElement.scrollWidth <= innerWidth"),
                  f"the page fits {form}, {scheme} ({label})")
            # Two frames later the new layout is on the screen.
            tab.browser.call("POST", "./execute/async", {"args": [], "script":
                             "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"})
            png = tab.browser.call("GET", "./screenshot")
            (SCREENSHOTS / f"{label}-{form}-{scheme}.png").write_bytes(base64.b64decode(png))
    tab.browser.cdp("Emulation.clearDeviceMetricsOverride")
    tab.browser.cdp("Emulation.setEmulatedMedia", features=[])


def two_people(server, browser):
    ann = Tab(browser, server.url, fresh=False)
    bob = Tab(browser, server.url)
    for name, tab in (("Ann", ann), ("Bob", bob)):
        check_soon(lambda: tab.state() == "connected", f"{name}'s tab connects as a guest", tab.notice)
        tab.enter(name)
        check_soon(tab.talks, f"{name} chooses a name", tab.notice)
    check_soon(lambda: all(n in t.users() for n in ("Ann", "Bob") for t in (ann, bob)),
               "both tabs show that Ann and Bob are there", ann.users)
    ann.say("Hello Bob")
    check_soon(lambda: bob.messages() == [("Ann", "Hello Bob")], "Bob reads Ann", lambda: f"{bob.messages()}")
    bob.keys("#text", "Hello Ann\ue007")
    both = [("Ann", "Hello Bob"), ("Bob", "Hello Ann")]
    check_soon(lambda: ann.messages() == both and bob.messages() == both, "Ann reads Bob, who pressed Enter",
               lambda: f"{ann.messages()}")
    check_soon(lambda: ann.js("return document.querySelector('#text').value") == "", "a message sent leaves the composer")
    return ann, bob


def hostile_texts(server, browser, ann):
    before = len(ann.messages())
    mallory = Tab(browser, server.url)
    wait(lambda: mallory.state() == "connected")
    mallory.enter(HOSTILE_NAME)
    check_soon(mallory.talks, "a hostile name is just a name", mallory.notice)
    for text in HOSTILE:
        mallory.say(text)
    want = [(HOSTILE_NAME, text) for text in HOSTILE]
    for name, tab in (("Ann", ann), ("the sender", mallory)):
        check_soon(lambda: tab.messages()[before:] == want, f"hostile texts reach {name} as they were written",
                   lambda: f"{tab.messages()[before:]}")
        check_soon(lambda: HOSTILE_NAME in tab.users(), f"who-is-there shows the hostile name to {name} as text")
        check(tab.js("return document.querySelectorAll('.text *, .who *, #messages img, #messages script, #messages svg,"
                     "#users img, script:not([src])').length") == 0, f"no element came into {name}'s page")
        check(tab.js("return window.alerts") == 0, f"no alert opened at {name}'s")
        check(tab.js("return [...document.querySelectorAll('#messages, .text')].every(e => e.scrollWidth <= e.clientWidth)"),
              f"the long word wraps at {name}'s")
    mallory.open(server.url)
    check_soon(lambda: mallory.messages()[before:] == want and mallory.js("return window.alerts") == 0,
               "nor after a reload, from history", lambda: f"{mallory.messages()}")
    check_soon(mallory.talks, "the tab remembers its name")
    problems = mallory.problems()
    check(problems == [], "the console of the hostile tab is clean", f"{problems}")
    mallory.browser.call("DELETE", "./window")
    ann.focus()
    check_soon(lambda: HOSTILE_NAME not in ann.users(), "who-is-there forgets who left", ann.users)


def killed_and_restarted(server, ann, bob):
    before = ann.texts()
    # One is stored but its answer lost: it will be repeated, and the cid keeps it one. Another is on its way when
    # the server dies: whether it was stored nobody knows.
    ann.js("window.deaf = true")
    ann.say("stored, the answer lost")
    check_soon(lambda: bob.texts()[-1:] == ["stored, the answer lost"], "Bob reads what Ann has no answer for")
    bob.put("said as the server died")
    bob.js("document.querySelector('#composer').requestSubmit()")
    server.kill()
    ann.js("window.deaf = false")
    for name, tab in (("Ann", ann), ("Bob", bob)):
        check_soon(lambda: tab.state() == "reconnecting", f"{name}'s tab notices that the server is gone")
    ann.say("said while it was away")
    bob.put("also said while it was away")
    bob.click("#send")
    check(ann.state() == "reconnecting" and "said while it was away" not in ann.texts(),
          "a message said meanwhile waits")
    server.start()
    for name, tab in (("Ann", ann), ("Bob", bob)):
        check_soon(lambda: tab.state() == "connected", f"{name}'s tab is back by itself", tab.notice)
    new = {"said as the server died", "said while it was away", "also said while it was away"}
    check_soon(lambda: new <= set(ann.texts()) and new <= set(bob.texts()), "what was said meanwhile arrives",
               lambda: f"{ann.texts()}")
    check(ann.notice() == bob.notice() == "", "the resume is proven: no word of missing messages",
          f"{ann.notice()} {bob.notice()}")
    ann.say("after the restart")
    check_soon(lambda: ann.texts()[-1:] == bob.texts()[-1:] == ["after the restart"], "and they go on talking",
               lambda: f"{ann.texts()[-3:]} {bob.texts()[-3:]}")
    stored = [m["msg"] for m in reversed(server.get("/messages/lobby")) if "msg" in m]
    check(stored[:len(before)] == before, "history is there after SIGKILL", f"{stored}")
    check(len(stored) == len(set(stored)) == len(before) + 5, "nothing is lost or doubled in the history", f"{stored}")
    check(ann.texts() == stored and bob.texts() == stored, "nor in the tabs", f"{ann.texts()} {bob.texts()}")
    check_soon(lambda: all(n in t.users() for n in ("Ann", "Bob") for t in (ann, bob)), "both are there again")


def pictures(server, ann, bob):
    """A calm room to look at; that Ann and Bob are known there shows that the name outlives a switch of rooms."""
    for tab in (ann, bob):
        tab.js("document.querySelector('#room').value = 'garden'")
        tab.click("#room-form button")
    tabs = {"Ann": ann, "Bob": bob}
    check_soon(lambda: all(t.state() == "connected" and t.talks() and "Ann" in t.users() and "Bob" in t.users()
                           for t in tabs.values()), "both switch to another room", ann.users)
    for count, (name, text) in enumerate(TALK, 1):
        tabs[name].say(text)
        wait(lambda: len(ann.messages()) == count and len(bob.messages()) == count)
    check(ann.messages() == bob.messages() == TALK, "a whole conversation, the same for both", f"{ann.messages()}")
    check(ann.js("const m = document.querySelector('#messages'); return m.scrollHeight - m.scrollTop - m.clientHeight < 2"),
          "the list follows the newest message")
    screenshots(ann, "talk")
    guest = Tab(ann.browser, server.url + "?room=garden")
    check_soon(lambda: guest.state() == "connected" and guest.texts() == [text for _, text in TALK],
               "a guest reads along", guest.notice)
    check_soon(lambda: "1 guest" in guest.js("return document.querySelector('#counts').textContent"), "and is counted",
               lambda: guest.js("return document.querySelector('#counts').textContent"))
    screenshots(guest, "guest")
    hall = Tab(ann.browser, server.url)
    check_soon(lambda: hall.state() == "connected" and len(hall.texts()) > 5, "the lobby still has its history")
    screenshots(hall, "hostile")
    for tab in (ann, bob, guest, hall):
        problems = tab.problems()
        check(problems == [] and tab.js("return window.alerts") == 0, "the console is clean", f"{problems}")


def not_a_demo(server, browser):
    server.start()
    tab = Tab(browser, server.url)
    check_soon(lambda: tab.state() == "connected", "a server that is no demo can be read", tab.notice)
    tab.enter("Ann")
    check_soon(lambda: "gives no tokens" in tab.notice(), "and says that it gives no tokens", tab.notice)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    binary, plugins, client = (str(Path(arg).resolve()) for arg in sys.argv[1:])
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (apt install chromium chromium-driver)")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="chatup-browser-"))
    server, browser = Server(binary, plugins, client, home), None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that finally runs
    try:
        server.start()
        browser = Browser(home)
        ann, bob = two_people(server, browser)
        hostile_texts(server, browser, ann)
        killed_and_restarted(server, ann, bob)
        pictures(server, ann, bob)
        server.kill()
        server = Server(binary, plugins, client, home, demo=False)
        not_a_demo(server, browser)
    except (RuntimeError, OSError) as error:
        check(False, "the test runs to its end", f"{error}\n{server.tail()}")
    finally:
        if browser:
            browser.stop()
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
