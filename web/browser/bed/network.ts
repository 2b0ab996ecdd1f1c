/** The network between browser and server: can be cut, can let only some transports through, and serves the test page. */
import { createServer, request, type IncomingMessage, type Server as Http } from "node:http";
import { type AddressInfo, type Socket, connect } from "node:net";

type Transport = "ws" | "sse" | "poll";

const SIGN_IN = "<!doctype html><title>Welcome to our network</title><form>Room number</form>";

export class Network {
  readonly blocked = new Set<Transport>();
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<Socket>();
  /** Answers all of these in the server's place with a page that asks to sign in, as networks of hotels do. */
  portal: RegExp | null = null;
  #isCut = false;
  /** WebSocket handshakes that were let through. */
  handshakes = 0;

  private constructor(readonly http: Http, public target: string) {}

  static async start(target: string, files: ReadonlyMap<string, { type: string; body: string }>): Promise<Network> {
    const http = createServer((incoming, outgoing) => {
      const path = incoming.url?.split("?")[0] ?? "";
      const file = files.get(path);
      if (file) return outgoing.setHeader("content-type", file.type).end(file.body);
      if (network.portal?.test(path)) return outgoing.setHeader("content-type", "text/html").end(SIGN_IN);
      if (network.#blocks(path)) return outgoing.writeHead(502).end();
      const [host, port] = network.target.split(":");
      const { method, headers, url } = incoming;
      const onward = request({ host, port, method, headers, path: url }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        outgoing.flushHeaders();
        answer.pipe(outgoing);
        answer.on("error", () => outgoing.destroy());
      });
      onward.on("error", () => outgoing.destroy());
      outgoing.on("close", () => onward.destroy());
      incoming.pipe(onward);
    });
    const network = new Network(http, target);
    http.on("connection", (socket) => {
      if (network.#isCut) return socket.destroy();
      network.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => network.#sockets.delete(socket));
    });
    http.on("upgrade", (incoming: IncomingMessage, socket: Socket, head: Buffer) => network.#upgrade(incoming, socket, head));
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return network;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  /** WebSockets that are open. */
  get open(): number {
    return this.#streams.size;
  }

  cut(): void {
    this.#isCut = true;
    this.drop();
  }
  mend(): void {
    this.#isCut = false;
  }
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.http.close(resolve));
  }

  #blocks(path: string): boolean {
    return (path === "/v1/sse" && this.blocked.has("sse")) || (path === "/v1/poll" && this.blocked.has("poll"));
  }

  #upgrade(incoming: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.portal?.test(incoming.url ?? "")) return void socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n${SIGN_IN}`);
    if (this.blocked.has("ws")) return void socket.end("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n");
    const [host = "", port = ""] = this.target.split(":");
    const onward = connect(Number(port), host);
    const lines = [`GET ${incoming.url} HTTP/1.1`];
    for (let at = 0; at < incoming.rawHeaders.length; at += 2) lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
    onward.write(`${lines.join("\r\n")}\r\n\r\n`);
    onward.write(head);
    onward.setNoDelay(true);
    socket.setNoDelay(true);
    onward.pipe(socket).pipe(onward);
    this.handshakes += 1;
    this.#streams.add(socket);
    const end = () => {
      this.#streams.delete(socket);
      socket.destroy();
      onward.destroy();
    };
    for (const one of [socket, onward]) one.on("error", end).on("close", end);
  }
}
