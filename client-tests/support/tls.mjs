// Certificates for tests, and a proxy that takes TLS off and passes on what is inside, as load balancers do.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { promisify } from "node:util";
import { defer } from "./scope.mjs";

// A key and a certificate for 127.0.0.1, made for this test alone, and their files.
export async function certificate(t) {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-tls-"));
  defer(t, () => rm(folder, { recursive: true, force: true }));
  const files = { key: join(folder, "key.pem"), cert: join(folder, "cert.pem") };
  return { files, ...(await makeCertificate(files)) };
}

// Puts a new key and its certificate in these files.
export async function makeCertificate({ key, cert }) {
  const asked = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
  await promisify(execFile)("openssl", [...asked, ...named, "-keyout", key, "-out", cert]);
  return { key: await readFile(key), cert: await readFile(cert) };
}

// An HTTP/2 connection to the server through a proxy that speaks TLS to the client and HTTP/2 without it to the server.
export async function h2OverTls(t, server) {
  const identity = await certificate(t);
  const proxy = createServer({ key: identity.key, cert: identity.cert, ALPNProtocols: ["h2"] }, (client) => {
    const behind = connect(server.port, "127.0.0.1");
    client.pipe(behind).pipe(client);
    for (const end of [client, behind]) end.on("error", () => [client, behind].forEach((each) => each.destroy()));
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  defer(t, () => proxy.close());
  const session = connectHttp2(`https://127.0.0.1:${proxy.address().port}`, { ca: identity.cert });
  session.on("error", () => {});
  defer(t, () => session.destroy());
  return session;
}
