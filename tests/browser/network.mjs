/* The client library where networks are bad: websockets blocked, streams blocked, lines cut and stalled, a browser
 * offline, TLS, a worker killed; and pages as the original's users wrote them.
 *     node tests/browser/network.mjs path/to/chatup plugins-dir */
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { check, checkSoon, equal, Proxy, Server, start, story, Tab, wait } from './lib.mjs';

/** A server that announces the proxy in front of it. */
async function behindProxy(home, name) {
  const proxy = await new Proxy().start();
  const server = proxy.target = await new Server(home, name, { yaml: `announce: ${proxy.url}\n` }).start();
  return { server, proxy };
}

async function enter(browser, url, name, room = 'lobby') {
  const tab = await Tab.open(browser, `${url}/?room=${encodeURIComponent(room)}`);
  await wait(() => tab.isOpen());
  await tab.enter(name);
  await checkSoon(() => tab.talks(), `${name} enters ${room}`, async () => [await tab.status(), await tab.notice()]);
  return tab;
}

const post = async (server, room, msg) => server.ask('/post', await server.signed([{ channel: room, msg, user: { name: 'Server' } }]));

async function blocked(home, browser) {
  const { server, proxy } = await behindProxy(home, 'blocked');
  proxy.mode = 'websockets';
  const ann = await enter(browser, proxy.url, 'Ann');
  check(proxy.paths.includes('/ev') && !proxy.paths.includes('/lp'), 'without websockets it reads server-sent events', proxy.paths);
  const bob = await enter(browser, server.url, 'Bob');
  await ann.say('by HTTP');
  await checkSoon(async () => equal(await bob.texts(), ['by HTTP']) && equal(await ann.texts(), ['by HTTP']), 'and speaks by POST', () => ann.notice());
  check(proxy.paths.includes('/pub'), 'to /pub');
  proxy.mode = 'streams';
  proxy.cut((path) => path === '/ev');
  await bob.say('meanwhile');
  await checkSoon(async () => (await ann.texts()).includes('meanwhile') && await ann.isOpen(), 'without streams it polls, and misses nothing', () => ann.texts());
  check(proxy.paths.includes('/lp'), 'by /lp');
  await ann.say('polled');
  await checkSoon(async () => equal(await bob.texts(), ['by HTTP', 'meanwhile', 'polled']), 'and still speaks', () => ann.notice());
  proxy.mode = 'pass';
  proxy.paths.length = 0;
  await ann.js(() => dispatchEvent(new Event('online')));
  await checkSoon(() => proxy.paths.includes('/ws'), 'on another network it tries websockets again', () => proxy.paths);
  await bob.say('well again');
  await checkSoon(async () => equal(await ann.texts(), ['by HTTP', 'meanwhile', 'polled', 'well again']), 'and goes on where it was', () => ann.texts());
  check(equal(ann.problems(), []), 'the console is clean', ann.problems());
  await ann.close();
  await bob.close();
  proxy.stop();
  await server.kill();
}

