import assert from 'node:assert/strict';
import { test } from 'node:test';
import { said, tokenOf, World } from './world.js';

test('a guest gets a worker, the history oldest first, and then what is said', async () => {
  const world = new World();
  const ready = world.chat.init();
  assert.deepEqual((await world.joined('w1', [said(1, 'a'), said(2, 'b')])).body, {});
  const socket = await world.reading();
  await ready;
  assert.equal(socket.url, 'ws://w1/ws');
  assert.deepEqual(socket.sent[0].channels, [{ channel: 'lobby', since: 'e:2' }]);
  socket.receive({ channel: 'lobby', offset: 3, messages: [said(3, 'c')] });
  assert.deepEqual(world.texts(), ['a', 'b', 'c']);
  const [message] = world.of('message');
  assert.equal(message.channel, 'lobby');
  assert.equal(message.date.getTime(), 1700000001500);
  assert.deepEqual(world.of('status'), ['gettingWorker', 'connecting', 'connected']);
  assert.equal(world.chat._worker!.host, 'http://w1');
  assert.equal(world.chat._pubConnected, false);
  assert.equal(world.has('/pub'), false);
});

test('after a cut it goes on from where it was, once, after a pause with jitter', async () => {
  for (const random of [0, 0.99]) {
    const world = await World.guest();
    world.random = random;
    world.socket('/ws').receive({ channel: 'lobby', offset: 1, messages: [said(1, 'a')] });
    await world.pass(20000);
    world.socket('/ws').end();
    assert.equal(world.chat.status, 'subConnectError');
    await world.pass(random ? 1000 : 99);
    assert.equal(world.has('/ws'), false);
    await world.pass(random ? 100 : 1);
    const socket = world.socket('/ws');
    socket.accept();
    assert.deepEqual(socket.sent[0].channels, [{ channel: 'lobby', since: 'e:1' }]);
    socket.receive({ channel: 'lobby', epoch: 'e', offset: 2, recovered: true, messages: [said(2, 'b')] });
    assert.deepEqual(world.texts(), ['a', 'b']);
    assert.equal(world.of('gap').length, 0);
  }
});

test('what cannot be proven continuous is a gap, and nothing comes twice', async () => {
  for (const epoch of ['e', 'another']) {
    const world = await World.guest();
    world.socket('/ws').receive({ channel: 'lobby', offset: 2, messages: [said(1, 'a'), said(2, 'b')] });
    world.socket('/ws').end();
    await world.pass(2000);
    const socket = world.socket('/ws');
    socket.accept();
    const history = epoch === 'e' ? [said(2, 'b'), said(3, 'c')] : [{ ...said(2, 'b'), o: 7 }, { ...said(3, 'c'), o: 8 }];
    socket.receive({ channel: 'lobby', epoch, offset: 9, recovered: false, messages: history });
    assert.deepEqual(world.texts(), ['a', 'b', 'c']);
    assert.deepEqual(world.of('gap').map(({ channel, messages }) => [channel, messages.length]), [['lobby', 2]]);
    assert.deepEqual(world.events.at(-2)![0], 'gap'); /* before what is new */
    socket.end();
    await world.pass(2000);
    world.socket('/ws').accept();
    assert.equal(world.socket('/ws').sent[0].channels[0].since, `${epoch}:9`);
  }
});

test('websocket, then server-sent events, then long polling, then another worker', async () => {
  const world = new World();
  world.chat.init();
  await world.joined();
  world.socket('/ws').end();
  const events = await world.next('/ev');
  assert.deepEqual(JSON.parse(events.query.get('channels')!), [{ channel: 'lobby', since: 'e:0' }]);
  events.answer(403, {}); /* of something on the way: it is not the server that refuses */
  await world.reached();
  (await world.next('/lp')).answer(502, {});
  await world.pass(3000);
  assert.deepEqual((await world.joined('w2')).body, { type: 'workerSubConnect', worker: { id: 'w1' } });
  await world.reading();
  assert.equal(world.socket('/ws').url, 'ws://w2/ws');
  assert.deepEqual(world.of('transport'), ['longpolling', 'websocket']);
  assert.ok(world.of('status').includes('workerSwitch'));
});

test('a connection that does not open in time is a failure', async () => {
  const world = new World({ socketIO: { timeout: 700 } });
  world.chat.init();
  await world.joined();
  world.socket('/ws').accept(); /* something on the way answers, and passes nothing on */
  await world.pass(699);
  assert.equal(world.asked.length, 0);
  await world.pass(1);
  await world.next('/ev');
});

