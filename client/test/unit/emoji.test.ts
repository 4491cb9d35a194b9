import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emoji } from '../../src/emoji.js';

test('codes become emoji, and nothing else does', () => {
  const { beforeSay } = emoji({ parrot: '🦜' });
  const context = { room: 'lobby', me: undefined };
  for (const [text, expected] of [
    [':tada:', '🎉'], ['well :+1:, :parrot:!', 'well 👍, 🦜!'], [':nothing:', ':nothing:'], ['12:30:00', '12:30:00'],
    ['a:x:b', 'a:x:b'], ['::tada::', '::tada::'], [':tada::tada:', '🎉:tada:'], ['https://host:fire:', 'https://host:fire:'],
  ] as const)
    assert.equal(beforeSay!(text, context), expected);
});
