import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenOf, World } from './world.js';

const ok = (id: number, offset: number) => ({ id, reply: { status: 'ok', i: `i${offset}`, offset, epoch: 'e' } });

test('who has a token is authenticated and says', async () => {
  const world = new World({ jwt: tokenOf('Ann') });
  world.chat.init();
  assert.equal((await world.joined()).token, tokenOf('Ann'));
  await world.reading();
  const socket = await world.speaking();
  assert.deepEqual<any[]>(socket.sent, [{ id: 1, auth: tokenOf('Ann') }, { id: 2, join: { room: 'lobby' } }]);
  assert.deepEqual(world.of('status').slice(-2), ['connected', 'authenticated']);
  assert.equal(world.chat._pubConnected, true);
  assert.deepEqual(world.chat.me, { sub: 'id-Ann', user: { name: 'Ann' } });
  const reply = world.chat.say('hi');
  await world.settle();
  const { id, say } = socket.sent.at(-1);
  assert.equal(say.msg, 'hi');
  world.time += 12;
  socket.receive(ok(id, 1));
  assert.deepEqual(await reply, { status: 'ok', i: 'i1', offset: 1, epoch: 'e' });
  assert.deepEqual([world.chat.stats.msgSent, world.chat.stats.latency], [1, 12]);
});

test('who is banned meanwhile is told with the seconds that are left', async () => {
  const world = await World.speaker();
  const refused = world.chat.say('x');
  await world.settle();
  const socket = world.socket('/pub');
  socket.receive({ id: socket.sent.at(-1).id, reply: { status: 'error', err: 'banned', ttl: 20, reason: 'spam' } });
  await assert.rejects(refused, { name: 'ChatUpError', status: 'error', err: 'banned', ttl: 20, reason: 'spam' });
  assert.deepEqual(world.of('banned'), [{ ttl: 20, reason: 'spam' }]);
});

test('the answers of plugins are told as they came', async () => {
  const world = await World.speaker();
  for (const [reply, expected] of [
    [{ status: 'error', err: 'blacklistedWord' }, { err: 'blacklistedWord' }],
    [{ status: 'error', err: 'rateLimited', ttw: 3 }, { err: 'rateLimited', ttw: 3 }],
    [{ status: 'err', error: 'rateLimited', ttw: 3 }, { err: 'rateLimited', ttw: 3 }],
    [{ status: 'error', err: 'messageTooLong', max: 10 }, { err: 'messageTooLong', max: 10 }],
    [{ status: 'error', err: 'rejected', by: 'p' }, { err: 'rejected', by: 'p' }],
    [{}, { err: 'rejected' }],
  ] as const) {
    const refused = world.chat.say('x');
    await world.settle();
    const socket = world.socket('/pub');
    socket.receive({ id: socket.sent.at(-1).id, reply });
    await assert.rejects(refused, expected);
  }
  const taken = world.chat.say('/slack');
  await world.settle();
  const socket = world.socket('/pub');
  socket.receive({ id: socket.sent.at(-1).id, reply: { status: 'ok', message: 'messageRedirected' } });
  assert.equal((await taken).message, 'messageRedirected');
});

test('say may come before init, and waits; without any token it is refused', async () => {
  const world = new World({ jwt: tokenOf('Ann') });
  const said = world.chat.say('early');
  await world.settle();
  assert.equal(world.sockets.length, 0);
  world.chat.init();
  await world.joined();
  const socket = await world.speaking();
  assert.equal(socket.sent.at(-1).say.msg, 'early');
  socket.receive(ok(socket.sent.at(-1).id, 1));
  await said;
  await assert.rejects(new World().chat.say('x'), { err: 'notAuthenticated' });
  await assert.rejects(new World().chat.authenticate(), { err: 'notAuthenticated' });
});

test('a lost answer is asked for again with the same client id, in order', async () => {
  const world = await World.speaker();
  const all = [world.chat.say('a'), world.chat.say('b')];
  await world.settle();
  const before = world.socket('/pub').sent.slice(-2).map(({ say }) => say);
  world.socket('/pub').end();
  assert.equal(world.chat.status, 'pubConnectError');
  await world.pass(3000);
  const socket = await world.speaking();
  assert.deepEqual(socket.sent.slice(-2).map(({ say }) => say), before);
  for (const { id } of socket.sent.slice(-2))
    socket.receive(ok(id, id));
  await Promise.all(all);
  assert.equal(world.chat.status, 'authenticated');
});