test('a worker that has worked is tried twice, then another one', async () => {
  const world = await World.guest();
  await world.pass(20000);
  world.socket('/ws').end();
  await world.pass(2000);
  world.socket('/ws').end();
  await world.pass(3000);
  assert.equal(world.asked.length, 0);
  world.socket('/ws').end();
  await world.pass(5000);
  assert.deepEqual((await world.joined('w2')).body.worker, { id: 'w1' });
  await world.reading();
  assert.equal(world.chat.status, 'connected');
});

test('websockets that are cut again and again make way for another transport', async () => {
  const world = await World.guest();
  for (let life = 1; life <= 3; life++) {
    await world.pass(3000);
    world.socket('/ws').end();
    await world.pass(3000);
    if (life < 3)
      await world.reading();
  }
  await world.next('/ev');
});

test('server-sent events are read whatever pieces they come in', async () => {
  const world = new World({ transports: ['eventsource'] });
  world.chat.init();
  await world.joined();
  let pipe!: ReadableStreamDefaultController<Uint8Array>;
  (await world.next('/ev')).answer(200, new ReadableStream({ start(controller) { pipe = controller; } }));
  const frame = (o: number, more: object) => `id: e:${o}\ndata: ${JSON.stringify({ channel: 'lobby', offset: o, messages: [said(o, `Grün ${o}`)], ...more })}\n\n`;
  const bytes = new TextEncoder().encode(`retry: 2000\n\n${frame(1, { epoch: 'e', recovered: true })}: still here\n\n${frame(2, {})}event: expires\ndata: {"expires":50}\n\n`);
  for (const byte of bytes) {
    pipe.enqueue(Uint8Array.of(byte));
    await new Promise((done) => { setImmediate(done); });
  }
  assert.deepEqual(world.texts(), ['Grün 1', 'Grün 2']);
  assert.equal(world.chat.status, 'connected');
  pipe.enqueue(new TextEncoder().encode('event: close\ndata: {"close":1001,"reason":"going away"}\n\n'));
  await world.pass(2000);
  assert.equal((await world.joined('w2')).body.worker.id, 'w1');
  assert.equal(JSON.parse((await world.next('/ev')).query.get('channels')!)[0].since, 'e:2');
});

test('long polling asks again from where it is, and not without a pause', async () => {
  const world = new World({ transports: ['longpolling'], additionalChannels: ['news'] });
  world.chat.init();
  await world.joined();
  await world.reached();
  assert.equal(world.chat.status, 'connected'); /* although there is nothing to tell yet */
  const first = await world.next('/lp');
  assert.deepEqual(JSON.parse(first.query.get('channels')!), [{ channel: 'lobby', since: 'e:0' }, { channel: 'news' }]);
  first.answer(200, { since: 'e:1,n:0', frames: [{ channel: 'lobby', offset: 1, messages: [said(1, 'a')] }] });
  const second = await world.next('/lp');
  assert.deepEqual(world.texts(), ['a']);
  assert.deepEqual(JSON.parse(second.query.get('channels')!), [{ channel: 'lobby', since: 'e:1' }, { channel: 'news', since: 'n:0' }]);
  second.answer(200, { since: 'e:1,n:0', frames: [] });
  await world.settle();
  assert.equal(world.asked.length, 0);
  await world.pass(1000);
  await world.next('/lp');
});

test('a server that goes says so: another one is asked for, after the time it gave', async () => {
  const world = await World.guest();
  world.random = 0;
  world.socket('/ws').end(1001, 'going away; reconnect in 700 ms');
  await world.pass(699);
  assert.equal(world.asked.length, 0);
  await world.pass(1);
  assert.equal((await world.joined('w2')).body.worker.id, 'w1');
});

test('after a life that was long enough the next pause is a short one, whatever ended it', async () => {
  const world = await World.guest();
  world.random = 0.99;
  for (let life = 0; life < 6; life++) {
    await world.pass(20000);
    world.socket('/ws').end(1001, 'going away');
    await world.pass(1100);
    await world.joined(`w${life}`);
    await world.reading();
  }
});

