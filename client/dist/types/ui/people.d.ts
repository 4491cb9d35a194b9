import type { Stats, Users } from '../types.js';
import type { Texts } from './texts.js';
export declare class People {
    private readonly texts;
    readonly node: HTMLElement;
    readonly toggle: HTMLButtonElement;
    private readonly list;
    private readonly counts;
    constructor(texts: Texts, id: string);
    private open;
    count({ pubCount, subCount }: Stats): void;
    draw({ clients, pubCount }: Users): void;
}
