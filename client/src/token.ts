/* What a token says of its user: looked at only, the server checks it. */
import type { Me, PublicUser } from './types.js';

/** undefined: it is no token, or of nobody. */
export function readToken(token: string): Me | undefined {
  try {
    const bytes = atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0))));
    const user: PublicUser = claims._public ?? {};
    return { sub: claims.sub ?? claims.name ?? user.name, user };
  } catch {
    return undefined;
  }
}