async function flapping(home, browser) {
  const { server, proxy } = await behindProxy(home, 'flapping');
  const ann = await enter(browser, proxy.url, 'Ann');
  const said = [];
  for (let round = 0; round < 40; round++) {
    said.push(`m${round}`);
    await post(server, 'lobby', said.at(-1));
    if (round % 4 === 0) {
      proxy.cut();
      await ann.js(() => dispatchEvent(new Event('online'))); /* do not wait out the pause */
    }
    if (round % 10 === 5)
      await ann.say(`a${round}`);
  }
  const all = async () => (await server.history('lobby')).map(({ msg }) => msg);
  await checkSoon(async () => (await all()).length === 44 && equal(await ann.texts(), await all()), 'a line that is cut ten times loses and doubles nothing, both ways',
                  async () => [await ann.texts(), await all()]);
  /* Cut so often it may read by events, which cannot be asked whether they live. */
  await checkSoon(async () => {
    await ann.js(() => dispatchEvent(new Event('online')));
    return await ann.isOpen() && proxy.count('/ws') === 2 && proxy.count('/ev') === 0;
  }, 'the room and what is for Ann alone are read by websockets again', () => [...proxy.sockets].map(({ path }) => path));
  proxy.mode = 'stall';
  await post(server, 'lobby', 'into a line that is dead and does not know it');
  await ann.js(() => dispatchEvent(new Event('offline')));
  await checkSoon(async () => !await ann.isOpen(), 'a stalled line is noticed', () => ann.status());
  proxy.mode = 'pass';
  await checkSoon(async () => (await ann.texts()).at(-1) === 'into a line that is dead and does not know it', 'and what was said meanwhile arrives');
  check(await ann.page.locator('.chatup-gap').count() === 0, 'all of it proven');
  await ann.page.context().setOffline(true);
  proxy.cut();
  await checkSoon(async () => !await ann.isOpen(), 'a browser that goes offline');
  await post(server, 'lobby', 'while offline');
  await ann.page.context().setOffline(false);
  await checkSoon(async () => (await ann.texts()).at(-1) === 'while offline' && await ann.isOpen(), 'comes back, and has missed nothing');
  /* More than the history holds: the page says so. */
  proxy.mode = 'dead';
  proxy.cut();
  for (let many = 0; many < 6; many++)
    await server.ask('/post', await server.signed(Array.from({ length: 30 }, (_, at) => ({ channel: 'lobby', msg: `n${many * 30 + at}` }))));
  proxy.mode = 'pass';
  await checkSoon(async () => (await ann.texts()).at(-1) === 'n179', 'after too long the history is shown', () => ann.texts());
  check(await ann.page.locator('.chatup-gap').count() === 1, 'and that something may be missing');
  const texts = await ann.texts();
  check(new Set(texts).size === texts.length, 'nothing twice', texts);
  await ann.close();
  proxy.stop();
  await server.kill();
}

async function tls(home, browser) {
  const [key, certificate] = [join(home, 'tls.key'), join(home, 'tls.crt')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost'],
               { stdio: 'ignore' });
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  const server = await new Server(home, 'tls', { yaml: `tls:\n  key: ${key}\n  certificate: ${certificate}\n` }).start();
  check(server.url.startsWith('https://'), 'a server with TLS');
  const ann = await enter(browser, server.url, 'Ann');
  const bob = await enter(browser, server.url, 'Bob');
  await ann.say('safe');
  await checkSoon(async () => equal(await bob.texts(), ['safe']), 'two people talk over TLS', () => bob.notice());
  await server.kill();
  await checkSoon(async () => !await ann.isOpen(), 'it dies');
  await bob.say('while it was away');
  await server.start();
  await checkSoon(async () => equal(await ann.texts(), ['safe', 'while it was away']) && equal(await bob.texts(), ['safe', 'while it was away']),
                  'and nothing is lost or doubled over TLS either', async () => [await ann.texts(), await bob.texts()]);
  await ann.close();
  await bob.close();
  await server.kill();
}

async function freePort() {
  const listener = net.createServer();
  await new Promise((done) => { listener.listen(0, '127.0.0.1', done); });
  const { port } = listener.address();
  await new Promise((done) => { listener.close(done); });
  return port;
}