test('what the server does not know is asked for again', async () => {
  const world = await World.speaker();
  const said = world.chat.say('a');
  await world.settle();
  const socket = world.socket('/pub');
  const { id, say } = socket.sent.at(-1);
  socket.receive({ id, reply: { status: 'error', err: 'unknown' } });
  await world.pass(2000);
  assert.deepEqual(socket.sent.at(-1).say, say);
  socket.receive(ok(socket.sent.at(-1).id, 1));
  await said;
});

test('a message that gets no answer is given up, and says whether it was sent', async () => {
  const world = await World.speaker({ sayTimeout: 5000 });
  const sent = world.chat.say('a');
  await world.settle();
  world.socket('/pub').end();
  const unsent = world.chat.say('b');
  const both = Promise.allSettled([sent, unsent]);
  await world.pass(5000);
  assert.deepEqual((await both).map((result: any) => [result.reason.err, result.reason.sent]), [['timeout', true], ['timeout', false]]);
});

test('a connection without replies is dead', async () => {
  const world = await World.speaker();
  world.chat.say('a').catch(() => {});
  await world.pass(20000);
  assert.equal(world.chat._pubConnected, false);
});

test('what is too big for a frame is refused here', async () => {
  const world = await World.speaker();
  await assert.rejects(world.chat.say('ä'.repeat(32768)), { err: 'messageTooLong' });
  assert.equal(world.socket('/pub').isClosed, false);
});

test('a token that is refused is an authError, and another one may follow', async () => { /* B26 */
  const conf = { jwt: 'bad' };
  const world = await World.guest(conf);
  const refused = world.chat.authenticate();
  const said = world.chat.say('x');
  await world.settle();
  const socket = world.socket('/pub');
  socket.accept();
  socket.receive({ id: 1, reply: { status: 'error', err: 'Wrong JWT' } });
  await assert.rejects(refused, { err: 'Wrong JWT' });
  await assert.rejects(said, { err: 'Wrong JWT' });
  assert.equal(world.chat.status, 'authError');
  await assert.rejects(world.chat.say('y'), { err: 'authError' });
  world.conf.jwt = tokenOf('Ann');
  const entered = world.chat.authenticate();
  await world.settle();
  await world.speaking();
  assert.deepEqual(await entered, { status: 'ok' });
  assert.equal(world.chat.status, 'authenticated');
});

test('a bad token is no reason to read nothing', async () => {
  const world = new World({ jwt: 'bad' });
  world.chat.init();
  (await world.next('/join')).answer(401, { status: 'error', err: 'Wrong JWT' });
  assert.equal((await world.joined()).token, undefined); /* at once */
  await world.reading();
  assert.equal(world.chat.status, 'authError');
  await assert.rejects(world.chat.say('x'), { err: 'authError' });
});

test('a token about to expire is replaced, for speaking and for reading', async () => {
  let count = 0;
  const world = await World.speaker({ jwt: undefined, getToken: () => tokenOf('Ann', String(++count)) });
  assert.equal(count, 1);
  world.socket('/pub').receive({ expires: 40 });
  world.socket('/ws').receive({ expires: 40 });
  await world.pass(19000);
  assert.equal(count, 1); /* halfway there, once */
  await world.pass(1000);
  assert.equal(count, 2);
  assert.equal(world.socket('/pub').sent.at(-1).auth, tokenOf('Ann', '2'));
  assert.deepEqual(world.socket('/ws').sent.at(-1), { token: tokenOf('Ann', '2') });
});

test('a getToken that gives what it gave before, or fails, is asked again', async () => {
  const answers: (string | Error)[] = [tokenOf('Ann'), tokenOf('Ann'), new Error('502'), tokenOf('Ann', 'fresh')];
  const world = await World.speaker({ jwt: undefined, getToken: async () => {
    const answer = answers.shift()!;
    if (answer instanceof Error)
      throw answer;
    return answer;
  } });
  const socket = world.socket('/pub');
  const before = socket.sent.length;
  socket.receive({ expires: 40 });
  await world.pass(30000);
  assert.equal(answers.length, 1);
  assert.equal(socket.sent.slice(before).filter(({ auth }) => auth).length, 0);
  assert.match(world.of('error')[0].message, /502/);
  await world.pass(6000);
  assert.equal(socket.sent.at(-1).auth, tokenOf('Ann', 'fresh'));
});

