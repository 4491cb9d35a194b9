/* What the stories in a browser share: checks, a chatup of their own, a proxy that cuts, pages. Every wait is for a
 * condition; what is started here is stopped here. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const root = resolve(here, '../..');
export const client = join(root, 'client');
const { chromium } = createRequire(join(client, 'package.json'))('playwright-core');

export const PATIENCE_MS = 30000; /* how long a condition may take; generous, since a slow machine is no failure */
const SCREENSHOTS = join(root, 'build/screenshots');

/* ---- checks ---- */

let passed = 0;
let failed = 0;

export function check(ok, sentence, why = '') {
  if (ok)
    passed++;
  else
    failed++;
  console.log(`${ok ? 'ok' : 'not ok'} - ${sentence}${ok || why === '' ? '' : `\n  # ${JSON.stringify(why)}`}`);
  return ok;
}

export const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Poll until condition() is true; false when patience is over. A page that is just loading is asked again. */
export async function wait(condition) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    if (await Promise.resolve(condition()).catch(() => false))
      return true;
    if (Date.now() > end)
      return false;
    await new Promise((done) => { setTimeout(done, 30); });
  }
}

export async function checkSoon(condition, sentence, why = () => '') {
  const ok = await wait(condition);
  return check(ok, sentence, ok ? '' : await Promise.resolve(why()).catch(String));
}

/* ---- chatup ---- */

const started = new Set();

/** A process of ours; ends with us. */
export function start(command, args, log) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.pipe(createWriteStream(log, { flags: 'a' }));
  child.ended = new Promise((done) => { child.on('exit', () => { started.delete(child); done(); }); });
  started.add(child);
  return child;
}

export class Server {
  constructor(home, name, { role = 'serve', demo = true, yaml = '', tls = false } = {}) {
    this.home = home;
    this.name = name;
    this.role = role;
    this.demo = demo;
    this.tls = tls;
    this.port = 0;
    this.log = join(home, `${name}.log`);
    this.yaml = join(home, `${name}.yaml`);
    this.data = join(home, 'data');
    writeFileSync(this.yaml, yaml || '# everything is set on the command line\n');
  }

  async start() {
    const set = { 'listen.port': this.port, data_dir: this.data, client_dir: client, plugins_dir: Server.plugins };
    this.child = start(Server.binary, [this.role, '-c', this.yaml, ...(this.demo ? ['--demo'] : []),
      ...(this.role === 'serve' ? ['--no-supervisor'] : []),
      ...Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${value}`])], this.log);
    let said = '';
    this.child.stdout.on('data', (data) => { said += data; });
    const line = new RegExp(`^(?:chatup|${this.role}): (https?:\\S+)`, 'm');
    await wait(() => line.test(said) || this.child.exitCode !== null);
    const url = line.exec(said)?.[1];
    if (!url)
      throw new Error(`${this.name} did not start:\n${said}${readFileSync(this.log, 'utf8').slice(-2000)}`);
    this.url = url.replace(/\/$/, '');
    this.port = Number(new URL(url).port);
    return this;
  }

  async kill(signal = 'SIGKILL') {
    this.child?.kill(signal);
    await this.child?.ended;
  }

  async ask(path, body) {
    const answer = await fetch(this.url + path, body === undefined ? {} : { method: 'POST', body });
    return answer.json().catch(() => null);
  }

  async signed(items) {
    return (await this.ask('/plugin/demo/admin', JSON.stringify({ items }))).token;
  }

  /** What was said, oldest first. */
  async history(room) {
    return (await this.ask(`/messages?channel=${encodeURIComponent(room)}`)).reverse().filter(({ msg }) => msg !== undefined);
  }
}

/* ---- a proxy in front of it, that cuts ---- */

/** Passes bytes on to a server, on a port of its own. `mode`:
 *  pass; websockets: those refused; streams: server-sent events too; dead: refuses;
 *  stall: nothing comes through, and what had any held back stays so, as where a router forgot about it. */
export class Proxy {
  target = null; /* a Server */
  mode = 'pass';
  sockets = new Set();
  paths = []; /* that were asked for */

  async start() {
    this.listener = net.createServer((down) => this.onConnection(down));
    await new Promise((done) => { this.listener.listen(0, '127.0.0.1', done); });
    this.url = `http://127.0.0.1:${this.listener.address().port}`;
    return this;
  }

  onConnection(down) {
    if (this.mode === 'dead') {
      down.destroy();
      return;
    }
    const up = net.connect(this.target.port, '127.0.0.1');
    const pair = { down, up };
    this.sockets.add(pair);
    const end = () => {
      down.destroy();
      up.destroy();
      this.sockets.delete(pair);
    };
    for (const socket of [down, up]) {
      socket.on('error', end);
      socket.on('close', end);
    }
    const isStalled = () => {
      if (this.mode === 'stall')
        pair.stalled = true; /* bytes are never missing in the middle */
      return pair.stalled;
    };
    down.on('data', (data) => {
      if (isStalled())
        return;
      const line = /^[A-Z]+ (\/[^ ?]*)/.exec(data.toString('latin1'))?.[1];
      if (line)
        this.paths.push(line);
      pair.path = line ?? pair.path;
      const refused = (this.mode !== 'pass' && /^GET \/(ws|pub)/.test(data.toString('latin1'))) ||
        (this.mode === 'streams' && line === '/ev');
      if (refused)
        down.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      else
        up.write(data);
    });
    up.on('data', (data) => isStalled() || down.write(data));
  }

  /** How many connections there are for a path. */
  count(path) {
    return [...this.sockets].filter((pair) => pair.path === path).length;
  }

  /** Cut what is open now. */
  cut(which = () => true) {
    for (const pair of [...this.sockets])
      if (which(pair.path ?? ''))
        pair.down.resetAndDestroy?.() ?? pair.down.destroy();
  }

  stop() {
    this.listener.close();
    this.cut();
  }
}

/* ---- browsers ---- */

export async function openBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage',
           '--lang=en-GB', ...(process.geteuid() === 0 ? ['--no-sandbox'] : [])],
  });
}

