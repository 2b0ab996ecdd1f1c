"""A product's backend, as small as it can be: it serves a page with the inbox, and mints the token of whoever is signed in.

    python backend.py ana          then open the address that it prints

Reads WATCHBELL_URL, WATCHBELL_JWT_SECRET, WATCHBELL_TENANT and, unless it is 8000, PORT from its environment. Needs PyJWT,
and `npm run build` in `web/` for the scripts of the page. Watchbell has to allow the page's origin, which is the address
that is printed: `socket.allowed_origins`.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "python"))
from user_token import user_token  # noqa: E402

WEB = HERE.parent.parent / "web"
FOLDERS = {"client": WEB / "client" / "dist", "inbox": WEB / "inbox" / "dist"}
SIGNED_IN = sys.argv[1]  # Your session says who this is.


class Backend(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/":
            return self.answer("text/html; charset=utf-8", (HERE / "index.html").read_bytes())
        if self.path == "/session":
            token = user_token(os.environ["WATCHBELL_JWT_SECRET"], os.environ["WATCHBELL_TENANT"], SIGNED_IN)
            session = {"user": SIGNED_IN, "token": token, "watchbell": os.environ["WATCHBELL_URL"]}
            return self.answer("application/json", json.dumps(session).encode())
        folder, _, name = self.path.lstrip("/").partition("/")
        script = FOLDERS.get(folder, HERE) / name
        if folder in FOLDERS and script.parent == FOLDERS[folder] and script.suffix == ".js" and script.is_file():
            return self.answer("text/javascript; charset=utf-8", script.read_bytes())
        self.send_error(404)

    def answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    with ThreadingHTTPServer(("127.0.0.1", port), Backend) as server:
        print(f"open http://127.0.0.1:{port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