test('a getToken that fails for a while ends nothing', async () => {
  let isAway = false;
  let count = 0;
  const world = await World.speaker({ jwt: undefined, getToken: async () => {
    if (isAway)
      throw new Error('502');
    return tokenOf('Ann', String(++count));
  } });
  isAway = true;
  const said = world.chat.say('meanwhile');
  await world.settle();
  world.socket('/pub').end(1008, 'token expired');
  await world.pass(10000);
  assert.equal(world.has('/pub'), false);
  assert.equal(world.chat.status, 'pubConnectError');
  isAway = false;
  for (let second = 0; second < 40 && !world.has('/pub'); second++)
    await world.pass(1000);
  const socket = await world.speaking();
  assert.equal(socket.sent.at(-1).say.msg, 'meanwhile');
  socket.receive(ok(socket.sent.at(-1).id, 1));
  await said;
});

test('a token that comes after unauthenticate() is forgotten', async () => {
  let count = 0;
  let give = (_: string) => {};
  const world = await World.speaker({ jwt: undefined, getToken: () => ++count === 1 ? tokenOf('Ann') : new Promise((done) => { give = done; }) });
  world.socket('/pub').receive({ expires: 40 });
  await world.pass(20000);
  world.chat.unauthenticate();
  give(tokenOf('Ann', '2'));
  await world.settle();
  assert.equal(world.conf.jwt, undefined);
  await world.reading();
  world.socket('/ws').end();
  await world.pass(3000);
  assert.equal((await world.reading()).sent[0].token, undefined);
  world.chat.authenticate();
  await world.settle();
  give(tokenOf('Bob'));
  await world.settle();
  assert.equal((await world.speaking()).sent[0].auth, tokenOf('Bob'));
});

test('a getToken that throws at once is asked again', async () => {
  let isAway = true;
  const world = new World({ getToken: () => {
    if (isAway)
      throw new Error('not yet');
    return tokenOf('Ann');
  } });
  world.chat.init();
  await world.joined();
  await world.reading();
  isAway = false;
  await world.pass(2000);
  await world.speaking();
  assert.equal(world.chat.status, 'authenticated');
});

test('a getToken that gives nothing but bad tokens is not asked for ever', async () => {
  let count = 0;
  const world = await World.guest();
  world.conf.getToken = () => tokenOf('Ann', String(++count));
  const refused = world.chat.authenticate();
  const result = Promise.allSettled([refused]);
  for (let attempt = 0; attempt < 3; attempt++) {
    await world.settle();
    world.socket('/pub').accept();
    world.socket('/pub').receive({ id: world.socket('/pub').sent.at(-1).id, reply: { status: 'error', err: 'Wrong JWT' } });
  }
  assert.equal((await result)[0]!.status, 'rejected');
  assert.equal(world.chat.status, 'authError');
  await world.pass(60000);
  assert.equal(count, 3);
});

test('nor are they all tried before it reads', async () => {
  let count = 0;
  const world = new World({ getToken: () => tokenOf('Ann', String(++count)) });
  world.chat.init();
  let asked = await world.next('/join');
  for (; asked.token; asked = await world.next('/join')) {
    assert.ok(count < 5);
    asked.answer(401, { status: 'error', err: 'Wrong JWT' });
  }
  asked.answer(200, { host: 'http://w1', id: 'w1', channel: { subCount: 1, pubCount: 0 }, epoch: 'e', offset: 0, messages: [] });
  await world.settle();
  await world.reading();
  assert.equal(world.chat.status, 'connected');
  for (let attempt = 0; attempt < 3; attempt++) {
    await world.settle();
    world.socket('/pub').accept();
    world.socket('/pub').receive({ id: world.socket('/pub').sent.at(-1).id, reply: { status: 'error', err: 'Wrong JWT' } });
  }
  await world.settle();
  assert.equal(world.chat.status, 'authError');
  assert.ok(count < 10);
});

test('who reads with tokens that are all refused reads as a guest', async () => {
  let count = 0;
  const world = await World.speaker({ jwt: tokenOf('Ann'), getToken: () => tokenOf('Ann', String(++count)) });
  world.socket('/pub').end();
  world.socket('/ws').end(1008, 'Wrong JWT');
  for (let second = 0; second < 20; second++) {
    await world.pass(1000);
    for (const socket of world.sockets.filter(({ isClosed, sent }) => !isClosed && !sent.length)) {
      socket.accept();
      if (socket.path === '/pub')
        socket.receive({ id: socket.sent.at(-1).id, reply: { status: 'error', err: 'Wrong JWT' } });
      else if (socket.sent[0].token)
        socket.end(1008, 'Wrong JWT');
      else
        socket.receive({ channel: 'lobby', epoch: 'e', offset: 0, recovered: true, messages: [] });
    }
  }
  assert.equal(world.chat.status, 'authError');
  assert.equal(world.socket('/ws').sent[0].token, undefined);
  assert.ok(count < 10);
});

