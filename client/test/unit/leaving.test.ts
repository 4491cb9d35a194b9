/* What a handler does to the object that calls it: close() is the end also there, and nothing is opened twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Events, Status } from '../../src/types.js';
import { said, tokenOf, World } from './world.js';

/** Nothing lives, and nothing is told any more. */
async function isOver(world: World): Promise<void> {
  assert.equal(world.has('/ws'), false);
  assert.equal(world.has('/pub'), false);
  assert.equal(world.chat.status, 'disconnected');
  const told = world.events.length;
  const sockets = world.sockets.length;
  world.asked.splice(0).forEach(({ fail }) => fail());
  await world.settle();
  assert.equal(world.pending, 0);
  await world.pass(100000);
  assert.equal(world.asked.length, 0);
  assert.equal(world.sockets.length, sockets);
  assert.deepEqual(world.events.slice(told), []);
}

const closeAt = (world: World, status: Status) => world.chat.on('status', (now) => now === status && world.chat.close());

test('close() in a handler of a status is the end, whichever it is', async () => {
  for (const status of ['gettingWorker', 'connecting', 'connected', 'authenticated'] as const) {
    const world = new World({ jwt: tokenOf('Ann'), userCountRefreshTimeout: 20000 });
    closeAt(world, status);
    const ready = world.chat.init();
    if (status === 'gettingWorker' || status === 'connecting')
      await assert.rejects(Promise.all([ready, status === 'connecting' && world.joined()]), { err: 'closed' });
    else
      await world.joined().then(() => world.reading());
    if (status === 'authenticated')
      await world.speaking();
    await world.settle();
    await isOver(world);
  }
  for (const [path, status] of [['/ws', 'subConnectError'], ['/pub', 'pubConnectError']] as const) {
    const world = await World.speaker();
    closeAt(world, status);
    world.socket(path).end();
    await isOver(world);
  }
  const refused = new World();
  closeAt(refused, 'authError');
  refused.chat.init();
  (await refused.next('/join')).answer(403, { status: 'error', err: 'forbidden' });
  await refused.settle();
  await isOver(refused);
});

test('close() in a handler of an event is the end', async () => {
  const closing = async (name: keyof Events, act: (world: World) => unknown) => {
    const world = await World.speaker({ additionalChannels: ['news'] });
    world.chat.on(name, () => world.chat.close());
    await act(world);
    await world.settle();
    assert.equal(world.of(name).length, 1);
    await isOver(world);
  };
  for (const path of ['/ws', '/pub'])
    await closing('kicked', (world) => world.socket(path).end(1008, 'kicked'));
  await closing('error', (world) => world.socket('/ws').end(1008, 'forbidden'));
  const messages = [said(1, 'a'), said(2, 'b')];
  await closing('message', (world) => world.socket('/ws').receive({ channel: 'lobby', offset: 2, messages }));
  await closing('gap', (world) => world.socket('/ws').receive({ channel: 'lobby', offset: 2, epoch: 'f', recovered: false, messages }));
  await closing('banned', (world) => {
    world.chat.say('x').catch(() => {});
    return world.settle().then(() => {
      const socket = world.socket('/pub');
      socket.receive({ id: socket.sent.at(-1).id, reply: { status: 'error', err: 'banned', ttl: 9 } });
    });
  });
});

test('what was not shown before close() is shown after the next init(), once', async () => {
  for (const inHistory of [true, false]) {
    const world = new World();
    const stop = world.chat.on('message', ({ msg }) => msg === 'b' && world.chat.close());
    world.chat.init();
    const all = [said(1, 'a'), said(2, 'b'), said(3, 'c')];
    await world.joined('w1', inHistory ? all : []);
    if (!inHistory) {
      await world.reading();
      world.socket('/ws').receive({ channel: 'lobby', offset: 3, messages: all });
    }
    assert.deepEqual(world.texts(), ['a', 'b']);
    stop();
    world.chat.init();
    await world.joined('w1', all);
    const socket = world.socket('/ws');
    socket.accept();
    assert.equal(socket.sent[0].channels[0].since, 'e:2');
    socket.receive({ channel: 'lobby', epoch: 'e', offset: 3, recovered: true, messages: [all[2]] });
    assert.deepEqual(world.texts(), ['a', 'b', 'c']);
  }
});

test('what is under way when it is closed ends without a word', async () => {
  const world = await World.guest();
  let fail = (_: Error) => {};
  world.conf.getToken = () => new Promise((_, no) => { fail = no; });
  world.chat.authenticate().catch(() => {});
  await world.settle();
  const users = assert.rejects(world.chat.getUsers(), { err: 'closed' });
  world.chat.close();
  fail(new Error('502'));
  (await world.next('/stats')).answer(200, { pubCount: 5, subCount: 6, users: 5, clients: [] });
  await users;
  assert.deepEqual([world.of('userCount').length, world.of('error').length], [1, 0]);
  await isOver(world);

  const busy = await World.speaker();
  busy.chat.say('x').catch(() => {});
  await busy.settle();
  busy.socket('/pub').receive({ id: busy.socket('/pub').sent.at(-1).id, reply: { status: 'error', err: 'busy' } });
  busy.chat.close();
  await isOver(busy);

  const polling = new World({ transports: ['longpolling'] });
  polling.chat.init();
  await polling.joined();
  await polling.reached();
  (await polling.next('/lp')).answer(200, { since: 'e:0', frames: [] });
  await polling.settle();
  polling.chat.close();
  await isOver(polling);
});

test('a token that comes after close() is asked for nothing', async () => {
  let give = (_: string) => {};
  const world = new World({ getToken: () => new Promise((done) => { give = done; }) });
  world.chat.init();
  await world.settle();
  world.chat.close();
  give(tokenOf('Ann'));
  await world.settle();
  assert.equal(world.asked.length, 0);
  await isOver(world);
});

test('who enters as somebody else in a handler is not taken for the first', async () => {
  const world = await World.guest({ jwt: tokenOf('Ann') });
  world.chat.say('x').catch(() => {});
  await world.settle();
  let entered: Promise<unknown> | undefined;
  world.chat.on('status', (status) => {
    if (status === 'authenticated' && !entered) {
      world.conf.jwt = tokenOf('Bob');
      entered = world.chat.authenticate();
    }
  });
  await world.speaking();
  assert.ok(entered);
  const socket = await world.speaking();
  assert.equal(socket.sent[0].auth, tokenOf('Bob'));
  assert.equal(socket.sent.filter(({ say }) => say).length, 1);
  await entered;
});

test('who was kicked may enter again in the handler', async () => {
  const world = await World.speaker();
  let entered: Promise<unknown> | undefined;
  world.chat.on('kicked', () => { entered = world.chat.authenticate(); });
  world.socket('/pub').end(1008, 'kicked');
  await world.settle();
  await world.speaking();
  assert.deepEqual(await entered, { status: 'ok' });
});

test('counts are asked for by one, also after close() and init()', async () => {
  const world = await World.guest({ userCountRefreshTimeout: 20000 });
  await world.pass(20000);
  const before = await world.next('/stats');
  world.chat.close();
  world.chat.init();
  await world.joined();
  await world.reading();
  before.answer(200, { pubCount: 5, subCount: 6, users: 5, clients: [] });
  await world.pass(20000);
  assert.equal(world.asked.filter(({ path }) => path === '/stats').length, 1);
  world.asked.splice(0).forEach(({ fail }) => fail());
  await world.settle();
  world.chat.close();
  assert.equal(world.pending, 0);
});
