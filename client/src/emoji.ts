/* A plugin: `:tada:` becomes 🎉 before it is sent. Add names of your own, or take away: emoji({ parrot: '🦜' }). */
import type { ClientPlugin } from './types.js';

const NAMES: Record<string, string> = {
  smile: '😄', joy: '😂', wink: '😉', heart: '❤️', thumbsup: '👍', '+1': '👍', thumbsdown: '👎', '-1': '👎', tada: '🎉',
  fire: '🔥', eyes: '👀', wave: '👋', clap: '👏', thinking: '🤔', cry: '😢', rocket: '🚀', ok: '👌', pray: '🙏',
  party: '🥳', sunglasses: '😎', star: '⭐', check: '✅', x: '❌', sparkles: '✨', coffee: '☕',
};

export function emoji(more: Record<string, string> = {}): ClientPlugin {
  const names = new Map(Object.entries({ ...NAMES, ...more }));
  return {
    name: 'emoji',
    /* What looks like a code and is none stays as it is, as do times: 12:30:00. */
    beforeSay: (text) => text.replace(/(?<![\w:]):([\w+-]+):(?!\w)/g, (code, name: string) => names.get(name) ?? code),
  };
}