test('events that nobody hears of are no more patient for being looked at', async () => {
  const world = new World({ transports: ['eventsource'] });
  world.chat.init();
  await world.joined();
  const first = await world.next('/ev');
  for (let second = 0; second < 5; second++) {
    world.wake(false);
    await world.pass(1000);
  }
  first.answer(200, {});
  await world.pass(3000);
  await world.joined('w2');
  let pipe!: ReadableStreamDefaultController<Uint8Array>;
  (await world.next('/ev')).answer(200, new ReadableStream({ start(controller) { pipe = controller; } }));
  pipe.enqueue(new TextEncoder().encode(`data: ${JSON.stringify({ channel: 'lobby', epoch: 'e', offset: 0, recovered: true, messages: [] })}\n\n`));
  await world.settle();
  assert.equal(world.chat.status, 'connected');
  for (let second = 0; second < 40; second++) {
    world.wake(false);
    await world.pass(1000);
  }
  assert.equal(world.of('status').includes('subConnectError'), true);
  assert.equal(world.of('status').lastIndexOf('connected') < world.of('status').lastIndexOf('subConnectError'), true);
});

test('no worker, and no dispatcher, are waited for', async () => {
  const world = new World();
  world.chat.init();
  (await world.next('/join')).answer(418, { error: 'No workers available' });
  await world.settle();
  assert.equal(world.chat.status, 'noWorker');
  await world.pass(2000);
  (await world.next('/join')).fail();
  await world.settle();
  assert.equal(world.chat.status, 'dispatcherError');
  await world.pass(4000);
  await world.joined();
  await world.reading();
  assert.equal(world.chat.status, 'connected');
});

test('a room that cannot be is not asked for again', async () => {
  const world = new World();
  const ready = world.chat.init();
  (await world.next('/join')).answer(400, { status: 'error', err: 'channel: too long' });
  await assert.rejects(ready, { name: 'ChatUpError', err: 'channel: too long', httpStatus: 400 });
  await world.pass(100000);
  assert.equal(world.asked.length, 0);
  assert.equal(world.chat.status, 'dispatcherError');
});

test('a peer that does not answer a ping is dead', async () => {
  const world = await World.guest();
  const { sent } = world.socket('/ws');
  await world.pass(25000);
  assert.deepEqual(sent.at(-1), { ping: 1 });
  world.socket('/ws').receive({ pong: 1 });
  await world.pass(25000);
  assert.deepEqual(sent.at(-1), { ping: 2 });
  await world.pass(10000);
  assert.equal(world.chat.status, 'subConnectError');
});

test('a page that comes back asks at once whether its connection lives', async () => {
  const world = await World.guest();
  world.wake(false);
  assert.deepEqual(world.socket('/ws').sent.at(-1), { ping: 1 });
  await world.pass(4000);
  assert.equal(world.chat.status, 'subConnectError');
  world.wake(true);
  await world.settle();
  await world.reading(); /* at once, not after the pause */
});

test('what was still under way is no answer to whether it lives', async () => {
  const world = await World.guest();
  world.wake(false);
  world.wake(false);
  world.socket('/ws').receive({ pong: 1 });
  await world.pass(3000);
  world.socket('/ws').receive({ channel: 'lobby', offset: 1, messages: [] });
  await world.pass(4000);
  assert.equal(world.chat.status, 'subConnectError');
});

test('an answered question leaves it alone', async () => {
  const world = await World.guest();
  world.wake(false);
  world.socket('/ws').receive({ pong: 1 });
  await world.pass(24000);
  assert.deepEqual(world.socket('/ws').sent.at(-1), { ping: 1 });
  assert.equal(world.chat.status, 'connected');
});

test('after five minutes of another transport it tries websockets again, and back', async () => {
  const world = await World.guest();
  await world.pass(20000);
  world.socket('/ws').end();
  for (let failure = 1; failure <= 3; failure++) {
    await world.pass(5000);
    if (failure === 3)
      await world.joined('w2').then(() => world.settle());
    world.socket('/ws').end();
  }
  let pipe!: ReadableStreamDefaultController<Uint8Array>;
  const open = async () => (await world.next('/ev')).answer(200, new ReadableStream({ start(controller) { pipe = controller; } }));
  await open();
  const say = async (o: number) => {
    pipe.enqueue(new TextEncoder().encode(`data: ${JSON.stringify({ channel: 'lobby', epoch: 'e', offset: o, recovered: true, messages: [said(o, 'm')] })}\n\n`));
    await world.settle();
  };
  await say(1);
  for (let minute = 0; minute < 4; minute++) {
    await world.pass(60000);
    await say(minute + 2);
  }
  assert.equal(world.has('/ws'), false);
  await world.pass(60000);
  world.socket('/ws').end(); /* still blocked: at once back to what works */
  await open();
  await say(6);
  assert.equal(world.chat.status, 'connected');
  assert.equal(world.texts().length, 6);
});

