/* npm test: types, unit tests on a clock of their own, that dist/ is what src/ gives, sizes, and a strict project that
 * uses the package as npm would install it. Its last line is "N passed, N failed". Needs `npm ci` before. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const client = dirname(dirname(fileURLToPath(import.meta.url)));
const home = mkdtempSync(join(tmpdir(), 'chatup-client-'));
let passed = 0;
let failed = 0;

function check(sentence, act) {
  try {
    act();
    passed++;
    console.log(`ok - ${sentence}`);
  } catch (error) {
    failed++;
    console.log(`not ok - ${sentence}\n${error.stdout ?? ''}${error.stderr ?? ''}${error.message}`);
  }
}

const node = (...args) => execFileSync(process.execPath, args, { cwd: client, encoding: 'utf8' });
const tsc = (...args) => node(join(client, 'node_modules/typescript/bin/tsc'), ...args);
const files = (folder) => readdirSync(folder).sort().flatMap((name) => {
  const path = join(folder, name);
  return statSync(path).isDirectory() ? files(path) : [path];
});

check('the sources and their tests are well typed', () => tsc('-p', join(client, 'test')));

check('dist/ is what src/ gives: else run `npm run build`', () => {
  const fresh = join(home, 'dist');
  const dist = join(client, 'dist');
  node('build.mjs', fresh);
  const contents = (folder) => files(folder).map((path) => [relative(folder, path), readFileSync(path, 'utf8')]);
  const [mine, theirs] = [contents(dist), contents(fresh)];
  for (const [at, [name, text]] of theirs.entries())
    if (mine[at]?.[0] !== name || mine[at][1] !== text)
      throw new Error(`${name} differs`);
  if (mine.length !== theirs.length)
    throw new Error('there are files in dist/ that src/ does not give');
});

for (const [name, most] of [['protocol.mjs', 15], ['chatup.js', 25], ['chatup.mjs', 25]])
  check(`${name} has less than ${most} KB, compressed`, () => {
    const size = gzipSync(readFileSync(join(client, 'dist', name)), { level: 9 }).length;
    console.log(`# ${name}: ${size} bytes`);
    if (size >= most * 1000)
      throw new Error(`${size} bytes`);
  });

check('a strict project, and the React example, compile against the package', () => {
  const project = join(home, 'project');
  const installed = join(project, 'node_modules/chatup-client');
  mkdirSync(installed, { recursive: true });
  for (const name of [...JSON.parse(readFileSync(join(client, 'package.json'), 'utf8')).files, 'package.json'])
    cpSync(join(client, name), join(installed, name), { recursive: true });
  symlinkSync(join(client, 'node_modules/@types'), join(project, 'node_modules/@types'));
  symlinkSync(join(client, 'node_modules/csstype'), join(project, 'node_modules/csstype'));
  cpSync(join(client, 'test/types/consumer.ts'), join(project, 'consumer.ts'));
  cpSync(join(client, 'examples/react/useChatUp.ts'), join(project, 'useChatUp.ts'));
  for (const [module, moduleResolution] of [['ESNext', 'Bundler'], ['NodeNext', 'NodeNext']]) {
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({
      compilerOptions: { target: 'ES2022', lib: ['ES2022', 'DOM', 'DOM.Iterable'], module, moduleResolution, strict: true, noEmit: true,
                         exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noImplicitOverride: true,
                         skipLibCheck: false, types: [] },
      files: ['consumer.ts', 'useChatUp.ts'],
    }));
    tsc('-p', project);
  }
});

check('it runs where there is no page', () => {
  const told = node('--input-type=module', '-e', `
    import { ChatUpProtocol } from '${join(client, 'dist/protocol.mjs')}';
    import '${join(client, 'dist/chatup.mjs')}';
    console.log(new ChatUpProtocol({ WebSocket: class {} }).status);`);
  if (told.trim() !== 'disconnected')
    throw new Error(told);
});

const unit = join(client, 'test/unit');
const out = join(home, 'unit');
await build({
  entryPoints: readdirSync(unit).filter((name) => name.endsWith('.test.ts')).map((name) => join(unit, name)),
  outdir: out, outExtension: { '.js': '.mjs' }, bundle: true, platform: 'node', format: 'esm', target: 'es2022', sourcemap: 'inline', logLevel: 'warning',
});
const tests = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files(out)], { encoding: 'utf8' });
const told = tests.stdout + tests.stderr;
const number = (name) => Number(new RegExp(`^(?:#|ℹ) ${name} (\\d+)$`, 'm').exec(told)?.[1] ?? 0);
passed += number('pass');
failed += number('fail') + number('cancelled') || (tests.status ? 1 : 0);
console.log(tests.status ? told : `ok - ${number('pass')} unit tests`);

rmSync(home, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