test('another token is another person, at once', async () => {
  const world = await World.speaker();
  world.conf.jwt = tokenOf('Bob');
  const entered = world.chat.authenticate();
  await world.settle();
  assert.equal((await world.speaking()).sent[0].auth, tokenOf('Bob'));
  await entered;
  /* also while the first one is still under way */
  const other = await World.guest({ jwt: tokenOf('Ann') });
  other.conf.jwt = tokenOf('Bob');
  const second = other.chat.authenticate();
  await other.settle();
  assert.equal(other.sockets.filter(({ path, isClosed }) => path === '/pub' && !isClosed).length, 1);
  assert.equal((await other.speaking()).sent[0].auth, tokenOf('Bob'));
  await second;
});

test('who leaves while a connection opens does not come back', async () => {
  for (const leave of ['close', 'unauthenticate'] as const) {
    const world = await World.guest({ jwt: tokenOf('Ann') });
    world.socket('/pub');
    world.chat[leave]();
    await world.pass(60000);
    assert.equal(world.has('/pub'), false);
  }
  const world = await World.guest({ jwt: tokenOf('Ann') });
  world.chat.close();
  await assert.rejects(world.chat.say('x'), { err: 'closed' });
});

test('when reading fails, speaking is asked whether it lives', async () => {
  const world = await World.speaker();
  world.socket('/ws').end();
  assert.deepEqual(world.socket('/pub').sent.at(-1).join, { room: 'lobby' });
  await world.pass(4000);
  assert.equal(world.chat._pubConnected, false);
});

test('a room that throws one out again and again is entered less and less often', async () => {
  const world = await World.speaker();
  let joins = 0;
  for (let second = 0; second < 60; second++) {
    if (world.has('/pub')) {
      const socket = world.socket('/pub');
      if (!socket.sent.length)
        await world.speaking();
      joins++;
      socket.end(1011, 'no');
    }
    world.socket('/ws').receive({ pong: 0 });
    await world.pass(1000);
  }
  assert.ok(joins < 10, String(joins));
});

test('a refusal that no promise tells is an error event', async () => {
  const world = await World.guest({ jwt: tokenOf('Ann') });
  await world.speaking({ status: 'error', err: 'forbidden' });
  assert.deepEqual(world.of('error').map(({ message }) => message), ['forbidden']);
  assert.equal(world.chat.status, 'connected');
  assert.equal(world.chat.me, undefined);
});

test('says stay in order, however long a plugin takes for one', async () => {
  const world = await World.speaker();
  let release = () => {};
  world.chat.use({ name: 'slow', beforeSay: (text) => text === 'one' ? new Promise<void>((done) => { release = done; }) : undefined });
  world.chat.say('one').catch(() => {});
  world.chat.say('two').catch(() => {});
  await world.settle();
  release();
  await world.settle();
  assert.deepEqual(world.socket('/pub').sent.slice(-2).map(({ say }) => say.msg), ['one', 'two']);
});

test('a token that has expired is replaced, or the guest reads on', async () => {
  let count = 0;
  const world = await World.speaker({ jwt: tokenOf('Ann'), getToken: () => tokenOf('Ann', String(++count)) });
  world.socket('/pub').end(1008, 'token expired');
  await world.settle();
  assert.equal((await world.speaking()).sent[0].auth, tokenOf('Ann', '1'));
  world.socket('/ws').end(1008, 'token expired');
  await world.pass(3000);
  assert.equal((await world.reading()).sent[0].token, tokenOf('Ann', '1')); /* they share it */

  const other = await World.speaker();
  other.socket('/ws').end(1008, 'token expired');
  other.socket('/pub').end(1008, 'token expired');
  await other.pass(3000);
  assert.equal((await other.reading()).sent[0].token, undefined);
  assert.equal(other.chat.status, 'authError');
});

