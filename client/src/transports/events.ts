/* Reading by server-sent events, by fetch and not by EventSource: that one shows no status, takes no header, and comes
 * back by itself, without asking anybody for a worker. */
import { Line } from './line.js';
import { refusal } from './refusal.js';
import { channelsQuery, type Frame, type OpenTransport, parse } from './transport.js';

const SILENCE_MS = 75000; /* the server says something every 30 s */
const CHECK_MS = 35000;

export const openEvents: OpenTransport = (env, request, on) => {
  const line = new Line(env, request, on);

  /* One event, without its empty line. WHATWG HTML, section 9.2.6: of it, what the server uses. */
  const take = (text: string) => {
    let name = '';
    let data = '';
    for (const field of text.split('\n')) {
      if (field.startsWith('data: '))
        data += field.slice(6);
      else if (field.startsWith('event: '))
        name = field.slice(7);
    }
    if (!data)
      return;
    const value = parse(data);
    if (!value)
      line.down({ code: 1006, reason: 'not of ChatUp' });
    else if (name === 'close')
      line.down({ code: value.close, reason: value.reason });
    else if (name === 'expires')
      on.expires(value.expires);
    else if (!name)
      on.frame(value as Frame);
  };

  const read = async () => {
    const answer = await line.fetch(`/ev?${channelsQuery(request.channels)}`);
    if (!answer.ok || !answer.body) {
      line.down(await refusal(answer));
      return;
    }
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (line.over)
        return;
      if (done)
        break;
      line.wait(SILENCE_MS, 'silence');
      text += decoder.decode(value, { stream: true });
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events)
        if (!line.over)
          take(event);
    }
    line.down({ code: 1006, reason: 'it ended' });
  };

  line.wait(request.timeout, 'it did not open in time');
  read().catch((error) => line.down({ code: 1006, reason: String(error) }));

  return {
    close: () => line.finish(),
    check: () => line.waitLess(CHECK_MS, 'silence'), /* it cannot be asked: its next word is due sooner */
    refresh: () => false,
  };
};
