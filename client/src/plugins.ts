/* Plugins of the client, in the order of use(). A hook that throws is told of, and left out. */
import type { ChatEvent, ClientPlugin, Message, PluginContext } from './types.js';

export class Plugins {
  private readonly all: ClientPlugin[] = [];

  constructor(private readonly context: () => PluginContext, private readonly onError: (error: Error) => void) {}

  use(plugin: ClientPlugin): void {
    this.all.push(plugin);
  }

  /** The text as it is to be sent; false: not at all. */
  async beforeSay(text: string): Promise<string | false> {
    for (const plugin of this.all) {
      const result = await this.guard(plugin, () => plugin.beforeSay?.(text, this.context()));
      if (result === false)
        return false;
      if (typeof result === 'string')
        text = result;
    }
    return text;
  }

  onMessage(message: Message): Message | undefined {
    return this.through(message, (plugin, value) => plugin.onMessage?.(value, this.context()));
  }

  onEvent(event: ChatEvent): ChatEvent | undefined {
    return this.through(event, (plugin, value) => plugin.onEvent?.(value, this.context()));
  }

  onRender(text: HTMLElement, message: Message): void {
    for (const plugin of this.all)
      this.guard(plugin, () => plugin.onRender?.(text, message, this.context()));
  }

  private through<Value>(value: Value, hook: (plugin: ClientPlugin, value: Value) => Value | false | void): Value | undefined {
    for (const plugin of this.all) {
      const result = this.guard(plugin, () => hook(plugin, value));
      if (result === false)
        return undefined;
      value = (result as Value | undefined) ?? value;
    }
    return value;
  }

  private guard<Result>(plugin: ClientPlugin, act: () => Result): Result | undefined {
    const failed = (error: unknown) => {
      this.onError(new Error(`plugin ${plugin.name}: ${error}`, { cause: error }));
      return undefined;
    };
    try {
      const result = act();
      return result instanceof Promise ? result.catch(failed) as Result : result;
    } catch (error) {
      return failed(error);
    }
  }
}
