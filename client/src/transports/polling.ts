/* Reading by long polling: a question, which the server answers when there is something, or after a while. */
import { Line } from './line.js';
import { refusal } from './refusal.js';
import { channelsQuery, type Down, type OpenTransport } from './transport.js';

const LEAST_MS = 1000; /* between two answers with nothing: something on the way answers in the server's place */
const ANSWER_MS = 75000; /* limits.poll is 30 s; where it is longer, the next question comes earlier: no harm */

export const openPolling: OpenTransport = (env, request, on) => {
  let answered = false;
  const line = new Line(env, request, { ...on, down: (how: Down) => on.down({ ...how, isUseless: !answered }) });
  const channels = request.channels.map((channel) => ({ ...channel }));

  const poll = async () => {
    const asked = env.now();
    line.wait(ANSWER_MS, 'no answer');
    const answer = await line.fetch(`/lp?${channelsQuery(channels)}`);
    if (!answer.ok) {
      line.down(await refusal(answer));
      return;
    }
    const { since, frames } = await answer.json();
    if (line.over)
      return;
    answered = true;
    /* Positions are in the order of the channels. */
    String(since).split(',').forEach((position, at) => { channels[at]!.since = position; });
    for (const frame of frames)
      if (!line.over)
        on.frame(frame);
    if (!frames.length && env.now() - asked < LEAST_MS)
      await line.pause(LEAST_MS);
  };

  /* Where there is nothing to tell, that is told after half a minute only: so ask first whether the server is there. */
  const reach = async () => {
    line.wait(request.timeout, 'no answer');
    const answer = await line.fetch('/health/live');
    if (!answer.ok)
      throw new Error(`HTTP ${answer.status}`);
    if (!line.over)
      on.open();
  };

  const run = async () => {
    await reach();
    while (!line.over)
      await poll();
  };
  run().catch((error) => line.down({ code: 1006, reason: String(error) }));

  return { close: () => line.finish(), check() {}, refresh: () => false };
};