test('a ban is told with what is left of it, and ends', async () => {
  const world = await World.guest({ jwt: tokenOf('Ann') });
  const entered = world.chat.authenticate();
  await world.speaking({ status: 'ok', comment: 'banned', banTTL: 30, reason: 'spam' });
  assert.deepEqual(await entered, { status: 'ok', comment: 'banned', banTTL: 30, reason: 'spam' });
  assert.deepEqual(world.of('banned'), [{ ttl: 30, reason: 'spam' }]);
  await world.pass(10000);
  await assert.rejects(world.chat.say('x'), { err: 'banned', ttl: 20, reason: 'spam' });
  await world.pass(21000);
  const socket = world.socket('/pub');
  assert.deepEqual(socket.sent.at(-1).join, { room: 'lobby' });
  socket.receive({ id: socket.sent.at(-1).id, reply: 'ok' });
  assert.equal(world.of('unbanned').length, 1);
});

test('who is banned while being there asks for how long', async () => {
  const world = await World.speaker();
  const remove = (data: string) => world.socket('/ws').receive({ channel: 'lobby', offset: 1,
    messages: [{ ev: 'rmUserMsg', data, user: null, i: data, d: 1, o: 1 }] });
  const { sent } = world.socket('/pub');
  const before = sent.length;
  remove('somebody');
  assert.equal(sent.length, before);
  remove('Ann');
  assert.deepEqual(sent.at(-1).join, { room: 'lobby' });
  world.socket('/pub').receive({ id: sent.at(-1).id, reply: { status: 'ok', comment: 'banned', banTTL: -1 } });
  assert.deepEqual(world.of('banned'), [{ ttl: -1 }]);
});

test('unauthenticate reads on, as a guest', async () => {
  const world = await World.speaker();
  world.chat.unauthenticate();
  await world.settle();
  assert.equal(world.has('/pub'), false);
  assert.equal((await world.reading()).sent[0].token, undefined);
  assert.equal(world.chat.status, 'connected');
  assert.equal(world.chat.me, undefined);
  await assert.rejects(world.chat.say('x'), { err: 'notAuthenticated' });
});

test('who was kicked reads on, and speaks only when asked to', async () => {
  const world = await World.speaker();
  world.socket('/pub').end(1008, 'kicked');
  world.socket('/ws').end(1008, 'kicked');
  assert.equal(world.of('kicked').length, 1);
  await world.pass(4999);
  assert.equal(world.has('/ws'), false);
  await world.pass(2000);
  await world.reading();
  assert.equal(world.has('/pub'), false);
  world.chat.authenticate();
  await world.settle();
  await world.speaking();
});

test('where websockets do not get through, it speaks by HTTP, in order', async () => {
  const world = new World({ jwt: tokenOf('Ann'), transports: ['longpolling'] });
  world.chat.init();
  await world.joined();
  await world.reached();
  /* The first attempt may have been a websocket, as nobody knew yet. */
  while (world.has('/pub')) {
    world.socket('/pub').end();
    await world.pass(3000);
  }
  await world.joined();
  assert.equal(world.chat.status, 'authenticated');
  const all = [world.chat.say('a'), world.chat.say('b')];
  const first = await world.next('/pub');
  assert.deepEqual([first.body.room, first.body.msg, first.token], ['lobby', 'a', tokenOf('Ann')]);
  assert.equal(world.asked.filter(({ path }) => path === '/pub').length, 0);
  first.fail();
  await world.pass(3000);
  for (const join of [await world.joined('w2'), await world.joined('w2')]) /* another worker, and whether the token is good */
    assert.ok(join);
  const again = await world.next('/pub');
  assert.equal(again.body.cid, first.body.cid);
  again.answer(200, { status: 'ok', i: 'i1', offset: 1, epoch: 'e' });
  const second = await world.next('/pub');
  second.answer(403, { status: 'error', err: 'banned', ttl: 9 });
  const [a, b] = await Promise.allSettled(all);
  assert.equal(a!.status, 'fulfilled');
  assert.equal((b as PromiseRejectedResult).reason.ttl, 9);
});

test('what is said by HTTP to a line that was left is said by the next one', async () => {
  const world = new World({ jwt: tokenOf('Ann'), transports: ['longpolling'] }, { WebSocket: undefined });
  world.chat.init();
  await world.joined();
  await world.reached();
  await world.joined();
  const first = world.chat.say('a');
  first.catch(() => {});
  const posted = await world.next('/pub');
  world.chat.unauthenticate();
  world.conf.jwt = tokenOf('Ann');
  world.chat.authenticate();
  await world.joined();
  const second = world.chat.say('b');
  await world.settle();
  posted.answer(200, { status: 'ok', i: 'i1', offset: 1, epoch: 'e' });
  const again = await world.next('/pub');
  assert.equal(again.body.msg, 'b');
  again.answer(503, { status: 'error', err: 'busy' });
  await world.settle();
  assert.equal(world.asked.filter(({ path }) => path === '/pub').length, 0); /* not at once */
  await world.pass(2000);
  (await world.next('/pub')).answer(200, { status: 'ok', i: 'i2', offset: 2, epoch: 'e' });
  await second;
});

