// What the library uses of its environment: a browser, React Native, Node.js or a worker. No DOM types, because not all of them have a DOM.

declare function setTimeout(callback: () => void, ms?: number): number;
declare function clearTimeout(timer: number | undefined): void;
declare const console: { error(...values: unknown[]): void };
