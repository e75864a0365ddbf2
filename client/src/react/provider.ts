// The client that the components below a provider use.

import { createContext, createElement, useContext, useEffect, useInsertionEffect, useRef, useState } from "react";
import type { ReactElement, ReactNode } from "react";
import type { Client, ClientOptions, EventMap } from "../types.js";

/** An unmounted provider's client is closed that long afterwards, unless the provider is mounted again, as StrictMode does. */
const CLOSE_AFTER_MS = 1000;

/** A client that was made outside of components. It is not closed. */
export interface GivenClientProps {
  client: Client<any>;
  children?: ReactNode;
}

/**
 * The address of a server, and the options of its client. They are read once, except that each connect asks the newest `auth`; for another
 * user give the provider another `key`.
 */
export type OwnClientProps<Options = ClientOptions> = Options & {
  url: string;
  client?: undefined;
  children?: ReactNode;
};

export type ProviderProps<Options = ClientOptions> = GivenClientProps | OwnClientProps<Options>;
export type Provider<Options = ClientOptions> = (props: ProviderProps<Options>) => ReactElement;

type Create<Options> = (url: string, options: Options) => Client<any>;

const ClientContext = createContext<Client<any> | undefined>(undefined);

/** The client of the nearest provider. */
export function useClient<Events extends EventMap = EventMap>(): Client<Events> {
  const client = useContext(ClientContext);
  if (!client) throw new Error("Switchboard's hooks need a <SwitchboardProvider> above the component");
  return client;
}

/** A provider whose own clients are made by `create`. */
export function makeProvider<Options extends Pick<ClientOptions, "auth">>(create: Create<Options>): Provider<Options> {
  return function SwitchboardProvider(props) {
    return props.client
      ? createElement(ClientContext.Provider, { value: props.client }, props.children)
      : createElement(OwnClient, { ...props, create } as OwnClientProps & { create: Create<any> });
  };
}

function OwnClient({ create, url, children, client: _, ...options }: OwnClientProps & { create: Create<any> }): ReactElement {
  const auth = useRef(options.auth);
  useInsertionEffect(() => {
    auth.current = options.auth;
  });
  const make = () => {
    const askNewest = () => (typeof auth.current === "function" ? auth.current() : (auth.current ?? {}));
    return { url, client: create(url, options.auth ? { ...options, auth: askNewest } : options) };
  };

  const [own, setOwn] = useState(make);
  if (own.url !== url) setOwn(make);
  useClosing(own.client, () => setOwn(make));
  return createElement(ClientContext.Provider, { value: own.client }, children);
}

const closing = new WeakMap<Client<any>, ReturnType<typeof setTimeout>>();

/** Closes the client some time after the component was unmounted. A component that is shown again after that gets another client. */
function useClosing(client: Client<any>, renew: () => void): void {
  useEffect(() => {
    clearTimeout(closing.get(client));
    if (client.status === "closed") renew();
    return () => {
      closing.set(client, setTimeout(() => client.close(), CLOSE_AFTER_MS));
    };
  }, [client]);
}
