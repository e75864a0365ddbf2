// Says that the connection is lost, and when it is tried again.

import { useEffect, useState } from "react";
import { useClient, useConnection } from "./realtime";

export function ConnectionBanner() {
  const client = useClient();
  const { status, attempt, maxAttempts, retryAt, error } = useConnection();
  if (status === "refused") {
    return (
      <div className="banner refused" role="alert">
        <p>Cannot connect{error ? `: ${error.message}` : ""}.</p>
        <button onClick={() => client.connect()}>Try again</button>
      </div>
    );
  }
  // The first attempt is not worth a word.
  if (status === "connected" || status === "idle" || attempt === 0) return null;
  return (
    <div className="banner" role="status">
      <p>
        You are offline. Your messages are sent later.{" "}
        <span aria-hidden="true">
          Attempt {attempt} of {maxAttempts}
          {status === "offline" && retryAt ? <Countdown until={retryAt} /> : "…"}
        </span>
      </p>
      <button onClick={() => client.connect()}>Try now</button>
    </div>
  );
}

function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  return <> in {Math.max(0, Math.ceil((until - now) / 1000))} s</>;
}
