/* What an HTTP answer that is no stream means, as a close code would say it. Only what ChatUp itself says is a refusal;
 * other answers are of something on the way. */
import type { Down } from './transport.js';

export async function refusal(answer: Response): Promise<Down> {
  const body = await answer.json().catch(() => null);
  const reason = body?.status === 'error' && typeof body.err === 'string' ? body.err as string : undefined;
  if (reason === undefined)
    return { code: 1006, reason: `HTTP ${answer.status}` };
  switch (answer.status) {
  case 400: return { code: 1008, reason: `channels: ${reason}` };
  case 401: return { code: 1008, reason: 'Wrong JWT' };
  case 403: return { code: 1008, reason };
  }
  return { code: 1006, reason };
}
