/* The HTTP API that a client asks: which worker, who is there. */
import type { Env } from './env.js';
import { ChatUpError, errorOf } from './error.js';
import type { PublicUser, Worker } from './types.js';

const ANSWER_MS = 10000; /* the server has an answer, or 503, after five */

export interface Joined extends Worker {
  channel: { subCount: number; pubCount: number };
  epoch: string;
  offset: number;
  messages: WireMessage[];
}

/** A message as the server sends it. */
export interface WireMessage {
  o?: number;
  user?: unknown;
  sub?: string;
  msg?: string;
  ev?: string;
  data?: unknown;
  i: string;
  d: number;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** One question. Rejects with a ChatUpError: `httpStatus` is that of ChatUp's answer; without one there was none. */
export async function ask(env: Env, url: string, token: string | undefined, init: RequestInit = {}): Promise<any> {
  const gaveUp = new AbortController();
  const timer = env.setTimeout(() => gaveUp.abort(), ANSWER_MS);
  try {
    const headers: Record<string, string> = {};
    if (init.body)
      headers['Content-Type'] = 'application/json';
    if (token)
      headers.Authorization = `Bearer ${token}`;
    const answer = await env.fetch(url, { cache: 'no-store', signal: gaveUp.signal, ...init, headers });
    const body: unknown = await answer.json().catch(() => null);
    if (answer.ok && body !== null)
      return body;
    if (!isObject(body)) /* something on the way, or no ChatUp at all */
      throw new ChatUpError('unreachable', { reason: `HTTP ${answer.status}` });
    throw errorOf({ ...body, httpStatus: answer.status });
  } catch (error) {
    throw error instanceof ChatUpError ? error : new ChatUpError('unreachable', { reason: String(error) });
  } finally {
    env.clearTimeout(timer);
  }
}

export class Dispatcher {
  constructor(private readonly env: Env, private readonly url: string) {}

  private at(path: string, channel: string, more = ''): string {
    const whole = `${this.url.replace(/\/+$/, '')}${path}?channel=${encodeURIComponent(channel)}${more}`;
    return this.env.base ? new URL(whole, this.env.base).href : whole;
  }

  /** `failed`: a worker that is not to be handed out again, and how it failed. */
  join(channel: string, token: string | undefined, failed?: { type: string; id: string }): Promise<Joined> {
    const body = failed ? { type: failed.type, worker: { id: failed.id } } : {};
    return ask(this.env, this.at('/join', channel), token, { method: 'POST', body: JSON.stringify(body) });
  }

  stats(channel: string, token: string | undefined, limit: number, skip: number):
      Promise<{ subCount: number; pubCount: number; users: number; clients: PublicUser[] }> {
    return ask(this.env, this.at('/stats', channel, `&limit=${limit}&skip=${skip}`), token);
  }
}

/** A URL of a worker; on a page that came by TLS, what it opens has to use it as well. */
export function workerUrl(env: Env, host: string, path: string, scheme: 'http' | 'ws'): string {
  const url = new URL(path, host);
  const safe = url.protocol === 'https:' || env.base?.startsWith('https:');
  url.protocol = safe ? `${scheme}s:` : `${scheme}:`;
  return url.href;
}
