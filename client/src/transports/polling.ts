/* Reading by long polling: a question, which the server answers when there is something, or after a while. */
import type { Timer } from '../env.js';
import { workerUrl } from '../dispatcher.js';
import { channelsQuery, type Down, type OpenTransport } from './transport.js';
import { refusal } from './refusal.js';

const LEAST_MS = 1000; /* between two answers with nothing: something on the way answers in the server's place */
const ANSWER_MS = 75000; /* limits.poll is 30 s; where it is longer, the next question comes earlier: no harm */

export const openPolling: OpenTransport = (env, request, on) => {
  const ended = new AbortController();
  const channels = request.channels.map((channel) => ({ ...channel }));
  let timer: Timer;
  let over = false;
  let answered = false;

  const finish = () => {
    over = true;
    env.clearTimeout(timer);
    ended.abort();
  };
  const down = (how: Down) => {
    if (over)
      return;
    finish();
    on.down({ ...how, isUseless: !answered });
  };

  const poll = async () => {
    const asked = env.now();
    env.clearTimeout(timer);
    timer = env.setTimeout(() => down({ code: 1006, reason: 'no answer' }), ANSWER_MS);
    const answer = await env.fetch(workerUrl(env, request.host, `/lp?${channelsQuery({ ...request, channels })}`, 'http'), {
      cache: 'no-store',
      headers: request.token ? { Authorization: `Bearer ${request.token}` } : {},
      signal: ended.signal,
    });
    if (!answer.ok) {
      down(await refusal(answer));
      return;
    }
    const { since, frames } = await answer.json();
    if (over)
      return;
    answered = true;
    /* Positions are in the order of the channels. */
    String(since).split(',').forEach((position, at) => { channels[at]!.since = position; });
    for (const frame of frames)
      if (!over)
        on.frame(frame);
    if (!frames.length && env.now() - asked < LEAST_MS)
      await new Promise<void>((done) => { env.setTimeout(done, LEAST_MS); });
  };

  /* Where there is nothing to tell, that is told after half a minute only: so ask first whether the server is there. */
  const reach = async () => {
    timer = env.setTimeout(() => down({ code: 1006, reason: 'no answer' }), request.timeout);
    const answer = await env.fetch(workerUrl(env, request.host, '/health/live', 'http'), { cache: 'no-store', signal: ended.signal });
    if (!answer.ok)
      throw new Error(`HTTP ${answer.status}`);
    if (!over)
      on.open();
  };

  const run = async () => {
    try {
      await reach();
      while (!over)
        await poll();
    } catch (error) {
      down({ code: 1006, reason: String(error) });
    }
  };
  run();

  return { close: finish, check() {}, refresh: () => false };
};