async function cluster(home, browser) {
  const port = await freePort();
  mkdirSync(join(home, 'redis'));
  const redis = start('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', join(home, 'redis')], join(home, 'redis.log'));
  await wait(() => new Promise((done) => { net.connect(port, '127.0.0.1').on('connect', function () { this.destroy(); done(true); }).on('error', () => done(false)); }));
  const yaml = `redis:\n  host: 127.0.0.1\n  port: ${port}\n`;
  const workers = [];
  for (const name of ['worker-a', 'worker-b', 'dispatcher']) {
    const server = new Server(home, name, { role: name.replace(/-.*/, ''), yaml });
    server.data = join(home, 'cluster'); /* one key of the demo for all */
    workers.push(await server.start());
  }
  const dispatcher = workers.pop();
  await wait(async () => (await dispatcher.ask('/join/lobby', '')).host);
  const ann = await enter(browser, dispatcher.url, 'Ann');
  const bob = await enter(browser, dispatcher.url, 'Bob');
  const at = (tab) => tab.page.locator('.chatup-status').getAttribute('title');
  await ann.say('before');
  await checkSoon(async () => equal(await bob.texts(), ['before']), 'two people talk through Redis', () => bob.notice());
  const home1 = await at(ann);
  const doomed = workers.find(({ url }) => url === home1);
  check(doomed !== undefined, 'a page is on one of the workers', home1);
  await doomed?.kill();
  await ann.say('to a dead worker');
  await checkSoon(async () => await at(ann) !== home1 && await ann.status() === 'authenticated', 'which is killed: the page is on the other one', () => at(ann));
  for (const tab of [ann, bob])
    await checkSoon(async () => equal(await tab.texts(), ['before', 'to a dead worker']), 'and nothing is lost or doubled', () => tab.texts());
  await ann.close();
  await bob.close();
  for (const server of [...workers, dispatcher])
    await server.kill();
  redis.kill();
  await redis.ended;
}

/* The page of the original: a dispatcher's URL, a room, a token that is pasted, several on one page. */
async function original(home, browser) {
  const server = await new Server(home, 'original').start();
  const tab = await Tab.open(browser, `${server.url}/examples/original.html`);
  const { page } = tab;
  await page.locator('#add').click();
  await page.locator('#dispatcherURL').fill(`${server.url}/`);
  const room = (index) => page.locator('.instance').nth(index);
  for (const index of [0, 1]) {
    await room(index).locator('.join').click();
    await checkSoon(async () => /^connected to TestRoom on http/.test(await room(index).locator('.status').textContent()), 'an instance connects',
                    () => room(index).locator('.status').textContent());
  }
  await room(0).locator('.text').fill('too early');
  await room(0).locator('.form button').click();
  await checkSoon(async () => /authenticate first/.test(await room(0).locator('.messages').textContent()), 'a guest cannot speak');
  await room(0).locator('.jwt').fill('no token');
  await room(0).locator('.authenticate').click();
  await checkSoon(async () => await room(0).locator('.status').textContent() === 'authError', 'a bad token is an authError');
  for (const [index, name] of [[0, 'Ann'], [1, 'Bob']]) {
    const { token } = await server.ask('/plugin/demo/token', JSON.stringify({ name }));
    await room(index).locator('.jwt').fill(token);
    await room(index).locator('.authenticate').click();
    await checkSoon(async () => /^authenticated to TestRoom/.test(await room(index).locator('.status').textContent()), `${name} authenticates in the same page`);
  }
  await room(0).locator('.text').fill('Hello Bob');
  await room(0).locator('.form button').click();
  await checkSoon(async () => /Bob joined.*Ann: Hello Bob/.test(await room(1).locator('.messages').textContent()), 'and they talk',
                  () => room(1).locator('.messages').textContent());
  await checkSoon(async () => await room(1).locator('.people').textContent() === '2' && await room(1).locator('.guests').textContent() === '0', 'people and guests are counted',
                  () => room(1).textContent());
  await server.ask('/ban', await server.signed([{ name: 'Bob', channel: 'TestRoom', expire: 60 }]));
  await room(1).locator('.text').fill('still here?');
  await room(1).locator('.form button').click();
  await checkSoon(async () => /\(banned, for \d+ seconds\)/.test(await room(1).locator('.messages').textContent()), 'a ban is told with its seconds');
  await page.setViewportSize({ width: 1200, height: 700 });
  await page.screenshot({ path: 'build/screenshots/original.png' });
  check(equal(tab.problems(), []), 'the console is clean', tab.problems());
  await tab.close();
  await server.kill();
}

await story(async ({ home, browser }) => {
  for (const [name, act] of Object.entries({ original, blocked, flapping, tls, cluster })) {
    const folder = join(home, name);
    mkdirSync(folder);
    if (!process.argv[4] || process.argv[4] === name)
      await act(folder, browser);
  }
});
