// A stand-in for the stack of the original ChatUp, which cannot be installed any more: socket.io 4
// in place of 1, Nchan of push-stream. A message goes by socket.io to this worker, through Redis,
// and from there, gathered for 500 ms, by nginx to the readers. It is no worse than the original:
// without tokens, bans, and what else that asks Redis for each message.
//   node original.js WORKER-PORT REDIS-PORT NGINX-PORT NGINX NGINX-CONF
// Redis and nginx are children of this process, so that what they cost is counted with it.
const http = require('http');
const { spawn } = require('child_process');
const { randomUUID } = require('crypto');
const Redis = require('ioredis');
const { Server } = require('socket.io');

const [workerPort, redisPort, nginxPort, nginx, nginxConf] = process.argv.slice(2);
const GATHER_MS = 500, HISTORY = 100, EXPIRE_MS = 24 * 3600 * 1000;

// ---- the children ----

const children = new Set();

function end(code) {
  process.exitCode ??= code;
  for (const child of children) child.kill();
  if (!children.size) process.exit();
}

function start(command, ...words) {
  const child = spawn(command, words, { stdio: 'inherit' });
  child.on('spawn', () => children.add(child));
  child.on('exit', () => { children.delete(child); end(1); });
}

process.on('SIGTERM', () => end(0));
process.on('uncaughtException', (error) => { console.error(error); end(1); });
start('redis-server', '--port', redisPort, '--bind', '127.0.0.1', '--save', '');

// ---- the worker ----

const redis = new Redis(+redisPort), heard = new Redis(+redisPort);
const waiting = new Map(); // room to what was heard of it since its last batch
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 }); // one, since batches have an order

function post(room, messages) {
  const body = `[${messages.join()}]`;
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  const request = http.request({ host: '127.0.0.1', port: nginxPort, path: `/pub?id=${room}`, method: 'POST', agent, headers });
  request.on('response', (response) => {
    if (response.statusCode >= 300) console.error(`a batch of ${messages.length} messages: ${response.statusCode}`);
    response.resume();
  });
  request.end(body);
}

setInterval(() => {
  for (const [room, messages] of waiting) post(room, messages);
  waiting.clear();
}, GATHER_MS);

heard.psubscribe('r_*');
heard.on('pmessage', (pattern, channel, message) => {
  const room = channel.slice(2);
  if (!waiting.has(room)) waiting.set(room, []);
  waiting.get(room).push(message);
});

const server = http.createServer();
const io = new Server(server, { transports: ['websocket'], perMessageDeflate: false, pingInterval: 600000, serveClient: false });

io.on('connection', (socket) => {
  const room = socket.handshake.query.publish;
  const user = { name: 'bench' };
  socket.on('say', ({ msg }, answer) => {
    const message = JSON.stringify({ user, msg, i: randomUUID(), d: Date.now() / 1000 });
    const key = `room:${room}`;
    redis.multi().publish(`r_${room}`, message).lpush(key, message).ltrim(key, 0, HISTORY - 1).pexpire(key, EXPIRE_MS).exec();
    answer('ok');
  });
});

// Whoever can connect to nginx finds all of it ready.
heard.once('ready', () => {
  server.listen(+workerPort, '127.0.0.1', () => start(nginx, '-c', nginxConf, '-e', 'nginx.log'));
});