test('on another network it tries websockets again', async () => {
  const world = new World();
  world.chat.init();
  await world.joined();
  world.socket('/ws').end();
  await world.next('/ev');
  world.wake(true);
  await world.settle();
  await world.reading();
  assert.deepEqual(world.of('transport'), ['websocket']);
});

test('additional channels that are refused leave the room, until there is a token', async () => {
  const world = new World({ additionalChannels: ['user:1'] });
  world.chat.init();
  await world.joined();
  world.socket('/ws').accept();
  assert.deepEqual(world.socket('/ws').sent[0].channels, [{ channel: 'lobby', since: 'e:0' }, { channel: 'user:1' }]);
  world.socket('/ws').end(1008, 'unauthorized');
  await world.settle();
  assert.deepEqual((await world.reading()).sent[0].channels, [{ channel: 'lobby', since: 'e:0' }]);
  assert.equal(world.of('error')[0].message, 'unauthorized');
  world.conf.jwt = tokenOf('Ann');
  const entered = world.chat.authenticate();
  await world.settle();
  await world.speaking();
  await entered;
  await world.settle();
  world.socket('/ws').accept();
  assert.equal(world.socket('/ws').sent[0].token, tokenOf('Ann'));
  assert.equal(world.socket('/ws').sent[0].channels.length, 2);
});

test('so do those of somebody whose token comes late', async () => {
  const world = new World({ additionalChannels: ['user:1'], getToken: () => late });
  let give!: (token: string) => void;
  const late = new Promise<string>((done) => { give = done; });
  world.chat.init();
  await world.settle();
  assert.equal(world.asked.length, 0); /* it reads as who speaks */
  give(tokenOf('Ann'));
  assert.equal((await world.joined()).token, tokenOf('Ann'));
  world.socket('/ws').accept();
  assert.equal(world.socket('/ws').sent[0].token, tokenOf('Ann'));
  assert.equal(world.socket('/ws').sent[0].channels.length, 2);
});

test('a room for people with a token is opened once there is one', async () => {
  const world = new World();
  const ready = world.chat.init();
  const asked = await world.next('/join');
  world.conf.jwt = tokenOf('Ann');
  const entered = world.chat.authenticate();
  asked.answer(403, { status: 'error', err: 'unauthorized' });
  assert.equal((await world.joined()).token, tokenOf('Ann'));
  await world.reading();
  await world.speaking();
  await Promise.all([ready, entered]);

  const later = new World();
  const refused = later.chat.init();
  (await later.next('/join')).answer(403, { status: 'error', err: 'unauthorized' });
  await assert.rejects(refused, { err: 'unauthorized' });
  assert.equal(later.chat.status, 'authError');
  later.conf.jwt = tokenOf('Ann');
  const afterwards = later.chat.authenticate();
  await later.joined();
  await later.speaking();
  await afterwards;
  await later.settle();
  await later.reading();
  assert.equal(later.chat.status, 'authenticated');
});

test('what /join answers after close is not listened to', async () => {
  for (const answer of [200, 500]) {
    const world = new World();
    world.chat.init();
    const asked = await world.next('/join');
    world.chat.close();
    asked.answer(answer, answer === 200 ? { host: 'http://w1', id: 'w1', channel: { subCount: 1, pubCount: 0 }, epoch: 'e', offset: 1, messages: [said(1, 'a')] }
      : { status: 'error', err: 'unavailable' });
    await world.pass(60000);
    assert.deepEqual(world.texts(), []);
    assert.equal(world.chat.status, 'disconnected');
    const again = world.chat.init();
    await world.joined('w1', [said(1, 'a')]);
    await world.reading();
    await again;
    assert.deepEqual(world.texts(), ['a']);
  }
});

test('a worker that nobody reaches is left', async () => {
  const world = new World({ transports: ['longpolling'] });
  world.chat.init();
  await world.joined();
  await world.next('/health/live'); /* no answer */
  await world.pass(8000);
  assert.deepEqual((await world.joined('w2')).body.worker, { id: 'w1' });
  assert.ok(!world.of('status').includes('connected'));
});

test('what is not of ChatUp is a failure, and no exception', async () => {
  for (const text of ['<html>', 'null', '7', '']) {
    const world = await World.speaker();
    for (const path of ['/ws', '/pub'])
      world.socket(path).onmessage!({ data: text });
    assert.equal(world.has('/ws'), false);
    assert.equal(world.has('/pub'), false);
  }
  const world = new World();
  world.chat.init();
  (await world.next('/join')).answer(200, { host: 'no url', id: 'w1', channel: { subCount: 1, pubCount: 0 }, epoch: 'e', offset: 0, messages: [] });
  await world.settle();
  await world.pass(5000);
  assert.deepEqual((await world.joined('w2')).body.worker, { id: 'w1' });
});

