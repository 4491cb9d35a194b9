/* Reading by server-sent events, by fetch and not by EventSource: that one shows no status, takes no header, and comes
 * back by itself, without asking anybody for a worker. */
import type { Timer } from '../env.js';
import { workerUrl } from '../dispatcher.js';
import { channelsQuery, type Down, type Frame, type OpenTransport, parse } from './transport.js';
import { refusal } from './refusal.js';

const SILENCE_MS = 75000; /* the server says something every 30 s */
const CHECK_MS = 35000;

export const openEvents: OpenTransport = (env, request, on) => {
  const ended = new AbortController();
  let timer: Timer;
  let over = false;

  const finish = () => {
    over = true;
    env.clearTimeout(timer);
    ended.abort();
  };
  const down = (how: Down) => {
    if (over)
      return;
    finish();
    on.down(how);
  };
  const wait = (ms: number, reason: string) => {
    env.clearTimeout(timer);
    timer = env.setTimeout(() => down({ code: 1006, reason }), ms);
  };

  /* One event, without its empty line. WHATWG HTML, section 9.2.6: of it, what the server uses. */
  const take = (text: string) => {
    let name = '';
    let data = '';
    for (const line of text.split('\n')) {
      if (line.startsWith('data: '))
        data += line.slice(6);
      else if (line.startsWith('event: '))
        name = line.slice(7);
    }
    if (!data)
      return;
    const value = parse(data);
    if (!value)
      down({ code: 1006, reason: 'not of ChatUp' });
    else if (name === 'close')
      down({ code: value.close, reason: value.reason });
    else if (name === 'expires')
      on.expires(value.expires);
    else if (!name)
      on.frame(value as Frame);
  };

  const read = async () => {
    const answer = await env.fetch(workerUrl(env, request.host, `/ev?${channelsQuery(request)}`, 'http'), {
      cache: 'no-store',
      headers: request.token ? { Authorization: `Bearer ${request.token}` } : {},
      signal: ended.signal,
    });
    if (!answer.ok || !answer.body) {
      down(await refusal(answer));
      return;
    }
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (over)
        return;
      if (done)
        break;
      wait(SILENCE_MS, 'silence');
      text += decoder.decode(value, { stream: true });
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events)
        if (!over)
          take(event);
    }
    down({ code: 1006, reason: 'it ended' });
  };

  wait(request.timeout, 'it did not open in time');
  read().catch((error) => down({ code: 1006, reason: String(error) }));

  return {
    close: finish,
    check: () => wait(CHECK_MS, 'silence'), /* it cannot be asked: its next word is due sooner */
    refresh: () => false,
  };
};
