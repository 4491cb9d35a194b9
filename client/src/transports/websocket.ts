/* Reading by a websocket. Channels and token go into the first frame: a URL is written into logs, and a refusal before
 * the upgrade is not shown to scripts. Scripts do not see the server's pings either, so they ask themselves. */
import type { Timer } from '../env.js';
import { workerUrl } from '../dispatcher.js';
import { type Down, type Frame, type OpenTransport, parse } from './transport.js';

const PING_MS = 25000; /* of silence */
const PONG_MS = 10000;
const CHECK_MS = 4000;

export const openWebSocket: OpenTransport = (env, request, on) => {
  const socket = new env.WebSocket!(workerUrl(env, request.host, '/ws', 'ws'));
  let timer: Timer;
  let pings = 0;
  let patience = 0; /* how long an unanswered ping may stay so, after the last that came; 0: there is none */
  let isOpen = false;

  const down = (how: Down) => {
    env.clearTimeout(timer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    socket.close(); /* a dead peer lets it linger; nobody waits */
    on.down(how);
  };
  const wait = (ms: number, act: () => void) => {
    env.clearTimeout(timer);
    timer = env.setTimeout(act, ms);
  };
  const ping = (ms: number) => {
    socket.send(JSON.stringify({ ping: ++pings }));
    patience = ms;
    heard();
  };
  /* What was still under way when it was asked is no answer. */
  const heard = () => {
    if (patience)
      wait(patience, () => down({ code: 1006, reason: 'no answer to a ping' }));
    else
      wait(PING_MS, () => ping(PONG_MS));
  };

  socket.onopen = () => socket.send(JSON.stringify({ channels: request.channels, token: request.token }));
  socket.onmessage = ({ data }) => {
    const frame = parse(data);
    if (!frame) {
      down({ code: 1006, reason: 'not of ChatUp' });
      return;
    }
    isOpen = true;
    if (frame.pong === pings)
      patience = 0;
    heard();
    if ('messages' in frame)
      on.frame(frame as Frame);
    else if ('expires' in frame)
      on.expires(frame.expires);
  };
  socket.onclose = ({ code, reason }) => down({ code, reason });
  wait(request.timeout, () => down({ code: 1006, reason: 'it did not open in time' }));

  return {
    close() {
      env.clearTimeout(timer);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {};
      socket.close();
    },
    check() {
      if (isOpen)
        ping(CHECK_MS);
    },
    refresh(token) {
      if (isOpen)
        socket.send(JSON.stringify({ token }));
      return isOpen;
    },
  };
};
