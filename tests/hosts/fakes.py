"""A stand-in for the model APIs that the examples talk to: the Anthropic Messages API and the OpenAI
Responses API, as documented in 2026. It prints its address and serves until it is killed.

No model is in it. It searches with the user's words, calls the first tool found with arguments made
up from the schema, and ends with what the tool said. What it is for is to refuse what the APIs refuse.
`GET /seen` lists every request with its answer."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fake_messages
import fake_responses
from fake_rules import Refused

PATHS = {"/v1/messages": fake_messages, "/v1/responses": fake_responses}
seen: list[dict] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send(200, seen)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        api = PATHS.get(path)
        if api is None:
            return self.send(404, {"error": {"message": f"no {path} here"}})
        try:
            request = json.loads(body)
            if request.get("stream"):
                raise Refused("this stand-in streams nothing")
            status, answer = 200, api.answer(request, self.headers)
        except Refused as refused:
            status, answer = refused.status, api.error(str(refused))
        seen.append({"path": path, "status": status, "request": request, "answer": answer})
        self.send(status, answer)

    def send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
