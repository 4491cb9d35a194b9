/* What an HTTP answer that is no stream means, as a close code would say it. */
import type { Down } from './transport.js';

export async function refusal(answer: Response): Promise<Down> {
  const body = await answer.json().catch(() => null);
  const reason = typeof body?.err === 'string' ? body.err : `HTTP ${answer.status}`;
  if (answer.status === 401)
    return { code: 1008, reason: 'Wrong JWT' };
  if (answer.status === 403)
    return { code: 1008, reason };
  if (answer.status === 400)
    return { code: 1008, reason: `channels: ${reason}` };
  return { code: 1006, reason };
}
