import type { Down } from './transport.js';
export declare function refusal(answer: Response): Promise<Down>;