test('what is said by HTTP while there is no token is said once there is one', async () => {
  let isAway = false;
  let count = 0;
  const world = new World({ getToken: async () => {
    if (isAway)
      throw new Error('502');
    return tokenOf('Ann', String(++count));
  }, transports: ['longpolling'] }, { WebSocket: undefined });
  world.chat.init();
  await world.joined();
  await world.reached();
  await world.joined();
  assert.equal(world.chat.status, 'authenticated');
  isAway = true;
  (await world.next('/lp')).answer(401, { status: 'error', err: 'Wrong JWT' });
  await world.settle();
  const said = world.chat.say('a');
  await world.settle();
  isAway = false;
  await world.pass(3000);
  await world.reached();
  await world.joined();
  assert.equal(world.chat.status, 'authenticated');
  (await world.next('/pub')).answer(200, { status: 'ok', i: 'i1', offset: 1, epoch: 'e' });
  await said;
});

test('trying websockets every five minutes makes the pauses no longer', async () => {
  const world = await World.guest({ jwt: tokenOf('Ann') });
  world.random = 0.99;
  for (let round = 0; round < 5; round++) {
    world.socket('/pub').end();
    await world.pass(1100);
    world.socket('/pub').end();
    await world.pass(2100);
    await world.joined();
    assert.equal(world.chat.status, 'authenticated');
    for (let second = 0; second < 300; second += 20) {
      world.socket('/ws').receive({ pong: 0 });
      await world.pass(20000);
    }
  }
});

test('once websockets get through again, it speaks by one', async () => {
  const world = await World.guest({ jwt: tokenOf('Ann') });
  for (let failure = 0; failure < 2; failure++) {
    world.socket('/pub').end();
    await world.pass(3000);
  }
  await world.joined();
  assert.equal(world.chat.status, 'authenticated');
  assert.equal(world.has('/pub'), false);
  for (let minute = 0; minute < 15; minute++) {
    world.socket('/ws').receive({ pong: 0 });
    await world.pass(20000);
  }
  await world.speaking();
});

test('a worker that cannot be spoken to is left after three attempts', async () => {
  const world = await World.guest({ jwt: tokenOf('Ann'), socketIO: { reconnectionAttempts: 1 } });
  world.socket('/pub').end();
  await world.pass(3000);
  assert.deepEqual((await world.joined('w2')).body, { type: 'workerPubConnect', worker: { id: 'w1' } });
  await world.speaking();
  assert.equal(world.socket('/pub').url, 'ws://w2/pub');
});

test('plugins change, drop and see, in their order; one that throws is left out', async () => {
  const world = await World.speaker();
  world.chat
    .use({ name: 'shout', beforeSay: (text) => text.toUpperCase() })
    .use({ name: 'broken', beforeSay() { throw new Error('oh'); }, onMessage() { throw new Error('no'); } })
    .use({ name: 'later', beforeSay: async (text) => text === 'SECRET' ? false : `${text}!` })
    .use({ name: 'mute', onMessage: (message, { me }) => message.sub !== me!.sub && { ...message, msg: `<${message.msg}>` },
           onEvent: ({ ev }) => ev !== 'join' && undefined });
  const said = world.chat.say('hey');
  await world.settle();
  const socket = world.socket('/pub');
  assert.equal(socket.sent.at(-1).say.msg, 'HEY!');
  socket.receive(ok(socket.sent.at(-1).id, 1));
  await said;
  await assert.rejects(world.chat.say('secret'), { err: 'rejected', by: 'client' });
  world.socket('/ws').receive({ channel: 'lobby', offset: 3, messages: [
    { o: 1, msg: 'mine', sub: 'id-Ann', user: {}, i: '1', d: 1 }, { o: 2, msg: 'yours', sub: 'b', user: {}, i: '2', d: 1 },
    { ev: 'join', user: {}, i: '3', d: 1 }, { ev: 'leave', user: {}, i: '4', d: 1 }] });
  assert.deepEqual(world.texts(), ['<yours>']);
  assert.deepEqual(world.of('event').map(({ ev }) => ev), ['leave']);
  assert.match(world.of('error')[0].message, /plugin broken: Error: oh/);
});
