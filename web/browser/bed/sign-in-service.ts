/** A sign-in service (OpenID Connect) whose page asks for nothing but a click, for operators of the console. */
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

const base64url = (text: string | Buffer): string => Buffer.from(text).toString("base64url");

export class SignInService {
  /** Laid over what an ID token says. */
  claims: Record<string, unknown> = {};
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  /** What each code was asked for with, until it is used. */
  readonly #codes = new Map<string, URLSearchParams>();
  readonly #server: Server;
  issuer = "";

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => { body += String(chunk); });
      request.on("end", () => {
        const url = new URL(request.url ?? "/", this.issuer);
        if (url.pathname === "/authorize") {
          response.setHeader("content-type", "text/html; charset=utf-8").end(this.#page(url.searchParams));
        } else {
          const [status, answer] = this.#answer(url.pathname, new URLSearchParams(body));
          response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
        }
      });
    });
  }

  static async start(): Promise<SignInService> {
    const service = new SignInService();
    await new Promise<void>((done) => service.#server.listen(0, "127.0.0.1", done));
    service.issuer = `http://127.0.0.1:${(service.#server.address() as AddressInfo).port}`;
    return service;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #page(asked: URLSearchParams): string {
    const code = `code-${this.#codes.size + 1}`;
    this.#codes.set(code, asked);
    const to = (words: Record<string, string>): string => {
      const back = new URL(asked.get("redirect_uri") ?? "");
      for (const [name, value] of Object.entries({ ...words, state: asked.get("state") ?? "" })) back.searchParams.set(name, value);
      return back.href.replaceAll("&", "&amp;");
    };
    return `<!DOCTYPE html><title>Acme SSO</title><a href="${to({ code })}">Yes, it is me</a> <a href="${to({ error: "access_denied" })}">No</a>`;
  }

  #answer(path: string, form: URLSearchParams): [status: number, answer: unknown] {
    const { issuer } = this;
    if (path === "/.well-known/openid-configuration") {
      return [200, { issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys` }];
    }
    if (path === "/keys") return [200, { keys: [{ ...this.#keys.publicKey.export({ format: "jwk" }), alg: "ES256", kid: "1" }] }];
    const code = form.get("code") ?? "";
    const asked = this.#codes.get(code);
    this.#codes.delete(code);
    const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
    if (path !== "/token" || asked?.get("code_challenge") !== challenge) return [400, { error: "invalid_grant" }];
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer, aud: "console", sub: "7f3a", iat: now, exp: now + 300, nonce: asked.get("nonce"), name: "Alice", groups: ["ops"], ...this.claims };
    const said = `${base64url(JSON.stringify({ alg: "ES256", kid: "1" }))}.${base64url(JSON.stringify(claims))}`;
    const signature = sign("sha256", Buffer.from(said), { key: this.#keys.privateKey, dsaEncoding: "ieee-p1363" });
    return [200, { token_type: "Bearer", access_token: "-", id_token: `${said}.${base64url(signature)}` }];
  }
}
