// A chat room with npm's ws: what a publisher says goes to all readers of its room.
//   node ws.js PORT
const { WebSocketServer } = require('ws');

const rooms = new Map(); // name to a set of readers
const server = new WebSocketServer({ port: +process.argv[2], host: '127.0.0.1', perMessageDeflate: false, backlog: 4096 });

server.on('connection', (socket, request) => {
  const [, kind, room] = request.url.split('/');
  if (!rooms.has(room)) rooms.set(room, new Set());
  const readers = rooms.get(room);
  socket.on('error', () => {});
  if (kind === 'ws') {
    readers.add(socket);
    socket.on('close', () => readers.delete(socket));
    return;
  }
  socket.on('message', (text) => {
    for (const reader of readers) reader.send(text, { binary: false });
  });
});