test('what the server refuses over HTTP is a refusal', async () => {
  const world = new World({ transports: ['eventsource', 'longpolling'] });
  const ready = world.chat.init();
  await world.joined();
  (await world.next('/ev')).answer(403, { status: 'error', err: 'forbidden' });
  await assert.rejects(ready, { err: 'forbidden' });
  assert.equal(world.chat.status, 'authError');
  await world.pass(100000);
  assert.equal(world.asked.length, 0);
});

test('the history of an additional channel is no gap', async () => {
  const world = new World({ additionalChannels: ['news'] });
  world.chat.init();
  await world.joined();
  const socket = world.socket('/ws');
  socket.accept();
  socket.receive({ channel: 'lobby', epoch: 'e', offset: 0, recovered: true, messages: [] });
  socket.receive({ channel: 'news', epoch: 'n', offset: 4, recovered: false, messages: [said(4, 'old')] });
  assert.deepEqual(world.of('message').map(({ channel, msg }) => [channel, msg]), [['news', 'old']]);
  assert.equal(world.of('gap').length, 0);
});

test('who is there is counted: oneself, who comes and goes, what the server tells', async () => {
  const world = await World.guest();
  const event = (ev: string, data?: unknown) => world.socket('/ws').receive({ channel: 'lobby', offset: 0,
    messages: [{ ev, data, user: { name: 'Bob' }, i: ev, d: 1 }] });
  assert.deepEqual([world.chat.stats.pubCount, world.chat.stats.subCount], [1, 3]);
  event('join');
  assert.equal(world.chat.stats.pubCount, 2);
  event('leave');
  assert.equal(world.chat.stats.pubCount, 1);
  event('presence', { pubCount: 120 });
  assert.deepEqual([world.chat.stats.pubCount, world.chat.stats.subCount], [120, 120]);
  assert.deepEqual(world.of('event').map(({ ev, user }) => [ev, user.name]), [['join', 'Bob'], ['leave', 'Bob'], ['presence', 'Bob']]);
  const users = world.chat.getUsers({ limit: 5, skip: 10 });
  const asked = await world.next('/stats');
  assert.deepEqual([asked.query.get('limit'), asked.query.get('skip')], ['5', '10']);
  asked.answer(200, { pubCount: 7, subCount: 9, users: 6, limit: 5, skip: 10, clients: [{ name: 'Ann' }] });
  assert.deepEqual(await users, { clients: [{ name: 'Ann' }], pubCount: 7, subCount: 9, users: 6 });
  assert.deepEqual([world.chat.stats.pubCount, world.chat.stats.subCount], [7, 9]);
});

test('counts are asked for now and then, but not while nobody looks', async () => {
  const world = await World.guest({ userCountRefreshTimeout: 20000 });
  await world.pass(20000);
  (await world.next('/stats')).answer(200, { pubCount: 5, subCount: 6, users: 5, clients: [] });
  await world.settle();
  assert.equal(world.chat.stats.pubCount, 5);
  world.hidden = true;
  world.socket('/ws').receive({ pong: 1 });
  await world.pass(20000);
  assert.equal(world.asked.length, 0);
});

test('after a ban in the history, who comes and goes is told as before', async () => { /* B11 */
  const world = new World();
  world.chat.init();
  await world.joined('w1', [{ ev: 'rmUserMsg', data: 'x', user: null, i: 'r', d: 1, o: 1 }]);
  const socket = await world.reading();
  for (const i of ['j1', 'j2'])
    socket.receive({ channel: 'lobby', offset: 1, messages: [{ ev: 'join', user: { name: 'Bob' }, i, d: 1 }] });
  assert.deepEqual(world.of('event').map(({ ev }) => ev), ['rmUserMsg', 'join', 'join']);
});

test('a user that is no object is given a name', async () => {
  const world = await World.guest();
  for (const [o, user] of ['Server', 7, null, undefined, ['a']].entries())
    world.socket('/ws').receive({ channel: 'lobby', offset: o, messages: [{ ...said(o, 'x'), user }] });
  assert.deepEqual(world.of('message').map(({ user }) => user), [{ name: 'Server' }, { name: '7' }, {}, {}, { name: 'a' }]);
});

test('close ends it for good', async () => {
  const world = await World.guest();
  world.chat.close();
  assert.equal(world.chat.status, 'disconnected');
  await world.pass(100000);
  assert.equal(world.has('/ws'), false);
  assert.equal(world.asked.length, 0);
});