/* Runs before anything of the page: counts alerts, and while `deaf` the page gets no replies to what it says. */
function prelude() {
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
}

/** One person's window, of a profile of its own. */
export class Tab {
  static async open(browser, url, options = {}) {
    const context = await browser.newContext({ locale: 'en-GB', ignoreHTTPSErrors: true, ...options });
    const page = await context.newPage();
    const tab = new Tab(page);
    page.on('console', (message) => message.type() === 'error' && tab.errors.push(message.text()));
    page.on('pageerror', (error) => tab.errors.push(String(error)));
    await page.addInitScript(prelude);
    await page.goto(url);
    return tab;
  }

  constructor(page) {
    this.page = page;
    this.errors = [];
  }

  js(script, ...args) { return this.page.evaluate(script, ...args); }
  status() { return this.page.locator('.chatup').first().getAttribute('data-status'); }
  isOpen() { return this.status().then((status) => status === 'connected' || status === 'authenticated'); }
  talks() { return this.page.locator('.chatup-composer').first().isVisible().then(async (seen) => seen && await this.status() === 'authenticated'); }
  users() { return this.page.locator('.chatup-users').first().textContent(); }
  counts() { return this.page.locator('.chatup-counts').first().textContent(); }
  async notice() { return (await this.page.locator('.chatup-notice:visible').allTextContents()).join(' | '); }

  async enter(name) {
    await this.page.locator('.chatup-sign-in input').first().fill(name);
    await this.page.keyboard.press('Enter');
  }

  async say(text) {
    await this.page.locator('.chatup-input').first().fill(text);
    await this.page.locator('.chatup-send').first().click();
  }

  /** [[name, text], …] of the first room. */
  messages() {
    return this.page.locator('.chatup').first().locator('.chatup-message').evaluateAll((all) => all.map((node) =>
      [node.querySelector('.chatup-who').textContent, node.querySelector('.chatup-text').textContent]));
  }

  async texts() { return (await this.messages()).map(([, text]) => text); }

  /** What the console holds of this page's own errors; a server that is away is none. */
  problems() {
    return this.errors.filter((text) => !/net::ERR_|WebSocket connection to|Failed to load resource/.test(text));
  }

  async close() { await this.page.context().close(); }
}

/** At desktop and phone width, light and dark. */
export async function screenshots(tab, label) {
  for (const [form, width, height] of [['desktop', 1200, 800], ['phone', 390, 844]]) {
    for (const colorScheme of ['light', 'dark']) {
      await tab.page.setViewportSize({ width, height });
      await tab.page.emulateMedia({ colorScheme });
      await tab.js(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
      check(await tab.js(() => document.documentElement.scrollWidth <= innerWidth), `the page fits ${form}, ${colorScheme} (${label})`);
      await tab.page.screenshot({ path: join(SCREENSHOTS, `${label}-${form}-${colorScheme}.png`) });
    }
  }
  await tab.page.setViewportSize({ width: 1200, height: 800 });
}

/* ---- a story ---- */

/** Run it with a folder and a browser of its own; print the count; end the process. */
export async function story(act) {
  const [binary, plugins] = process.argv.slice(2).map((path) => resolve(path));
  if (!plugins) {
    console.error(`usage: node ${process.argv[1]} path/to/chatup plugins-dir`);
    process.exit(2);
  }
  Server.binary = binary;
  Server.plugins = plugins;
  mkdirSync(SCREENSHOTS, { recursive: true });
  const home = mkdtempSync(join(tmpdir(), 'chatup-browser-'));
  let browser;
  try {
    browser = await openBrowser();
    await act({ home, browser });
  } catch (error) {
    check(false, 'the story runs to its end', error.stack);
  }
  await browser?.close();
  const all = [...started];
  for (const child of all)
    child.kill('SIGKILL');
  await Promise.all(all.map((child) => child.ended));
  rmSync(home, { recursive: true, force: true });
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
