/* npm run build: dist/ from src/. `node build.mjs FOLDER` writes it elsewhere, as the tests do to compare.
 *   chatup.js     for <script>: defines window.ChatUp
 *   chatup.mjs    the same as a module       protocol.mjs   without what draws
 *   chatup.css    what ChatUp looks like     types/         declarations */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const dist = resolve(process.argv[2] ?? join(here, 'dist'));
const banner = { js: '/* ChatUp client, Apache-2.0 */', css: '/* ChatUp client, Apache-2.0 */' };

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const common = { absWorkingDir: here, bundle: true, minify: true, target: 'es2022', charset: 'utf8', banner, logLevel: 'warning' };
await build({ ...common, entryPoints: ['src/index.ts'], outfile: join(dist, 'chatup.js'), format: 'iife', globalName: 'ChatUp' });
await build({ ...common, entryPoints: ['src/index.ts'], outfile: join(dist, 'chatup.mjs'), format: 'esm' });
await build({ ...common, entryPoints: ['src/protocol-only.ts'], outfile: join(dist, 'protocol.mjs'), format: 'esm' });
await build({ ...common, entryPoints: ['src/ui/chatup.css'], outfile: join(dist, 'chatup.css') });
execFileSync(process.execPath, [join(here, 'node_modules/typescript/bin/tsc'), '-p', here, '--outDir', join(dist, 'types')],
             { stdio: 'inherit' });
