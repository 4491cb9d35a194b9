/* ChatUpError: what promises of this library are rejected with. `err` is a code of docs/protocol.md, or one of
 * ours: see client/README.md. The other fields of the server's answer are there too: ttl, ttw, max, by, reason. */

export class ChatUpError extends Error {
  override name = 'ChatUpError';
  readonly status = 'error';
  readonly err: string;
  /** HTTP status, where ChatUp answered by HTTP. */
  readonly httpStatus?: number;
  /** Seconds that a ban lasts: -1 for ever. */
  readonly ttl?: number;
  /** Seconds to wait. */
  readonly ttw?: number;
  /** The most bytes that a message may have. */
  readonly max?: number;
  /** The plugin of the server that refused. */
  readonly by?: string;
  readonly reason?: string;
  /** Of a say() that was given up: whether it was sent, so that the room may have it. */
  readonly sent?: boolean;
  /** The answer as it came. */
  readonly reply: Record<string, unknown>;

  constructor(err: string, reply: Record<string, unknown> = {}) {
    super(err);
    const { err: _, error: __, status: ___, name: ____, message: _____, stack: ______, ...more } = reply;
    Object.assign(this, more);
    this.err = err;
    this.reply = reply;
  }
}

/** The code in an answer: plugins of the original wrote `error`, or only a status. */
export function errorOf(reply: Record<string, unknown>): ChatUpError {
  const code = [reply.err, reply.error, reply.message, reply.status].find((value) => typeof value === 'string');
  return new ChatUpError((code as string | undefined) ?? 'rejected', reply);
}
