import type { ChatEvent, ClientPlugin, Message, PluginContext } from './types.js';
export declare class Plugins {
    private readonly context;
    private readonly onError;
    private readonly all;
    constructor(context: () => PluginContext, onError: (error: Error) => void);
    use(plugin: ClientPlugin): void;
    /** The text as it is to be sent; false: not at all. */
    beforeSay(text: string): Promise<string | false>;
    onMessage(message: Message): Message | undefined;
    onEvent(event: ChatEvent): ChatEvent | undefined;
    onRender(text: HTMLElement, message: Message): void;
    private through;
    private guard;
}
