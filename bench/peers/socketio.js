// A chat room with socket.io, over websockets alone.
//   node socketio.js PORT
const http = require('http');
const { Server } = require('socket.io');

const server = http.createServer();
const io = new Server(server, { transports: ['websocket'], perMessageDeflate: false, pingInterval: 600000, serveClient: false });

io.on('connection', (socket) => {
  const { room, publish } = socket.handshake.query;
  if (room) socket.join(room);
  socket.on('say', (text) => io.to(publish).emit('m', text));
});

server.listen(+process.argv[2], '127.0.0.1', 4096);
