"""The servers that bench/run measures: how each is installed, started, and stopped."""
import getpass
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BENCH, PEERS = TOP / "bench", TOP / "bench" / "peers"
BUILD, OUT = TOP / "build" / "release", TOP / "build" / "bench"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One way to start a server. `command(port)` is its command line; `dialect` is for chatup-load."""

    def __init__(self, name, title, dialect, command, needs=None, tls=False, after=None):
        self.name, self.title, self.dialect = name, title, dialect
        self.command, self.needs, self.tls, self.after = command, needs, tls, after
        self.process = self.port = None

    def start(self):
        self.port = free_port()
        with open(OUT / f"{self.name}.log", "w") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.command(self.port)], cwd=OUT, stdout=log, stderr=log,
                env={**os.environ, "UV_THREADPOOL_SIZE": "1"})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            self.stop()
            raise RuntimeError(f"{self.title} does not start: see {OUT / self.name}.log")
        if self.after:
            self.after(self.port)
        time.sleep(0.2)

    def stop(self):
        """Ends the process that start() began, and no other."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


# ---- ChatUp ----


def chatup(config=BENCH / "chatup.yaml", prepare=None, **settings):
    def command(port):
        shutil.rmtree(OUT / "data", ignore_errors=True)
        if prepare:
            prepare()
        words = [BUILD / "chatup", "serve", "-c", config, "--set", f"listen.port={port}",
                 "--set", f"data_dir={OUT / 'data'}"]
        for key, value in settings.items():
            words += ["--set", f"{key.replace('__', '.')}={value}"]
        return words
    return command


def certificate():
    if not (OUT / "tls.key").exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "3650", "-subj", "/CN=localhost", "-keyout", OUT / "tls.key", "-out", OUT / "tls.pem"],
                       check=True, capture_output=True)


def plugins_config():
    """The three bundled plugins; nothing that anybody says is refused."""
    text = (BENCH / "chatup.yaml").read_text().replace("../build/bench/secret", "secret")
    (OUT / "plugins.yaml").write_text(f"""{text}
plugins_dir: {BUILD / "plugins"}
plugins:
  - name: blacklist
  - name: ratelimit
    config: {{rules: [{{messages: 10000, per: 10ms}}]}}
  - name: slack
    on_error: open
    config: {{url: "http://127.0.0.1:9/", triggers: ["!help"]}}
""")


def plugins_words(port):
    """10 000 words that nobody says, in parts that fit onto a command line."""
    for first in range(0, 10000, 2500):
        words = json.dumps({"blacklistAdd": [f"unword{number}" for number in range(first, first + 2500)]})
        request = urllib.request.Request(f"http://127.0.0.1:{port}/plugin/blacklist", token("--admin", words).encode())
        urllib.request.urlopen(request, timeout=10).close()
    time.sleep(0.5)


def token(*what):
    """Makes the key, and a token signed with it."""
    secret = OUT / "secret"
    if not secret.exists():
        secret.write_text(os.urandom(32).hex())
    return subprocess.run([BUILD / "chatup", "token", "--key", secret, "--algorithm", "HS256", *what],
                          check=True, capture_output=True, text=True).stdout.strip()


# ---- the others ----


def run_quietly(*command, **options):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options).returncode == 0


def apt_install(*packages):
    """Debian's packages, without starting what they bring as a service."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (root and not shutil.which("sudo")):
        return False
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    return run_quietly(*root, *environment, "apt-get", "install", "-y", "--no-install-recommends", *packages)


def nginx():
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


NCHAN_MODULES = Path("/usr/lib/nginx/modules")


def need_nchan():
    def there():
        return nginx() and (NCHAN_MODULES / "ngx_nchan_module.so").exists()
    return there() or (apt_install("nginx-light", "libnginx-mod-nchan") and there())


def need_npm():
    if not shutil.which("node") or not shutil.which("npm"):
        if not apt_install("nodejs", "npm"):
            return False
    wanted = json.loads((PEERS / "package.json").read_text())["dependencies"]
    return all((PEERS / "node_modules" / name).exists() for name in wanted) or run_quietly("npm", "ci", "--silent", cwd=PEERS)


def need_original():
    return need_nchan() and need_npm() and (shutil.which("redis-server") or apt_install("redis-server"))


def nginx_config(name, **words):
    text = (PEERS / name).read_text()
    for word, value in {"MODULES": NCHAN_MODULES, "USER": getpass.getuser(), "DIR": OUT, **words}.items():
        text = text.replace(word, str(value))
    (OUT / name).write_text(text)
    return OUT / name


def nchan_command(port):
    return [nginx(), "-c", nginx_config("nchan.conf", PORT=port), "-e", OUT / "nginx.log"]


def original_command(port):
    worker, redis = free_port(), free_port()
    config = nginx_config("original.conf", PORT=port, WORKER=worker)
    return ["node", PEERS / "original.js", worker, redis, port, nginx(), config]


ALL = [
    Server("chatup", "ChatUp", "chatup", chatup(durability="memory")),
    Server("chatup-commit", "ChatUp, commit", "chatup", chatup(durability="commit")),
    Server("chatup-no-gap", "ChatUp, gap 0", "chatup", chatup(durability="memory", rooms__flush_gap="0ms")),
    Server("chatup-500ms", "ChatUp, gap 500 ms", "chatup", chatup(durability="memory", rooms__flush_gap="500ms")),
    Server("chatup-2-loops", "ChatUp, 2 loops", "chatup", chatup(durability="memory", threads=2)),
    Server("chatup-tls", "ChatUp, TLS", "chatup",
           chatup(durability="memory", prepare=certificate, tls__certificate=OUT / "tls.pem", tls__key=OUT / "tls.key"),
           tls=True),
    Server("chatup-plugins", "ChatUp, 3 plugins", "chatup",
           chatup(durability="memory", config=OUT / "plugins.yaml", prepare=plugins_config),
           after=plugins_words),
    Server("raw-send", "raw limit, a send each", "plain", lambda port: [BUILD / "chatup-raw", "send", port]),
    Server("raw-coalesce", "raw limit, coalescing", "plain", lambda port: [BUILD / "chatup-raw", "coalesce", port]),
    Server("ws", "ws", "plain", lambda port: ["node", PEERS / "ws.js", port], need_npm),
    Server("socketio", "socket.io", "socketio", lambda port: ["node", PEERS / "socketio.js", port], need_npm),
    Server("nchan", "Nchan", "nchan", nchan_command, need_nchan),
    Server("original", "like the original's stack", "original", original_command, need_original),
]


def prepare(servers):
    """Builds, and installs what is missing; returns the servers that can be started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 20000:
        print(f"only {hard} open files are allowed: runs with more connections will fail")
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([TOP / "script" / "bootstrap"], check=True, stdout=subprocess.DEVNULL)
    with open(OUT / "build.log", "w") as log:
        for command in (["cmake", "--preset", "release"],
                        ["cmake", "--build", "--preset", "release", "--target", "bench"]):
            subprocess.run(command, cwd=TOP, check=True, stdout=log, stderr=log)
    subprocess.run([BUILD / "chatup-load-check"], check=True, stdout=subprocess.DEVNULL)
    ready, known = [], {}
    for server in servers:
        if server.needs and server.needs not in known:
            known[server.needs] = server.needs()
        if server.needs and not known[server.needs]:
            print(f"{server.title} is left out: it cannot be installed here")
        else:
            ready.append(server)
    return ready
